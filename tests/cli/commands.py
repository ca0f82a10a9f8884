"""Runs a command as `birdhouse` does, in this process, and keeps what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from birdhouse.cli import output
from birdhouse.cli.main import app
from birdhouse.errors import BirdhouseError

PROCESS_SECONDS_MAX = 240.0


def in_a_process(
    *arguments: str | Path, folder: Path, code: int = 0, environment: Mapping[str, str] | None = None
) -> str:
    """The output of a command in a process of its own, as one that opens an engine needs it."""
    done = subprocess.run(
        [sys.executable, "-m", "birdhouse", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=PROCESS_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == code, f"ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass
class Commands:
    folder: Path
    capsys: pytest.CaptureFixture[str]
    error: str = field(default="", init=False)
    """What the last command printed on the error stream."""

    def __call__(self, *arguments: str | Path, code: int = 0) -> str:
        """The output of a command that is expected to end with `code`."""
        self.capsys.readouterr()
        ended = 0
        try:
            app([str(each) for each in arguments])
        except SystemExit as end:
            ended = int(end.code or 0)
        except BirdhouseError as error:
            output.failure(error)
            ended = 1
        printed = self.capsys.readouterr()
        self.error = printed.err
        assert ended == code, f"ended with {ended}\n{printed.out}\n{printed.err}"
        return printed.out

    def json(self, *arguments: str | Path, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code))

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")

    def read(self, name: str) -> str:
        return (self.folder / name).read_text("utf-8")

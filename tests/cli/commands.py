"""Runs a command as `birdhouse` does, in this process, and keeps what it prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from birdhouse.cli import output
from birdhouse.cli.main import app
from birdhouse.errors import BirdhouseError


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

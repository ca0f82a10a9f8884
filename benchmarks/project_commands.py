"""How long the commands take that somebody who changes a project waits for."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.answer import Answer
from benchmarks.server import BIN, Server
from birdhouse.cli.project import bundled_insights

QUESTION = "How long do check, fmt, test and the official client's push of insights take?"

CLIENT = BIN.parent.parent / ".tb-venv" / "bin" / "tb"
ROUNDS = 3


def run() -> list[Answer]:
    insights = str(bundled_insights())
    answers = [
        Answer("birdhouse check", _fastest(ROUNDS, "check", insights), "s", at_most=5),
        Answer("birdhouse fmt --check", _fastest(ROUNDS, "fmt", "--check", insights), "s", at_most=3),
        Answer("birdhouse test", _fastest(1, "test", insights), "s", at_most=20),
    ]
    return [*answers, _push()] if CLIENT.exists() else answers


def _fastest(rounds: int, *arguments: str) -> float:
    return min(_seconds([str(BIN / "birdhouse"), *arguments]) for _ in range(rounds))


def _seconds(command: list[str], folder: Path | None = None, environment: dict[str, str] | None = None) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _push() -> Answer:
    """The client sends one request at a time, so the server's CPU is the time that it lets the client wait."""
    with tempfile.TemporaryDirectory(prefix="birdhouse-bench-") as folder, Server(Path(folder) / "server") as server:
        project = Path(folder) / "insights"
        shutil.copytree(bundled_insights(), project)
        variables = {"TB_HOST": server.url, "TB_TOKEN": server.token, "TB_VERSION_WARNING": "0", "HOME": folder}
        before = server.cpu_seconds()
        seconds = _seconds([str(CLIENT), "push"], project, {**os.environ, **variables})
        used = server.cpu_seconds() - before
    return Answer("tb push, the server's part", used, "s", at_most=10, note=f"{seconds:.1f} s in all")

"""How long the whole project takes to deploy, as typed."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.answer import Answer
from benchmarks.server import BIN, Server
from birdhouse.cli.project import bundled_insights

QUESTION = "How long does `birdhouse deploy insights` take, the whole command?"


def run() -> list[Answer]:
    with tempfile.TemporaryDirectory(prefix="birdhouse-bench-") as folder, Server(Path(folder) / "server") as server:
        first_seconds = _deploy(server)
        unchanged_seconds = min(_deploy(server) for _ in range(3))
    return [
        Answer("from scratch", first_seconds, "s", at_most=15),
        Answer("nothing changed", unchanged_seconds, "s", at_most=2),
    ]


def _deploy(server: Server) -> float:
    command = [str(BIN / "birdhouse"), "deploy", str(bundled_insights()), "--host", server.url]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started

"""How long a large history takes to import into a running server."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.answer import Answer
from benchmarks.server import Server
from birdhouse.cli.project import bundled_insights, read_project

QUESTION = "How long does the import of 100,000 commits take?"

COMMITS = 100_000
AUTHORS = 2_000
ROOT = Path(__file__).parent.parent
HISTORY_WRITER = ROOT / "tests" / "cdp" / "importers" / "synthetic_history.py"


def run() -> list[Answer]:
    with tempfile.TemporaryDirectory(prefix="birdhouse-bench-") as folder:
        history = Path(folder) / "history"
        runpy.run_path(str(HISTORY_WRITER))["write_history"](history, COMMITS, authors=AUTHORS)
        with Server(Path(folder) / "server") as server:
            server.client.deploy(read_project(bundled_insights()))
            started = time.perf_counter()
            summary = _import(server, history)
            seconds = time.perf_counter() - started
    if summary["commits"] != COMMITS:
        raise SystemExit(f"Only {summary['commits']} of {COMMITS} commits were imported")
    return [Answer(f"{COMMITS:,} commits", seconds, "s", at_most=60, note=f"{summary['sent_rows']:,} rows")]


def _import(server: Server, history: Path) -> dict[str, int]:
    command = [
        sys.executable, "-m", "cdp.importers.git", str(history),
        "--host", server.url, "--token", server.token, "--json",
    ]  # fmt: skip
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT)
    summary: dict[str, int] = json.loads(done.stdout)
    return summary

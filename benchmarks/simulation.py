"""How long it takes to make up a large community."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.answer import Answer

QUESTION = "How long does a simulated community of 1,000,000 activities take?"

ACTIVITIES = 1_000_000
ROOT = Path(__file__).parent.parent


def run() -> list[Answer]:
    with tempfile.TemporaryDirectory(prefix="birdhouse-bench-") as folder:
        command = [
            sys.executable, "-m", "cdp.simulate", "--activities", str(ACTIVITIES), "--output", folder, "--json",
        ]  # fmt: skip
        summary = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)
    rows = f"{summary['sent_rows']:,} rows written to files"
    return [Answer(f"{ACTIVITIES:,} activities", summary["seconds"], "s", at_most=60, note=rows)]

"""Where the `birdhouse` command begins: before its own imports, so that a Ctrl-C during them leaves no traceback."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    try:
        from birdhouse.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run()

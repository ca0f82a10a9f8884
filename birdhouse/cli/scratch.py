"""A directory for an engine whose data nobody needs afterwards: in memory where there is room."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")
FREE_BYTES_MIN = 1_000_000_000
FREE_BYTES_PER_BYTE = 20
"""Rows become tables, and tables copies of tables."""


@contextmanager
def scratch_directory(prefix: str, bytes_brought: int = 0) -> Iterator[Path]:
    """`bytes_brought` is the size of the files that will be loaded. TMPDIR, where it is set, decides."""
    place = _place(bytes_brought)
    if place is not None:
        _remove_left(place, prefix)
    with tempfile.TemporaryDirectory(prefix=f"{prefix}{os.getpid()}-", dir=place) as directory:
        yield Path(directory)


def _remove_left(place: Path, prefix: str) -> None:
    """Those of processes that were killed: nobody else gives their memory back."""
    for left in place.glob(f"{prefix}[0-9]*-*"):
        pid = left.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists() and left.stat().st_uid == os.getuid():
            shutil.rmtree(left, ignore_errors=True)


def _place(bytes_brought: int) -> Path | None:
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK | os.X_OK):
        return None
    free = shutil.disk_usage(MEMORY).free
    return MEMORY if free > FREE_BYTES_MIN + FREE_BYTES_PER_BYTE * bytes_brought else None

"""A server of our own for a short time, on a free port and in a directory that is gone afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from birdhouse.cli.scratch import scratch_directory
from birdhouse.cli.servers import Server, local_token
from birdhouse.errors import CannotStart

START_SECONDS_MAX = 60.0
POLL_SECONDS = 0.05
LOG_CHARACTERS_SHOWN_MAX = 2000


JOBS_AT_A_TIME = 2
"""There is nothing else to do there."""


@dataclass(frozen=True, slots=True)
class Throwaway:
    """It starts while the command does other things."""

    process: subprocess.Popen[bytes]
    log: Path

    def ready(self) -> Server:
        """Returns once it answers. Raises CannotStart."""
        url = _served_url(self.process, self.log)
        return Server(url, url, local_token(url))


@contextmanager
def throwaway_server(bytes_brought: int = 0) -> Iterator[Throwaway]:
    """Copies do not run by their schedules there: tests say themselves what runs when.

    `bytes_brought` is the size of the files that will be loaded.
    """
    with scratch_directory("birdhouse-", bytes_brought) as folder:
        log = folder / "log"
        process = _started(folder, log)
        try:
            yield Throwaway(process, log)
        finally:
            _stop(process)


def _started(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """In a session of its own, so that Ctrl-C ends the command, and its end, even by a kill, ends the server."""
    command = [sys.executable, "-m", "birdhouse", "start", "--port", "0", "--data-dir", str(folder / "data")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BIRDHOUSE_")}
    settings = {
        "FOLLOW_SCHEDULES": "false", "LOG_LEVEL": "error", "JOB_WORKERS": JOBS_AT_A_TIME, "COMPILE_QUERIES": "false",
        "PARENT_PROCESS": os.getpid(),
    }  # fmt: skip
    environment |= {f"BIRDHOUSE_{name}": str(value) for name, value in settings.items()}
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _served_url(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until and process.poll() is None:
        words = log.read_text("utf-8", "replace").split()
        if url := next((word for word in words if word.startswith("http://")), ""):
            return url
        time.sleep(POLL_SECONDS)
    said = log.read_text("utf-8", "replace")[-LOG_CHARACTERS_SHOWN_MAX:].strip()
    raise CannotStart("The server for the tests did not start", detail=said)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """At once: what it has is of no use to anybody."""
    process.kill()
    process.wait()

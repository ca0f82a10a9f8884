"""The server of a command for its own use."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil

_COMMAND = """
import time
from birdhouse.cli.throwaway import throwaway_server
with throwaway_server() as server:
    server.ready()
    print(server.process.pid, flush=True)
    time.sleep(600)
"""
STOP_SECONDS_MAX = 30.0


def test_it_ends_with_a_command_that_is_killed() -> None:
    command = subprocess.Popen([sys.executable, "-c", _COMMAND], stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    with command.stdout:
        server = psutil.Process(int(command.stdout.readline()))
    command.kill()
    command.wait()
    until = time.monotonic() + STOP_SECONDS_MAX
    while _runs(server) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(server)


def _runs(process: psutil.Process) -> bool:
    """An ended process whose new parent does not look is still there, as a zombie."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

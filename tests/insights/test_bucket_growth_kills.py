"""Bucket growth with kills: Ctrl-C and SIGKILL of the script, SIGKILL of the server, at any moment."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random

import httpx
import pytest
from crash.crash_server import ServerProcess
from flows.flow_server import Server
from insights_project import INSIGHTS, run_copies
from living_workspace import Life, check_final_state, fixture_rows
from test_bucket_growth import deploy_buckets, project_folder

from buckets.layout import clean_copy
from buckets.stages import Stage

KILLS = 20
BUCKETS_MAX = 80
LINES_MAX = 8
"""How far a run may get before something is killed, in lines of progress; a whole migration prints some thirty."""
STEP_SECONDS_MAX = 300.0
SCRIPT = INSIGHTS / "scripts" / "grow_buckets"


class Script:
    """One run of `grow_buckets N --migrate`. The schedules are held as its lines say."""

    def __init__(self, server: Server, folder: Path, buckets: int, life: Life) -> None:
        options = ["--migrate", "--folder", str(folder), "--cache-seconds", "3"]
        target = ["--host", server.url, "--token", server.admin_token]
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(buckets), *options, *target],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._life = life
        self._progress = threading.Condition()
        self._is_over = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                if line.rstrip().endswith(Stage.HELD.value):
                    self._life.hold_schedules(True)
                if line.rstrip().endswith(Stage.SPLIT.value):
                    self._life.hold_schedules(False)
                with self._progress:
                    self.lines.append(line.rstrip())
                    self._progress.notify()
        with self._progress:
            self._is_over = True
            self._progress.notify()

    def gets_to(self, lines: int) -> bool:
        """Whether it went on beyond that many lines; it may have ended before."""
        with self._progress:
            assert self._progress.wait_for(lambda: self._is_over or len(self.lines) >= lines, STEP_SECONDS_MAX)
        return self.process.poll() is None

    def ended(self) -> int:
        """The exit code."""
        code = self.process.wait(STEP_SECONDS_MAX)
        self._reader.join()
        return code


def as_flow(server: ServerProcess) -> Server:
    token = httpx.get(f"{server.url}/tokens").json()["workspace_admin_token"]
    return Server(server.url, token, server.data_dir, server.http)


@pytest.mark.torture
def test_a_workspace_grows_although_server_and_script_are_killed(tmp_path: Path) -> None:
    folder = project_folder(tmp_path / "project", 10)
    rng = Random(5)
    process = ServerProcess(tmp_path / "data", {"BIRDHOUSE_FOLLOW_SCHEDULES": "false"}).start()
    try:
        server = as_flow(process)
        deploy_buckets(server, 10)
        life = Life(lambda: process.url, lambda: server.admin_token, BUCKETS_MAX, is_patient=True)
        life.remember([row["record"] for row in fixture_rows("activityRelations")])
        reached, is_under_way = 10, False
        kills: list[str] = []
        with life.going_on():
            while is_under_way or len(kills) < KILLS:
                script = Script(as_flow(process), folder, 2 * reached, life)
                is_under_way = len(kills) < KILLS and script.gets_to(rng.randrange(LINES_MAX))
                if is_under_way:
                    kills.append(kill_something(process, script, rng))
                else:
                    assert script.ended() == 0, script.lines
                    reached *= 2
        assert life.failures == []
        assert {"interrupt", "kill", "server"} <= set(kills)
        run_copies(as_flow(process), *map(clean_copy, range(reached)))
        check_final_state(process.sql, life, reached)
    finally:
        process.close()


def kill_something(process: ServerProcess, script: Script, rng: Random) -> str:
    """What was killed, a moment after a line of progress. A run that is told why it ends says how to go on."""
    time.sleep(rng.random() ** 2)
    what = rng.choice(("interrupt", "kill", "server", "server"))
    if what == "interrupt":
        script.process.send_signal(signal.SIGINT)
        assert script.ended() in (0, 130, -signal.SIGINT)  # the last when Python itself is still starting
    elif what == "kill":
        script.process.kill()
        script.ended()
    else:
        process.kill()
        assert script.ended() in (0, 1)
        process.start()
    if script.lines and script.process.returncode in (1, 130):
        assert "Run it again to go on from here." in script.lines[-1], script.lines
    return what

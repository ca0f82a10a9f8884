"""A server under test: the real command in its own process, on a directory and a port of its own."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from birdhouse.client import Client

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
RETRY_SECONDS = 0.005
JOB_SECONDS_MAX = 300.0
BIN = Path(sys.executable).parent


class Server:
    """Started on entering and stopped on leaving. `start_seconds` is from the command to its first answer."""

    def __init__(self, data_dir: Path, settings: Mapping[str, object] | None = None) -> None:
        self.data_dir = data_dir
        self.port = _free_port()
        self.start_seconds = 0.0
        self._environment = {f"BIRDHOUSE_{name.upper()}": str(value) for name, value in (settings or {}).items()}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        command = [str(BIN / "birdhouse"), "start", "--port", str(self.port), "--data-dir", str(self.data_dir)]
        started = time.perf_counter()
        self._process = subprocess.Popen(
            command, env=os.environ | self._environment, stdout=subprocess.DEVNULL, cwd=self.data_dir.parent
        )
        self._watched = psutil.Process(self._process.pid)
        self._await_answer(started + START_SECONDS_MAX)
        self.start_seconds = time.perf_counter() - started
        with Client(self.url) as client:
            self.token = client.local_tokens()["workspace_admin_token"]
        self.client = Client(self.url, self.token)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.__exit__(kind, error, trace)
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def cpu_seconds(self) -> float:
        """What the process has used so far. By its clock of CPU time: the sums in /proc go by ticks of 10 ms."""
        clock = ctypes.c_int()
        if ctypes.CDLL(None).clock_getcpuclockid(self._process.pid, ctypes.byref(clock)):
            raise SystemExit("The server has no clock of CPU time")
        return time.clock_gettime(clock.value)

    def resident_mb(self) -> float:
        return float(self._watched.memory_info().rss) / 1e6

    def token_for(self, pipe: str) -> str:
        """A token that may read one pipe and nothing else."""
        return str(self.post(f"/v0/tokens?name=reads_{pipe}&scope=PIPES:READ:{pipe}")["token"])

    def post(self, path: str, body: bytes = b"") -> Any:
        connection = HTTPConnection("127.0.0.1", self.port)
        connection.request("POST", path, body, {"Authorization": f"Bearer {self.token}"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status >= 300:
            raise SystemExit(f"POST {path}: {answer.status} {content.decode()}")
        return json.loads(content) if content else None

    def copy(self, pipe: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Runs a copy pipe to its end; the job."""
        return self.ended(self.client.run_copy(pipe, parameters))

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job once it is done."""
        deadline = time.monotonic() + JOB_SECONDS_MAX
        while (job := self.client.job(job_id))["status"] not in ("done", "error", "cancelled"):
            if time.monotonic() > deadline:
                raise SystemExit(f"The job {job_id} does not end")
            time.sleep(0.1)
        if job["status"] != "done":
            raise SystemExit(f"The job {job_id} failed: {job}")
        return job

    def _await_answer(self, deadline: float) -> None:
        while True:
            if self._process.poll() is not None:
                raise SystemExit(f"The server ended with status {self._process.returncode}")
            connection = HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS_MAX)
            try:
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except ConnectionRefusedError:
                if time.perf_counter() > deadline:
                    raise
                time.sleep(RETRY_SECONDS)
            finally:
                connection.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])

"""A server process to be killed, and what a test asks it before and after."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx

PROGRAM = Path(sys.executable).with_name("birdhouse")
START_SECONDS_MAX = 60.0
POLL_SECONDS = 0.02

Answer = TypeVar("Answer")

_RUN_IN_ENGINE = """
import json, sys, chdb
connection = chdb.connect(sys.argv[1])
answers = [str(connection.query(sql, "JSON")) for sql in sys.argv[2:]]
print(json.dumps([json.loads(answer)["data"] if answer else [] for answer in answers]))
"""


class ServerProcess:
    """One data directory and the process that serves it at the moment, on a free port."""

    def __init__(self, data_dir: Path, environment: Mapping[str, str] | None = None, **popen: Any) -> None:
        self.data_dir = data_dir
        self.log_file = data_dir.parent / f"{data_dir.name}.log"
        self.http = httpx.Client(timeout=60)
        self.url = ""
        self._environment = {**os.environ, **(environment or {})}
        self._popen = popen
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        self._log_start = len(self.log())
        command = [str(PROGRAM), "start", "--port", "0", "--data-dir", str(self.data_dir), *arguments]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment, cwd=self.data_dir.parent, **self._popen
            )
        return self._process

    def start(self, *arguments: str) -> ServerProcess:
        """Returns once requests are answered."""
        process = self.spawn(*arguments)
        found = wait_for(lambda: self._announced(process), seconds=START_SECONDS_MAX)
        self.url = found[1]
        token = httpx.get(f"{self.url}/tokens").json()["workspace_admin_token"]
        self.http.close()
        self.http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        return self

    def _announced(self, process: subprocess.Popen[bytes]) -> re.Match[str] | None:
        assert process.poll() is None, f"the server ended at start: {self.log()}"
        return re.search(r"Birdhouse serves (http://\S+)", self.log()[self._log_start :])

    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""

    def last_log(self) -> str:
        """Of the process that was started last."""
        return self.log()[self._log_start :]

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self, number: int = signal.SIGTERM, *, seconds: float = 30) -> int:
        """The exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def close(self) -> None:
        self.http.close()
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def restarted(self) -> ServerProcess:
        self.kill()
        return self.start()

    def sql(self, query: str) -> list[dict[str, Any]]:
        answer = self.http.post("/v0/sql", content=f"{query} FORMAT JSON")
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()["data"]
        return rows

    def value(self, query: str) -> Any:
        """The only value of the only row."""
        return next(iter(self.sql(query)[0].values()))

    def deploy(self, files: Mapping[str, str]) -> httpx.Response:
        answer = self.http.post("/v0/deployments", json={"files": dict(files)})
        assert answer.status_code == 200, answer.text
        return answer

    def post_events(self, name: str, *rows: Mapping[str, object]) -> httpx.Response:
        body = "\n".join(json.dumps(row) for row in rows)
        return self.http.post("/v0/events", params={"name": name, "wait": "true"}, content=body)

    def post_copy(self, pipe: str, **parameters: str) -> str:
        """The id of the job."""
        answer = self.http.post(f"/v0/pipes/{pipe}/copy", params=parameters)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["job"]["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/v0/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def finished(self, job_id: str, *, seconds: float = 30) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["status"] in ("done", "error", "cancelled") else None

        return wait_for(ended, seconds=seconds)

    def run_in_engine(self, *statements: str) -> list[list[dict[str, Any]]]:
        """The rows of each statement, run on the directory while no server has it."""
        command = [sys.executable, "-c", _RUN_IN_ENGINE, str(self.data_dir / "engine"), *statements]
        return list(json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout))

    def tables_left_over(self) -> list[str]:
        """Names of staging and scratch tables in the stopped engine."""
        sql = "SELECT database || '.' || name AS t FROM system.tables WHERE t LIKE '%staging%' OR t LIKE 'scratch%'"
        return [str(row["t"]) for row in self.run_in_engine(sql)[0]]


def wait_for(look: Callable[[], Answer | None], *, seconds: float) -> Answer:
    """What `look` finds, once it finds something."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"nothing was found within {seconds} seconds")


def datasource(*columns: str, engine: str = "MergeTree", key: str = "") -> str:
    """Columns are `name Type` with the JSONPath `$.name`."""
    lines = [f"    `{name}` {type_} `json:$.{name}`" for name, type_ in (column.split(" ", 1) for column in columns)]
    key = key or columns[0].split(" ", 1)[0]
    return "SCHEMA >\n" + ",\n".join(lines) + f'\n\nENGINE "{engine}"\nENGINE_SORTING_KEY "{key}"\n'


def pipe(sql: str, *output: str) -> str:
    return "\n".join(["NODE n", "SQL >", f"    {sql}", "", *output, ""])


def view(sql: str, target: str) -> str:
    return pipe(sql, "TYPE materialized", f"DATASOURCE {target}")


def copy(sql: str, target: str, mode: str) -> str:
    return pipe(sql, "TYPE COPY", f"TARGET_DATASOURCE {target}", f"COPY_MODE {mode}")


Make = Callable[..., ServerProcess]
"""Makes a server, not started yet, that ends with the test."""

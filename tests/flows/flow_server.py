"""A real server process for the flows, and a small client for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 20.0
REQUEST_SECONDS_MAX = 60.0
JOB_SECONDS_MAX = 60.0
UPLOAD_BYTES_MAX = 4_000_000
"""The limit of the server that all flows share."""


@dataclass
class Server:
    """Requests carry the admin token unless they are given another `token`; an empty one sends none."""

    url: str
    admin_token: str
    data_dir: Path
    http: httpx.Client = field(repr=False)

    def request(self, method: str, path: str, *, token: str | None = None, **options: Any) -> httpx.Response:
        token = self.admin_token if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.http.request(method, path, headers={**headers, **options.pop("headers", {})}, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> httpx.Response:
        return self.request("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.request("DELETE", path, **options)

    def sql(self, query: str) -> list[dict[str, Any]]:
        """The rows of a SELECT."""
        answer = self.get("/v0/sql", params={"q": f"{query} FORMAT JSON"})
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()["data"]
        return rows

    def deploy(self, files: dict[str, str]) -> httpx.Response:
        """Datafiles by path, all at once."""
        answer = self.post("/v0/deployments", json={"files": files})
        assert answer.status_code == 200, answer.text
        return answer

    def token(self, name: str, *scopes: str) -> str:
        """A new static token with these scopes."""
        answer = self.post("/v0/tokens", params=[("name", name), *(("scope", scope) for scope in scopes)])
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def finished(self, job_id: str, *, token: str | None = None) -> dict[str, Any]:
        """The job once it has ended."""
        deadline = time.monotonic() + JOB_SECONDS_MAX
        while time.monotonic() < deadline:
            job: dict[str, Any] = self.get(f"/v0/jobs/{job_id}", token=token).json()
            if job["status"] in ("done", "error", "cancelled"):
                return job
            time.sleep(0.05)
        raise AssertionError(f"job {job_id} is not done after {JOB_SECONDS_MAX} s")


@contextmanager
def running_server(data_dir: Path, **settings: object) -> Iterator[Server]:
    """A server on a free port; `settings` are named as in birdhouse.settings. Its own process is ended at the end."""
    log = data_dir.with_suffix(".log")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BIRDHOUSE_")},
        **{f"BIRDHOUSE_{name.upper()}": str(value) for name, value in settings.items()},
    }
    command = [sys.executable, "-m", "birdhouse", "start", "--port", "0", "--data-dir", str(data_dir)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=data_dir.parent
        )
        try:
            url = _served_url(process, log)
            with httpx.Client(base_url=url, timeout=REQUEST_SECONDS_MAX) as http:
                yield Server(url, http.get("/tokens").json()["workspace_admin_token"], data_dir, http)
        finally:
            _stop(process)


def _served_url(process: subprocess.Popen[bytes], log: Path) -> str:
    """The URL that the server announces, once it answers that it is well."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        words = log.read_text("utf-8", "replace").split()
        url = next((word for word in words if word.startswith("http://")), "")
        if url and httpx.get(f"{url}/health").status_code == 200:
            return url
        time.sleep(0.05)
    raise AssertionError(f"the server did not start:\n{log.read_text('utf-8', 'replace')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

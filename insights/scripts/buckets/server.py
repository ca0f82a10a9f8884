"""What the migration asks of a server, over HTTP."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

REQUEST_SECONDS_MAX = 600.0
POLL_SECONDS = 0.2
STILL_RUNNING = ("waiting", "working", "cancelling")


class ServerError(Exception):
    """The server cannot be reached or refuses: the message says which. `status` is 0 when it cannot be reached."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Server:
    def __init__(self, host: str, token: str) -> None:
        self._host = host.rstrip("/")
        self._token = token

    @classmethod
    def local(cls, host: str) -> Server:
        """A local server tells its tokens to callers on the same machine."""
        return cls(host, str(cls(host, "")._request("GET", "/tokens")["workspace_admin_token"]))

    def sql(self, query: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._request("POST", "/v0/sql", json_body={"q": f"{query} FORMAT JSON"})["data"]
        return rows

    def datafile(self, pipe: str) -> str | None:
        """The text of a pipe as it was pushed; None when there is no such pipe."""
        try:
            return self._send("GET", f"/v0/pipes/{pipe}.pipe").decode()
        except ServerError as error:
            if error.status == 404:
                return None
            raise

    def pipe(self, name: str) -> dict[str, Any]:
        return self._request("GET", f"/v0/pipes/{name}")

    def deploy(self, files: Mapping[str, str]) -> None:
        """All of them or none."""
        self._request("POST", "/v0/deployments", json_body={"files": dict(files)})

    def jobs(self, pipe: str) -> list[dict[str, Any]]:
        """The last jobs of a pipe, newest first."""
        jobs: list[dict[str, Any]] = self._request("GET", f"/v0/jobs?pipe_name={pipe}")["jobs"]
        return jobs

    def idle(self, pipe: str) -> None:
        """Returns when no job of the pipe is under way, however they ended."""
        for job in self.jobs(pipe):
            while job["status"] in STILL_RUNNING:
                time.sleep(POLL_SECONDS)
                job = self._request("GET", f"/v0/jobs/{job['job_id']}")

    def copy(self, pipe: str) -> None:
        """Runs a copy that sees everything there is now: not one that began before."""
        self.idle(pipe)
        job = self._request("POST", f"/v0/pipes/{pipe}/copy")["job"]
        self._wait(job["job_id"], f"The copy '{pipe}'")

    def delete(self, datasource: str, condition: str) -> None:
        """Deletes rows, and returns when they are gone."""
        path = f"/v0/datasources/{datasource}/delete"
        answer = self._request("POST", path, form={"delete_condition": condition})
        self._wait(answer["job_id"], f"The delete in '{datasource}'")

    def _wait(self, job_id: str, what: str) -> None:
        while True:
            job = self._request("GET", f"/v0/jobs/{job_id}")
            if job["status"] == "done":
                return
            if job["status"] not in STILL_RUNNING:
                raise ServerError(f"{what} ended with {job['status']}: {job.get('error') or 'no reason given'}")
            time.sleep(POLL_SECONDS)

    def _request(
        self, method: str, path: str, *, json_body: object = None, form: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._send(method, path, json_body=json_body, form=form))
        return answer

    def _send(
        self, method: str, path: str, *, json_body: object = None, form: Mapping[str, str] | None = None
    ) -> bytes:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        body = None
        if json_body is not None:
            body, headers["Content-Type"] = json.dumps(json_body).encode(), "application/json"
        elif form is not None:
            body = urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(f"{self._host}{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS_MAX) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise ServerError(_reason(error), error.code) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ServerError(f"The server at {self._host} does not answer: {error}") from error


def _reason(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text or str(error)

"""A small HTTP client of our own API, for the commands, the connectors and the tests."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from birdhouse.errors import BirdhouseError

TIMEOUT_SECONDS = 600.0
"""A deployment or an import may work for minutes; the server's own limits end what takes too long."""


FORBIDDEN = 403
ENDED = ("done", "error", "cancelled")
"""The states that a job does not leave again."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str


class ApiError(BirdhouseError):
    """The server refused the request."""

    def __init__(self, status: int, message: str, errors: tuple[str, ...] = ()) -> None:
        self.status = status
        self.errors = errors
        super().__init__(message)


class Client:
    """`host` is scheme, host and port: `http://127.0.0.1:7181`."""

    def __init__(self, host: str, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.host = host
        self._http = httpx.Client(base_url=host, headers=headers, timeout=TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def local_tokens(self) -> dict[str, str]:
        """The tokens that a local server tells callers on its own machine."""
        tokens: dict[str, str] = self._json("GET", "/tokens")
        return tokens

    def sql(self, query: str) -> list[dict[str, Any]]:
        """The rows of a SELECT."""
        rows: list[dict[str, Any]] = self._json("POST", "/v0/sql", content=f"{query} FORMAT JSON")["data"]
        return rows

    def endpoint(self, name: str, parameters: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """The rows of an endpoint."""
        rows: list[dict[str, Any]] = self._json("GET", f"/v0/pipes/{name}.json", params=parameters)["data"]
        return rows

    def answer(self, path: str, parameters: Sequence[tuple[str, str]] = (), *, method: str = "GET") -> Answer:
        """Whatever the server says, an error too. Parameters of a POST are sent as a form, so they may be long."""
        place = "params" if method == "GET" else "data"
        options: dict[str, Any] = {place: list(parameters) if method == "GET" else dict(parameters)}
        response = self._http.request(method, path, **options)
        return Answer(response.status_code, response.text)

    def append_file(self, name: str, path: Path, format: str) -> dict[str, Any]:
        """Adds the rows of a file to a data source; the answer counts them."""
        options = {"mode": "append", "format": format, "name": name}
        with path.open("rb") as file:
            answer: dict[str, Any] = self._json(
                "POST", "/v0/datasources", params=options, files={format: (path.name, file)}
            )
        return answer

    def deploy(self, files: Mapping[str, str], *, dry_run: bool = False) -> dict[str, Any]:
        """Deploys datafiles, path to text, as a whole."""
        answer: dict[str, Any] = self._json(
            "POST", "/v0/deployments", params={"dry_run": str(dry_run).lower()}, json={"files": dict(files)}
        )
        return answer

    def evolve(self, datasource: str, asked: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """The steps, and the job if it takes one. `asked` has the fields of the route."""
        answer: dict[str, Any] = self._json(
            "POST",
            f"/v0/datasources/{quote(datasource, safe='')}/evolve",
            params={"dry_run": str(dry_run).lower()},
            json=dict(asked),
        )
        return answer

    def begin_backfill(self, datasource: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._json("POST", self._backfill(datasource))
        return answer

    def finish_backfill(self, datasource: str, *, fewer: bool = False) -> dict[str, Any]:
        """How many rows there were and have come, and the job."""
        path = f"{self._backfill(datasource)}/finish"
        answer: dict[str, Any] = self._json("POST", path, params={"fewer": str(fewer).lower()})
        return answer

    def abort_backfill(self, datasource: str) -> None:
        self._json("DELETE", self._backfill(datasource))

    def _backfill(self, datasource: str) -> str:
        return f"/v0/datasources/{quote(datasource, safe='')}/backfill"

    def run_copy(self, pipe: str, parameters: Mapping[str, str] | None = None) -> str:
        """Starts a copy; the id of its job."""
        return str(self._json("POST", f"/v0/pipes/{pipe}/copy", params=parameters)["job"]["job_id"])

    def populate(self, pipe: str, options: Mapping[str, object]) -> dict[str, Any]:
        """Starts the populate of a materialized pipe; the job. Options that are None or empty are left out."""
        nodes = self._json("GET", f"/v0/pipes/{pipe}")["nodes"]
        node = next((each for each in nodes if each["materialized"]), nodes[-1])
        given = {name: str(value).lower() if value is True else value for name, value in options.items() if value}
        job: dict[str, Any] = self._json("POST", f"/v0/pipes/{pipe}/nodes/{node['id']}/population", params=given)["job"]
        return job

    def misfits(self, datasource: str) -> list[dict[str, Any]]:
        """The groups of its quarantine."""
        found: list[dict[str, Any]] = self._json("GET", self._quarantine(datasource))["groups"]
        return found

    def replay_quarantine(self, datasource: str) -> dict[str, Any]:
        """The job."""
        job: dict[str, Any] = self._json("POST", f"{self._quarantine(datasource)}/replay")["job"]
        return job

    def _quarantine(self, datasource: str) -> str:
        return f"/v0/datasources/{quote(datasource, safe='')}/quarantine"

    def workspaces(self) -> list[dict[str, Any]]:
        """Those that the token may work with, each with a token of its own."""
        found: list[dict[str, Any]] = self._json("GET", "/v0/user/workspaces")["workspaces"]
        return found

    def create_workspace(self, name: str) -> dict[str, Any]:
        """An empty one, with a token of its own; takes the user token."""
        made: dict[str, Any] = self._json("POST", "/v0/workspaces", data={"name": name})
        return made

    def share(self, datasource: str, workspace_id: str) -> None:
        """That workspace may read it from now on; takes the user token."""
        path = f"/v0/datasources/{quote(datasource, safe='')}/share"
        self._json("POST", path, data={"destination_workspace_id": workspace_id})

    def backups(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._json("GET", "/v0/backups")["backups"]
        return found

    def backup(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._json("GET", f"/v0/backups/{quote(name, safe='')}")
        return found

    def create_backup(self, name: str = "", *, base: str = "", verify: bool = True) -> dict[str, Any]:
        """The job that makes it."""
        options = {"name": name, "base": base, "verify": str(verify).lower()}
        job: dict[str, Any] = self._json("POST", "/v0/backups", params=options)["job"]
        return job

    def restore_backup(self, name: str, *, workspace: str = "", replace: bool = False) -> dict[str, Any]:
        """The job that makes a workspace of it."""
        options = {"workspace": workspace, "replace": str(replace).lower()}
        job: dict[str, Any] = self._json("POST", f"/v0/backups/{quote(name, safe='')}/restore", params=options)["job"]
        return job

    def remove_backup(self, name: str) -> None:
        self._json("DELETE", f"/v0/backups/{quote(name, safe='')}")

    def clone_workspace(self, name: str, *, data: str = "all", ignore: Sequence[str] = ()) -> dict[str, Any]:
        """The job that makes the second workspace."""
        own = self._json("GET", "/v0/workspace")["id"]
        options = {"name": name, "data": data, "ignore_datasources": ",".join(ignore)}
        job: dict[str, Any] = self._json("POST", f"/v0/workspaces/{own}/clone", params=options)["job"]
        return job

    def use_token(self, token: str) -> None:
        self._http.headers["Authorization"] = f"Bearer {token}"

    def datasources(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._json("GET", "/v0/datasources")["datasources"]
        return found

    def pipes(self) -> list[dict[str, Any]]:
        """With everything about them and their nodes."""
        options = {"dependencies": "false", "attrs": "", "node_attrs": ""}
        found: list[dict[str, Any]] = self._json("GET", "/v0/pipes", params=options)["pipes"]
        return found

    def datafile(self, kind: str, name: str) -> str:
        """The text of a resource; `kind` is `datasources` or `pipes`."""
        version = {"datasources": "v0", "pipes": "v1"}[kind]
        return self._request("GET", f"/{version}/{kind}/{name}.{kind.removesuffix('s')}").text

    def tokens(self) -> list[dict[str, Any]]:
        """The tokens that this one may manage; none when it may manage none."""
        try:
            found: list[dict[str, Any]] = self._json("GET", "/v0/tokens")["tokens"]
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            return []
        return found

    def datasource(self, name: str) -> dict[str, Any]:
        """Schema, engine and size."""
        found: dict[str, Any] = self._json("GET", f"/v0/datasources/{quote(name, safe='')}")
        return found

    def pipe_names(self) -> list[str]:
        answer = self._json("GET", "/v0/pipes", params={"attrs": "name", "node_attrs": "name"})
        return [pipe["name"] for pipe in answer["pipes"]]

    def wait_for_job(self, job_id: str, *, poll_seconds: float, seconds_max: float) -> dict[str, Any]:
        """The job once it has ended, or as it is after `seconds_max`."""
        until = time.monotonic() + seconds_max
        while True:
            job = self.job(job_id)
            if job["status"] in ENDED or time.monotonic() > until:
                return job
            time.sleep(poll_seconds)

    def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = self._json("GET", f"/v0/jobs/{job_id}")
        return job

    def _json(self, method: str, path: str, **options: Any) -> Any:
        return _content(self._request(method, path, **options))

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise ApiError(
                0, f"The server at {self._http.base_url} does not answer ({error}). Is it started?"
            ) from error
        if response.is_error:
            content = _content(response)
            text = content.get("error") if isinstance(content, dict) else None
            errors = tuple(content.get("errors", ())) if isinstance(content, dict) else ()
            raise ApiError(response.status_code, str(text or response.text), errors)
        return response


def _content(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None

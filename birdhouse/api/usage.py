"""Answers queries and keeps count of them: in `tinybird.pipe_stats_rt` and in the counters of `/metrics`."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from starlette.requests import Request
from starlette.responses import Response

from birdhouse.api.call import TRUE_WORDS, Call
from birdhouse.api.disconnect import while_connected
from birdhouse.api.errors import status_of, wire_text
from birdhouse.api.metrics import observe_query
from birdhouse.api.responses import query_response
from birdhouse.catalog.resources import Pipe
from birdhouse.engine.types import Statistics
from birdhouse.errors import BirdhouseError
from birdhouse.query.answer import Answer, StreamedAnswer
from birdhouse.usage.requests import QUERY_API, Requested

Work = Callable[[Mapping[str, str]], Coroutine[Any, Any, Answer | StreamedAnswer]]

ENDPOINT = "endpoint"
SQL = "sql"
NO_STATISTICS = Statistics()


@dataclass(frozen=True, slots=True)
class Subject:
    """What a request is counted under."""

    kind: str
    pipe_id: str
    pipe_name: str


SQL_SUBJECT = Subject(SQL, QUERY_API, QUERY_API)


def endpoint_subject(call: Call) -> Subject:
    """A pipe that does not exist has no id: such a request is counted, but is in nobody's statistics."""
    found = call.workspace.find(call.name)
    return Subject(ENDPOINT, found.id, found.name) if isinstance(found, Pipe) else Subject(ENDPOINT, "", "")


async def recorded(
    call: Call, subject: Subject, parameters: Coroutine[Any, Any, Mapping[str, str]], work: Work
) -> Response:
    """The answer of `work`, which is given the parameters and is ended when the client goes away."""
    note = _Note(call, subject)
    try:
        note.parameters = await parameters
        answer = await while_connected(call.request, work(note.parameters))
    except BirdhouseError as error:
        note.failed(error)
        raise
    if isinstance(answer, Answer):
        note.answered(answer.statistics)
    return query_response(answer, on_end=note.ended)


class _Note:
    """One request on its way into the statistics."""

    def __init__(self, call: Call, subject: Subject) -> None:
        self._call = call
        self._subject = subject
        self._started_at = call.parts.clock.now()
        self._start = time.perf_counter()
        self.parameters: Mapping[str, str] = {}

    def ended(self, error: BirdhouseError | None) -> None:
        """A stream ended. The engine tells nothing about its cost."""
        if error is None:
            self.answered(NO_STATISTICS)
        else:
            self.failed(error)

    def answered(self, statistics: Statistics) -> None:
        self._take(200, None, statistics)

    def failed(self, error: BirdhouseError) -> None:
        self._take(status_of(error), wire_text(error), NO_STATISTICS)

    def _take(self, status: int, error: str | None, statistics: Statistics) -> None:
        seconds = time.perf_counter() - self._start
        observe_query(self._subject.kind, status, seconds)
        call, request, parameters = self._call, self._call.request, self.parameters
        is_checker = parameters.get("pipe_checker", "").lower() in TRUE_WORDS
        if not self._subject.pipe_id or is_checker or not call.parts.recorder.is_on:
            return
        call.parts.recorder.note(
            Requested(
                workspace_id=call.grants.workspace_id,
                start_datetime=self._started_at,
                pipe_id=self._subject.pipe_id,
                pipe_name=self._subject.pipe_name,
                token=call.grants.token_id,
                token_name=call.grants.token_name,
                duration=seconds,
                read_rows=statistics.rows_read,
                read_bytes=statistics.bytes_read,
                result_rows=statistics.result_rows,
                url=url_without_token(request.scope["path"], request.scope.get("query_string", b"")),
                status_code=status,
                error_message=error,
                request_id=request.scope["state"]["request_id"],
                parameters={name: value for name, value in parameters.items() if name != "token"},
                method=request.method,
                user_agent=request.headers.get("user-agent"),
                client_ip=_client_ip(request),
            )
        )


def _client_ip(request: Request) -> str | None:
    client = request.scope.get("client")
    return client[0] if client else None


def url_without_token(path: str, query: bytes) -> str:
    """Path and query as they came, minus the token: statistics are read by more people than tokens are."""
    if b"token" not in query and b"%" not in query:
        return f"{path}?{query.decode('latin-1')}" if query else path
    kept = [item for item in query.decode("latin-1").split("&") if item and not _is_token(item)]
    return f"{path}?{'&'.join(kept)}" if kept else path


def _is_token(item: str) -> bool:
    name = item.partition("=")[0]
    return name == "token" or ("%" in name and unquote_plus(name) == "token")

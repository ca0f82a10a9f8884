"""Requests to endpoints and to the Query API: `tinybird.pipe_stats_rt`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

import orjson

from birdhouse.usage.row import Row

QUERY_API = "query_api"
"""The pipe id and name under which requests to `/v0/sql` are recorded."""


COLUMNS = (
    "workspace_id", "start_datetime", "pipe_id", "pipe_name", "token", "token_name", "duration", "read_bytes",
    "read_rows", "result_rows", "url", "error", "error_message", "status_code", "request_id", "parameters", "method",
    "user_agent", "client_ip",
)  # fmt: skip
_values = attrgetter(*COLUMNS)


@dataclass(slots=True, kw_only=True)
class Requested(Row):
    """One request. `token` is the id of its token, `url` path and query without the token, `duration` in seconds.

    The engine knows no CPU time or memory of a single query: those columns keep their defaults. Every request makes
    one of these, so it is not frozen, which would take three times as long, and is encoded without a detour.
    """

    TABLE = "pipe_stats_rt"

    workspace_id: str
    start_datetime: datetime
    pipe_id: str
    pipe_name: str
    token: str
    token_name: str
    duration: float
    read_bytes: int
    read_rows: int
    result_rows: int
    url: str
    error_message: str | None
    status_code: int
    request_id: str
    parameters: Mapping[str, str]
    method: str
    user_agent: str | None
    client_ip: str | None

    @property
    def error(self) -> int:
        return int(self.status_code >= 400)

    def stored(self) -> dict[str, object]:
        return dict(zip(COLUMNS, _values(self), strict=True))

    def encoded(self) -> bytes:
        return orjson.dumps(_values(self))

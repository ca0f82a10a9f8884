"""Requests to endpoints and to the Query API: `tinybird.pipe_stats_rt`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from birdhouse.usage.row import Row

QUERY_API = "query_api"
"""The pipe id and name under which requests to `/v0/sql` are recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested(Row):
    """One request. `token` is the id of its token, `url` path and query without the token, `duration` in seconds.

    The engine knows no CPU time or memory of a single query: those columns keep their defaults.
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

    def stored(self) -> dict[str, object]:
        return Row.stored(self) | {"error": int(self.status_code >= 400)}

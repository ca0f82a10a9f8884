"""Records requests in the service data sources: noted at once, written in batches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import orjson
import structlog

from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Insert
from birdhouse.errors import BirdhouseError

log = structlog.get_logger(__name__)

WAITING_ROWS_MAX = 100_000
"""When the engine cannot keep up, the oldest notes go first: statistics never hold up or fail a request."""

FLUSH_INTERVAL_SECONDS = 1.0
QUERY_API = "query_api"
"""The pipe name under which requests to `/v0/sql` are recorded."""


COLUMNS = (
    "workspace_id", "start_datetime", "pipe_id", "pipe_name", "token", "token_name", "duration", "read_bytes",
    "read_rows", "result_rows", "url", "error", "error_message", "status_code", "request_id", "parameters", "method",
    "user_agent", "client_ip",
)  # fmt: skip
"""What is recorded. The engine knows no CPU time or memory of a single query: those columns keep defaults."""


@dataclass(frozen=True, slots=True)
class Requested:
    """One request, as a row of `tinybird.pipe_stats_rt`. `url` is path and query without the token."""

    workspace_id: str
    started_at: datetime
    pipe_id: str
    pipe_name: str
    token_id: str
    token_name: str
    seconds: float
    rows_read: int
    bytes_read: int
    result_rows: int
    url: str
    status: int
    error: str | None
    request_id: str
    parameters: Mapping[str, str]
    method: str
    user_agent: str | None
    client_ip: str | None


class Recorder:
    def __init__(self, engine: Engine, services: Callable[[], Workspace | None]) -> None:
        self._engine = engine
        self._services = services
        self._waiting: deque[Requested] = deque(maxlen=WAITING_ROWS_MAX)
        self._task: asyncio.Task[None] | None = None

    def note(self, requested: Requested) -> None:
        self._waiting.append(requested)

    def start(self) -> None:
        self._task = asyncio.create_task(self._flush_forever())

    async def stop(self) -> None:
        """Writes what is still waiting."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self.flush()

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        services = self._services()
        if not self._waiting or services is None:
            return
        target = services.resources.get("pipe_stats_rt")
        if not isinstance(target, DataSource):
            return
        rows = [self._waiting.popleft() for _ in range(len(self._waiting))]
        data = b"\n".join(orjson.dumps(_row(each)) for each in rows)
        try:
            await self._engine.insert(Insert(target.table, COLUMNS, "JSONEachRow", data, uuid4().hex))
        except BirdhouseError as error:
            log.warning("requests_not_recorded", rows=len(rows), error=str(error))


def _row(each: Requested) -> dict[str, object]:
    return {
        "workspace_id": each.workspace_id,
        "start_datetime": int(each.started_at.timestamp()),
        "pipe_id": each.pipe_id,
        "pipe_name": each.pipe_name,
        "token": each.token_id,
        "token_name": each.token_name,
        "duration": each.seconds,
        "read_bytes": each.bytes_read,
        "read_rows": each.rows_read,
        "result_rows": each.result_rows,
        "url": each.url,
        "error": int(each.status >= 400),
        "error_message": each.error,
        "status_code": each.status,
        "request_id": each.request_id,
        "parameters": dict(each.parameters),
        "method": each.method,
        "user_agent": each.user_agent,
        "client_ip": each.client_ip,
    }

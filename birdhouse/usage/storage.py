"""How much data sources hold: `tinybird.datasources_storage`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import orjson
import structlog

from birdhouse.catalog.resources import QUARANTINE_SUFFIX
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import Clock
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query, quote_string
from birdhouse.errors import BirdhouseError
from birdhouse.usage.row import Note, Row

log = structlog.get_logger(__name__)

NOTHING = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSize(Row):
    """The size of one data source. Of those with the same `timestamp`, an hour, the table keeps the greatest."""

    TABLE = "datasources_storage"

    workspace_id: str
    datasource_id: str
    datasource_name: str
    timestamp: datetime
    bytes: int
    rows: int
    bytes_quarantine: int
    rows_quarantine: int


class StorageSamples:
    """Measures every data source at times, and whenever it is asked to."""

    def __init__(
        self,
        engine: Engine,
        workspaces: Callable[[], Iterable[Workspace]],
        clock: Clock,
        note: Note,
        *,
        interval_seconds: float,
    ) -> None:
        self._engine = engine
        self._workspaces = workspaces
        self._clock = clock
        self._note = note
        self._interval_seconds = interval_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._sample_forever())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _sample_forever(self) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            try:
                await self.sample()
            except BirdhouseError as error:
                log.warning("storage_not_sampled", error=str(error))

    async def sample(self) -> None:
        """One query of some milliseconds for each workspace."""
        hour = self._clock.now().replace(minute=0, second=0, microsecond=0)
        for workspace in self._workspaces():
            sizes = await _sizes(self._engine, workspace.database)
            for each in workspace.datasources():
                rows, size_bytes = sizes.get(each.id, NOTHING)
                rows_quarantine, bytes_quarantine = sizes.get(f"{each.id}{QUARANTINE_SUFFIX}", NOTHING)
                self._note(
                    StoredSize(
                        workspace_id=workspace.id,
                        datasource_id=each.id,
                        datasource_name=each.name,
                        timestamp=hour,
                        bytes=size_bytes,
                        rows=rows,
                        bytes_quarantine=bytes_quarantine,
                        rows_quarantine=rows_quarantine,
                    )
                )


async def _sizes(engine: Engine, database: str) -> dict[str, tuple[int, int]]:
    """Table to its rows and bytes; engines that store nothing have none."""
    result = await engine.select(
        Query(
            "SELECT name, ifNull(total_rows, 0), ifNull(total_bytes, 0) FROM system.tables "
            f"WHERE database = {quote_string(database)}",
            "JSONCompactEachRow",
        )
    )
    return {name: (int(rows), int(size)) for name, rows, size in map(orjson.loads, result.body.splitlines())}

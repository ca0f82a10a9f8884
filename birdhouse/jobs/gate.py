"""Lets the inserts of a workspace run side by side, and holds them all while a snapshot is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import (
    NO_PARAMETERS,
    Capabilities,
    Insert,
    Lane,
    Limits,
    Progress,
    Query,
    Result,
    Statistics,
)
from birdhouse.errors import Busy
from birdhouse.ingest.layout import Layouts


@dataclass(slots=True)
class _Side:
    """Of one database: inserts that run, and whether new ones have to wait."""

    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    writing: int = 0
    held: int = 0
    has_holder: bool = False


class WriteGate:
    """An engine whose inserts can be held for a moment: everything that ingests must insert through it.

    Rows reach a table also through views on other tables, so inserts are held for a whole database. One snapshot
    takes some milliseconds; an insert that arrives meanwhile waits and then goes on.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.layouts = Layouts()
        self._sides: dict[str, _Side] = {}
        self._retired: set[str] = set()

    @asynccontextmanager
    async def writing(self, database: str) -> AsyncIterator[None]:
        """Around a statement that adds rows to tables others see."""
        side = self._sides.setdefault(database, _Side())
        async with side.changed:
            await side.changed.wait_for(lambda: not side.held)
            if database in self._retired:
                raise Busy("The workspace was replaced a moment ago.", hint="Send the request again.")
            side.writing += 1
        try:
            yield
        finally:
            async with side.changed:
                side.writing -= 1
                side.changed.notify_all()

    @asynccontextmanager
    async def held(self, database: str) -> AsyncIterator[None]:
        """No insert into the database is under way in the body. Keep it short."""
        side = self._sides.setdefault(database, _Side())
        side.held += 1  # from now on no new insert begins
        try:
            async with side.changed:
                await side.changed.wait_for(lambda: not side.writing and not side.has_holder)
                side.has_holder = True
            try:
                yield
            finally:
                side.has_holder = False
        finally:
            side.held -= 1
            async with side.changed:
                side.changed.notify_all()

    def retire(self, database: str) -> None:
        """Rows that wait for a database which another one has replaced are refused: nobody would see them."""
        self._retired.add(database)

    @property
    def ungated(self) -> Engine:
        return self._engine

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    async def insert(self, insert: Insert, /) -> None:
        async with self.writing(insert.table.database):
            await self._engine.insert(insert)

    async def select(self, query: Query, /) -> Result:
        return await self._engine.select(query)

    def stream(self, query: Query, /) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._engine.stream(query)

    async def execute(
        self,
        statement: str,
        /,
        *,
        lane: Lane = Lane.CONTROL,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
        on_progress: Callable[[Progress], None] | None = None,
        parameters: Mapping[str, str] = NO_PARAMETERS,
    ) -> Statistics:
        return await self._engine.execute(
            statement, lane=lane, limits=limits, on_progress=on_progress, parameters=parameters
        )

    async def close(self) -> None:
        await self._engine.close()

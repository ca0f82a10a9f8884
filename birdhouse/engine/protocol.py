"""What an engine must do. `engine/chdb.py` is the embedded one; a remote ClickHouse comes behind the same protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

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


class Engine(Protocol):
    """Every call is async and may be cancelled: cancelling the task that awaits it ends the statement in the engine.

    Failures raise errors of `birdhouse.errors`: SqlError with the engine's code, QueryTimeout, MemoryLimit, RowLimit,
    StorageFull, PartialWrite. No other exception crosses this border.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    async def select(self, query: Query, /) -> Result:
        """Runs a SELECT and returns the whole answer in its format."""
        ...

    def stream(self, query: Query, /) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Runs a SELECT in a row format (JSONEachRow, CSV, TSV, RowBinary) and yields it in chunks.

        CSVWithNames and TSVWithNames begin with their header, also where there are no rows. Memory stays flat whatever
        the size. An error of the statement can come after chunks were yielded.
        """
        ...

    async def insert(self, insert: Insert, /) -> None:
        """Writes one block. When it returns, the rows and those of all views on the table are durable.

        Raises PartialWrite when a view failed after the table itself took the rows: repeat with the same token.
        """
        ...

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
        """Runs a statement of ours: DDL, INSERT … SELECT, a mutation. Never text of a client.

        `parameters` bind `{name: Type}` placeholders, so that a secret is in no statement, log or error.
        """
        ...

    async def close(self) -> None: ...


class HeldEngine(Engine, Protocol):
    """An engine whose inserts can be held: what is ingested goes through it (`jobs/gate.py`)."""

    @property
    def ungated(self) -> Engine:
        """The engine behind it, for inserts in the body of `writing`."""
        ...

    def writing(self, database: str) -> AbstractAsyncContextManager[None]:
        """Around what adds rows to tables that others see."""
        ...

    def held(self, database: str) -> AbstractAsyncContextManager[None]:
        """No insert into the database is under way in the body. Keep it short."""
        ...

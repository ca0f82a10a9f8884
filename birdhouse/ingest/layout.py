"""Keeps the columns of a table as they are from the moment rows are fitted to them until the rows are written.

Rows travel to the engine as bytes in the layout that the table had when they were fitted. In another layout the same
bytes are other values, so whoever changes it waits for the rows that are under way, and new ones wait for the change.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from birdhouse.engine.types import TableName
from birdhouse.errors import Busy, Conflict

FILES_SECONDS_MAX = 900.0
"""How long a job waits for the end of imports of files. Other rows go on coming in meanwhile."""


@dataclass(slots=True)
class _Use:
    """Of one table: requests that fit rows to it now, files that are being imported, and changes that want it."""

    requests: int = 0
    imports: int = 0
    changes: int = 0
    is_changing: bool = False
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever one of them is done."""

    async def wait(self) -> None:
        self.left.clear()
        await self.left.wait()


class FilesUnderWay(Conflict):
    """A file is being imported into the data source."""


class Layouts:
    def __init__(self) -> None:
        self._uses: dict[TableName, _Use] = {}
        self._rewritten: set[TableName] = set()

    @asynccontextmanager
    async def request(self, table: TableName) -> AsyncIterator[None]:
        """Around reading the columns of a table, fitting rows to them and writing these: milliseconds."""
        use = await self._entered(table)
        use.requests += 1
        try:
            yield
        finally:
            use.requests -= 1
            self._leave(table, use)

    @asynccontextmanager
    async def file(self, table: TableName) -> AsyncIterator[None]:
        """The same around a whole file, which may take minutes."""
        use = await self._entered(table)
        use.imports += 1
        try:
            yield
        finally:
            use.imports -= 1
            self._leave(table, use)

    @asynccontextmanager
    async def changing(self, tables: Collection[TableName]) -> AsyncIterator[None]:
        """Nobody fits rows to any of the tables while the body runs. Keep it short.

        Raises FilesUnderWay when a file is being imported, see `without_files`.
        """
        uses = {table: self._uses.setdefault(table, _Use()) for table in tables}
        for use in uses.values():
            use.changes += 1
        has_begun = False
        try:
            if any(use.imports or use.is_changing for use in uses.values()):
                raise FilesUnderWay
            # No await in between: from here on nothing new begins.
            has_begun = True
            for use in uses.values():
                use.is_changing = True
            for use in uses.values():
                while use.requests:
                    await use.wait()
            yield
        finally:
            for table, use in uses.items():
                use.changes -= 1
                use.is_changing = use.is_changing and not has_begun
                self._leave(table, use)

    async def without_files(self, tables: Collection[TableName], seconds_max: float = FILES_SECONDS_MAX) -> None:
        """Returns at a moment when no file is being imported into any of the tables; other rows go on coming in.

        Raises Busy when imports go on and on.
        """
        try:
            async with asyncio.timeout(seconds_max):
                while busy := next(
                    (use for use in map(self._uses.get, tables) if use and (use.imports or use.is_changing)), None
                ):
                    await busy.wait()
        except TimeoutError as error:
            raise Busy(
                "Files are being imported all the time, so the columns cannot be changed.",
                hint="Try again when no import is running.",
            ) from error

    @contextmanager
    def rewriting(self, table: TableName) -> Iterator[None]:
        """While the body runs, `refuse_while_rewritten` does so."""
        self._rewritten.add(table)
        try:
            yield
        finally:
            self._rewritten.discard(table)

    def refuse_while_rewritten(self, table: TableName, name: str) -> None:
        """For what takes rows away at once: they would come back with the new table. Raises Conflict."""
        if table in self._rewritten:
            raise Conflict(
                f"The rows of '{name}' are being written again for its new definition.", hint="Wait for the job's end."
            )

    async def _entered(self, table: TableName) -> _Use:
        while (use := self._uses.setdefault(table, _Use())).is_changing:
            await use.wait()
        return use

    def _leave(self, table: TableName, use: _Use) -> None:
        use.left.set()
        if not (use.requests or use.imports or use.changes):
            self._uses.pop(table, None)

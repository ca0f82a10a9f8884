"""A table that takes the place of another one, with the rows of that one in another form, while rows go on arriving.

The old table is cloned while inserts are held, and a view begins to collect a copy of every row that comes in from
then on. The clone is converted; then what was collected, again and again, until there is little of it; the rest while
inserts are held, in front of the exchange. So every row is converted once, in the order of arrival, and a row that
cannot be converted fails the change and no insert.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from birdhouse.deploy.ddl import DEDUPLICATION_WINDOW_BLOCKS
from birdhouse.engine.tables import describe
from birdhouse.engine.types import Lane, Limits, Progress, TableName, quote_identifier
from birdhouse.ingest.staging import PARTITIONS_PER_INSERT_MAX, clone_table
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.staging import Staging, size

PARTS = ("collector", "new", "source", "arrived", "taken")
"""In the order to drop: the view goes before the table it writes to."""
ROUNDS_MAX = 20
FEW_ROWS = 1_000
"""Collected rows up to this number are converted while inserts are held."""


class Successor:
    """`columns` are those that are written, each with the expression over a row of the old table that it gets."""

    def __init__(
        self,
        engine: WriteGate,
        staging: Staging,
        role: str,
        old: TableName,
        columns: Sequence[tuple[str, str]],
        *,
        in_order: bool,
        limits: Limits,
    ) -> None:
        self.old = old
        self._engine = engine
        self._columns = columns
        self._in_order = in_order
        self._limits = limits
        self._collector, self.table, self._source, self._arrived, self._taken = (
            staging.table(f"{role}_{part}") for part in PARTS
        )

    async def collect(self, create: str) -> None:
        """Makes the new table by that statement, takes the rows of this moment, and begins to collect what comes."""
        await self.drop()
        await self._engine.execute(create)
        columns = [each for each in await describe(self._engine, self.old) if each.default_kind != "ALIAS"]
        names = ", ".join(quote_identifier(each.name) for each in columns)
        clauses = ", ".join(f"{quote_identifier(each.name)} {each.type}" for each in columns)
        # A block is sent again when some other view fails on it.
        once = f"non_replicated_deduplication_window = {DEDUPLICATION_WINDOW_BLOCKS}"
        for table in (self._arrived, self._taken):
            await self._engine.execute(
                f"CREATE TABLE {table} ({clauses}) ENGINE = MergeTree ORDER BY tuple() SETTINGS {once}"
            )
        async with self._engine.held(self.old.database):
            await clone_table(self._engine, self.old, self._source)
            await self._engine.execute(
                f"CREATE MATERIALIZED VIEW {self._collector} TO {self._arrived} AS SELECT {names} FROM {self.old}"
            )

    async def convert(self, on_progress: Callable[[Progress], None]) -> None:
        """The rows of the moment, then what arrived meanwhile, until that is little."""
        await self._insert(self._source, on_progress)
        await self._engine.execute(f"DROP TABLE IF EXISTS {self._source} SYNC")
        for _ in range(ROUNDS_MAX):
            if (await size(self._engine, self._arrived)).rows <= FEW_ROWS:
                return
            # An insert that is under way writes into the table it had found: nothing may be under way.
            async with self._engine.held(self.old.database):
                await self._engine.execute(f"EXCHANGE TABLES {self._arrived} AND {self._taken}")
            await self._insert(self._taken)
            await self._engine.execute(f"TRUNCATE TABLE {self._taken} SYNC")

    async def finish(self) -> None:
        """The last rows. Inserts are held, and stay so until the tables have changed places."""
        await self._engine.execute(f"DROP VIEW IF EXISTS {self._collector} SYNC")
        await self._insert(self._arrived, lane=Lane.CONTROL)

    async def drop(self) -> None:
        for table in (self._collector, self.table, self._source, self._arrived, self._taken):
            await self._engine.execute(f"DROP TABLE IF EXISTS {table} SYNC")

    async def _insert(
        self, source: TableName, on_progress: Callable[[Progress], None] | None = None, *, lane: Lane = Lane.JOB
    ) -> None:
        names = ", ".join(quote_identifier(name) for name, _ in self._columns)
        # No aliases: the engine would put one in the place of an old column of the same name.
        values = ", ".join(expression for _, expression in self._columns)
        order = ", max_threads = 1, max_insert_threads = 1" if self._in_order else ""
        await self._engine.execute(
            f"INSERT INTO {self.table} ({names}) SETTINGS deduplicate_insert = 'disable', "
            f"max_partitions_per_insert_block = {PARTITIONS_PER_INSERT_MAX}{order} SELECT {values} FROM {source}",
            lane=lane,
            limits=self._limits,
            on_progress=on_progress,
        )

"""Tables that belong to one job: where rows are gathered before anybody sees them.

Their names follow from the job's id, so that a job that runs again, or is cleaned up after a crash, finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from birdhouse.engine.protocol import Engine
from birdhouse.engine.tables import StoredColumn, describe, describe_select
from birdhouse.engine.types import (
    NO_PARAMETERS,
    Lane,
    Limits,
    Progress,
    Query,
    Statistics,
    TableName,
    quote_identifier,
    quote_string,
)
from birdhouse.errors import BirdhouseError, Conflict, SqlError
from birdhouse.ingest.delivery import Delivery
from birdhouse.ingest.staging import FILL_SETTINGS, PARTITIONS_PER_INSERT_MAX, drop_tables, staging_table
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.queue import Run

ROW_NUMBER = "__row"
MOVED_ROWS_MAX = 100_000
"""How many rows one step of a move inserts, as one block."""

DURABLE = "fsync_after_insert = 1, fsync_part_directory = 1"


@dataclass(frozen=True, slots=True)
class Size:
    rows: int
    bytes: int


class Staging:
    """The tables of one job in one database, and the statements that fill them."""

    def __init__(self, engine: WriteGate, database: str, job_id: str, limits: Limits) -> None:
        self._engine = engine
        self._database = database
        self._job_id = job_id
        self._limits = limits
        self.elapsed_seconds = 0.0
        """Spent by the engine on filling and moving, in this run of the job."""
        self.read = Size(0, 0)
        """What the selects of this run have read."""
        self.parameters: Mapping[str, str] = NO_PARAMETERS
        """What is bound in the selects: secrets, mostly."""

    def table(self, role: str) -> TableName:
        return staging_table(self._database, self._job_id, role)

    async def drop(self, *roles: str) -> None:
        """A view is dropped like a table, and before the table it writes to when it is named first."""
        for role in roles:
            await self._engine.execute(f"DROP TABLE IF EXISTS {self.table(role)} SYNC")

    async def drop_all(self) -> None:
        """Whatever the job has, also of an earlier run."""
        await drop_tables(self._engine, self.table(""))

    async def create_like(self, role: str, table: TableName) -> TableName:
        """Empty, also when an earlier run of the job has left one."""
        await self.drop(role)
        await self._engine.execute(f"CREATE TABLE {self.table(role)} AS {table}")
        return self.table(role)

    async def matched_columns(self, target: TableName, select: str, *, strict: bool = True) -> list[StoredColumn]:
        """The columns of the target that `select` gives, by name.

        For one that the target does not have: raises SqlError, or leaves it out, as a view does, when not `strict`.
        """
        places = {each.name: each for each in await describe(self._engine, target) if each.is_written}
        given = [each.name for each in await self.shape(select)]
        unknown = [name for name in given if name not in places]
        if unknown and strict:
            raise SqlError(
                f"The target has no column '{unknown[0]}' to write to.",
                hint=f"Name the columns of the result like those of the target: {', '.join(places)}.",
            )
        return [places[name] for name in given if name in places]

    async def shape(self, select: str) -> list[StoredColumn]:
        """The columns that `select` gives."""
        # Elsewhere it would run read-only, and that refuses the table functions of copies.
        return await describe_select(self._engine, select, self.parameters, limits=self._limits, lane=Lane.JOB)

    async def fill(self, run: Run, table: TableName, columns: Sequence[str], *selects: str, settings: str = "") -> None:
        """INSERT … SELECT of `columns`, which each of `selects` names, into a table that nobody else sees."""
        names = ", ".join(map(quote_identifier, columns))
        for part, select in enumerate(selects):
            progress = run.progress_of(part, len(selects))
            await self.insert(progress, f"{table} ({names})", names, select, settings)

    async def gather(self, run: Run, columns: Sequence[StoredColumn], *selects: str, settings: str = "") -> None:
        """Puts the rows of all `selects`, with the types of the columns, into a table of numbered rows.

        The run is final when this returns: what is gathered will be moved, if need be after a restart.
        """
        rows = self.table("rows")
        await self.drop("rows")
        clauses = [f"{quote_identifier(each.name)} {each.type}" for each in columns]
        await self._engine.execute(
            f"CREATE TABLE {rows} ({', '.join((f'{ROW_NUMBER} UInt64', *clauses))}) "
            f"ENGINE = MergeTree ORDER BY {ROW_NUMBER} SETTINGS {DURABLE}"
        )
        names = ", ".join(quote_identifier(each.name) for each in columns)
        gathered = Size(0, 0)
        for part, select in enumerate(selects):
            chosen = f"rowNumberInAllBlocks() + {gathered.rows}, {names}"
            progress = run.progress_of(part, len(selects))
            await self.insert(progress, f"{rows} ({ROW_NUMBER}, {names})", chosen, select, settings)
            gathered = await size(self._engine, rows)
        run.finalize()
        await run.keep(
            gathered_rows=gathered.rows,
            gathered_bytes=gathered.bytes,
            gathered_columns=[each.name for each in columns],
        )

    async def insert(
        self, progress: Callable[[Progress], None], into: str, chosen: str, select: str, settings: str = ""
    ) -> None:
        """INSERT … SELECT of what is `chosen` from the rows of `select`."""
        statement = (
            f"INSERT INTO {into} SETTINGS {', '.join(filter(None, (FILL_SETTINGS, settings)))} "
            f"SELECT {chosen} FROM (\n{select}\n)"
        )
        done = await self._engine.execute(
            statement, lane=Lane.JOB, limits=self._limits, on_progress=progress, parameters=self.parameters
        )
        self.elapsed_seconds += done.elapsed_seconds
        self.read = Size(self.read.rows + done.rows_read, self.read.bytes + done.bytes_read)

    async def move(self, run: Run, target: TableName, delivery: Delivery) -> Size:
        """Inserts the gathered rows into the target, each exactly once, also when a crash comes between.

        A step is one block of fixed rows under a fixed token, and what it did is stored before the next one begins.
        So only the last step can be repeated, and the target and its views then take what they lack. The result says
        which views failed.
        """
        run.finalize()
        facts = run.job.result
        rows, columns, moved = facts["gathered_rows"], facts["gathered_columns"], facts.get("moved", 0)
        # After the last step they are dropped, and a crash may come before the end of the job is stored.
        if moved < rows and (await size(self._engine, self.table("rows"))).rows != rows:
            raise Conflict(
                f"{moved} of {rows} rows were written before an interruption, and the others are lost.",
                hint="Run it again after removing those rows.",
            )
        for first in range(moved, rows, MOVED_ROWS_MAX):
            step = _Step(self.table("rows"), target, tuple(columns), first, f"{self._job_id}-{first}", self._limits)
            try:
                failures = await delivery.deliver(step)
            except BirdhouseError as error:
                error.hint = f"{first} of {rows} rows were written before. {error.hint}".rstrip()
                raise
            self.elapsed_seconds += step.elapsed_seconds
            told = [*run.job.result.get("view_failures", []), *map(str, failures)]
            await run.keep(moved=min(first + MOVED_ROWS_MAX, rows), **({"view_failures": told} if failures else {}))
        await self.drop("rows")
        return Size(rows, facts["gathered_bytes"])


@dataclass(slots=True)
class _Step:
    """Some of the gathered rows, on their way into the target as one block."""

    rows: TableName
    table: TableName
    columns: tuple[str, ...]
    first: int
    token: str
    limits: Limits
    elapsed_seconds: float = 0.0

    async def send(self, engine: Engine, settings: Mapping[str, str | int]) -> None:
        chosen = {"insert_deduplication_token": quote_string(self.token), **settings}
        done = await self._insert(engine, self.table, ", ".join(f"{name} = {value}" for name, value in chosen.items()))
        self.elapsed_seconds += done.elapsed_seconds

    async def copy_into(self, engine: Engine, table: TableName) -> None:
        await self._insert(engine, table, "deduplicate_insert = 'disable'")

    async def _insert(self, engine: Engine, table: TableName, settings: str) -> Statistics:
        names = ", ".join(map(quote_identifier, self.columns))
        statement = (
            f"INSERT INTO {table} ({names}) SETTINGS {settings}, max_threads = 1, max_insert_threads = 1, "
            f"max_partitions_per_insert_block = {PARTITIONS_PER_INSERT_MAX}, "
            f"min_insert_block_size_rows = {MOVED_ROWS_MAX}, min_insert_block_size_bytes = 0 "
            f"SELECT {names} FROM {self.rows} "
            f"WHERE {ROW_NUMBER} >= {self.first} AND {ROW_NUMBER} < {self.first + MOVED_ROWS_MAX} ORDER BY {ROW_NUMBER}"
        )
        return await engine.execute(statement, lane=Lane.JOB, limits=self.limits)


def has_gathered(run: Run) -> bool:
    """Whether an earlier run had gathered all its rows, so that they only have to be moved."""
    return "gathered_rows" in run.job.result


async def size(engine: Engine, table: TableName) -> Size:
    """`bytes` are those on disk; both are 0 for a table that stores nothing, or is not there."""
    where = f"database = {quote_string(table.database)} AND name = {quote_string(table.table)}"
    result = await engine.select(
        Query(
            f"SELECT ifNull(total_rows, 0), ifNull(total_bytes, 0) FROM system.tables WHERE {where}",
            "JSONCompactEachRow",
        )
    )
    rows, size_bytes = orjson.loads(result.body or b"[0, 0]")
    return Size(int(rows), int(size_bytes))


async def table_uuid(engine: Engine, table: TableName) -> str:
    """Of the table that has this name now, empty without one: it goes with the table when two change places."""
    where = f"database = {quote_string(table.database)} AND name = {quote_string(table.table)}"
    query = Query(f"SELECT uuid FROM system.tables WHERE {where}", "TSVRaw", lane=Lane.CONTROL)
    return (await engine.select(query)).body.decode().strip()

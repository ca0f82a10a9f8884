"""Copies of the tables of a workspace, all of one moment, while rows go on arriving.

A table is copied by linking the files of its parts: that takes no room, and milliseconds rather than none. So the
tables are copied while inserts run; then again what has changed since, partition by partition; and a last time while
inserts are held. By then there is little left to do. Merges go on all the while and change nothing of this: a
partition has changed when a block was added to it, or when rows of it were deleted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import orjson

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Lane, Query, TableName, quote_string
from birdhouse.errors import Conflict
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.staging import DURABLE

T = TypeVar("T")

ROUNDS_MAX = 8
FEW_PARTITIONS = 2
"""A round that found no more than these to copy is followed by the last one."""
PARTITIONS_PER_STATEMENT_MAX = 200
DELETES_SECONDS_MAX = 600.0
"""How long a copy waits for rows that are being deleted."""
POLL_SECONDS = 0.1

NO_MERGES = ("max_bytes_to_merge_at_max_space_in_pool", "max_bytes_to_merge_at_min_space_in_pool")
FROZEN = ", ".join(("fsync_after_insert = 0", "fsync_part_directory = 0", *(f"{each} = 1" for each in NO_MERGES)))
"""Settings of a table that is read once and dropped: its parts stay as they came."""

MAY_BE_EMPTY = "allow_replace_partition_from_empty_source = 1"
"""Rows that are deleted just now are gone from the copy, too."""


class Data(StrEnum):
    """Which rows a copy gets."""

    ALL = "all"
    LAST_PARTITION = "last_partition"
    """Of each table the partition that was written to last."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class _Partition:
    """What identifies the rows of a partition: the table, the blocks that went in, and the deletions since."""

    table: str
    first_block: int
    last_block: int
    data_version: int
    mutation: int


@dataclass(frozen=True, slots=True)
class _Deletes:
    """How many deletions go on, and which ones are known at all: the engine carries one out part by part."""

    under_way: int
    known: int


_Partitions = dict[tuple[str, str], _Partition]
"""By name of the table and id of the partition."""


Make = Callable[[Engine, TableName, TableName], Awaitable[None]]
"""Makes an empty table like the first one, under the second name."""
Targets = Callable[[str], TableName | None]
"""Where a table is copied to. There is no copy of other ones."""


class Snapshot:
    """With `make` a target is made once it gets rows; without it must be there."""

    def __init__(
        self,
        engine: WriteGate,
        database: str,
        targets: Targets,
        *,
        make: Make | None = None,
        data: Data = Data.ALL,
    ) -> None:
        self._engine = engine
        self._database = database
        self._targets = targets
        self._make = make
        self._data = data
        self._made: set[str] = set()
        self._copied: _Partitions = {}

    async def take(self, at_the_moment: Callable[[], Awaitable[T]]) -> tuple[T, float]:
        """Copies the rows. The caller holds the workspace still.

        `at_the_moment` is called while the copies are exact and no insert runs; its answer comes back with the seconds
        for which inserts were held.
        """
        for _ in range(ROUNDS_MAX):
            if await self._copy_changes() <= FEW_PARTITIONS:
                break
        deadline = time.monotonic() + DELETES_SECONDS_MAX
        while time.monotonic() < deadline:
            deletes = await self._deletes()
            if deletes.under_way:
                await asyncio.sleep(POLL_SECONDS)
                continue
            began = time.monotonic()
            async with self._engine.held(self._database):
                await self._copy_changes()
                await self._copy_without_parts()
                if await self._deletes() == deletes:
                    return await at_the_moment(), time.monotonic() - began
        raise Conflict(
            "Rows of the workspace are being deleted, so it cannot be copied.", hint="Try again when that is done."
        )

    def partitions(self, table: str) -> tuple[str, ...]:
        """The partitions of a table that were copied."""
        return tuple(sorted(partition for name, partition in self._copied if name == table))

    async def _copy_changes(self) -> int:
        """How many partitions had changed since the last time."""
        if self._data is Data.NONE:
            return 0
        now = self._chosen(await self._partitions())
        changed = [key for key, partition in now.items() if self._copied.get(key) != partition]
        gone = [key for key in self._copied if key not in now]
        commands: dict[str, list[str]] = {}
        for table, partition in changed:
            command = f"REPLACE PARTITION ID {quote_string(partition)} FROM {self._source(table)}"
            commands.setdefault(table, []).append(command)
        for table, partition in gone:
            commands.setdefault(table, []).append(f"DROP PARTITION ID {quote_string(partition)}")
        for table, those in commands.items():
            target = await self._target(table)
            for first in range(0, len(those), PARTITIONS_PER_STATEMENT_MAX):
                some = ", ".join(those[first : first + PARTITIONS_PER_STATEMENT_MAX])
                await self._engine.execute(f"ALTER TABLE {target} {some} SETTINGS {MAY_BE_EMPTY}")
        self._copied = now
        return len(changed) + len(gone)

    async def _target(self, table: str) -> TableName:
        target = self._targets(table)
        assert target is not None
        if self._make is not None and table not in self._made:
            await self._make(self._engine, self._source(table), target)
        self._made.add(table)
        return target

    async def _copy_without_parts(self) -> None:
        """Tables that keep their rows elsewhere than in parts are small, and are copied row by row."""
        if self._data is Data.NONE:
            return
        sql = (
            f"SELECT name FROM system.tables WHERE database = {quote_string(self._database)} "
            "AND engine NOT LIKE '%MergeTree' AND total_rows > 0"
        )
        for (name,) in await rows_of(self._engine, sql):
            if self._targets(name) is not None:
                target = await self._target(name)
                await self._engine.execute(f"TRUNCATE TABLE {target}")
                await self._engine.execute(f"INSERT INTO {target} SELECT * FROM {self._source(name)}")

    async def _partitions(self) -> _Partitions:
        # A part is called PARTITION_FIRST_LAST_LEVEL, with _MUTATION behind when rows of it were deleted.
        mutation = "toInt64OrZero(splitByChar('_', substring(name, length(partition_id) + 2))[4])"
        sql = (
            "SELECT parts.table, partition_id, toString(any(tables.uuid)), min(min_block_number), "
            f"max(max_block_number), min(parts.data_version), max({mutation}) FROM system.parts AS parts "
            "INNER JOIN system.tables AS tables ON tables.database = parts.database AND tables.name = parts.table "
            f"WHERE active AND parts.database = {quote_string(self._database)} GROUP BY parts.table, partition_id"
        )
        return {
            (table, partition): _Partition(uuid, *map(int, rest))
            for table, partition, uuid, *rest in await rows_of(self._engine, sql)
            if self._targets(table) is not None
        }

    def _chosen(self, partitions: _Partitions) -> _Partitions:
        if self._data is Data.ALL:
            return partitions
        last: dict[str, tuple[str, str]] = {}
        for key in sorted(partitions, key=lambda key: partitions[key].last_block):
            last[key[0]] = key
        return {key: partitions[key] for key in last.values()}

    async def _deletes(self) -> _Deletes:
        sql = (
            "SELECT countIf(NOT is_done), groupBitXor(cityHash64(table, mutation_id)) FROM system.mutations "
            f"WHERE database = {quote_string(self._database)}"
        )
        ((under_way, known),) = await rows_of(self._engine, sql)
        return _Deletes(int(under_way), int(known))

    def _source(self, table: str) -> TableName:
        return TableName(self._database, table)


async def create_frozen(engine: Engine, source: TableName, target: TableName) -> None:
    """An empty table like the source whose parts stay as they come, and that a backup can hold."""
    sql = (
        "SELECT engine LIKE '%MergeTree', position(engine_full, ' TTL ') > 0 FROM system.tables "
        f"WHERE database = {quote_string(source.database)} AND name = {quote_string(source.table)}"
    )
    ((has_parts, has_ttl),) = await rows_of(engine, sql)
    if not has_parts:
        # The engine's backup has no rows of such a table, and says nothing about that.
        await engine.execute(f"CREATE TABLE {target} AS {source} ENGINE = MergeTree ORDER BY tuple()")
        return
    await engine.execute(f"CREATE TABLE {target} AS {source} SETTINGS {FROZEN}")
    if has_ttl:
        await engine.execute(f"ALTER TABLE {target} REMOVE TTL")


async def create_thawed(engine: Engine, source: TableName, target: TableName) -> None:
    """An empty table like one that was created frozen, for rows that come and go."""
    await engine.execute(f"CREATE TABLE {target} AS {source}")
    await engine.execute(f"ALTER TABLE {target} MODIFY SETTING {DURABLE}")
    await engine.execute(f"ALTER TABLE {target} RESET SETTING {', '.join(NO_MERGES)}")


async def rows_of(engine: Engine, sql: str) -> list[list[str]]:
    """The rows of a SELECT of ours, each as a list of its values. It does not wait behind queries of clients."""
    result = await engine.select(Query(sql, "JSONCompactEachRow", lane=Lane.CONTROL))
    return [orjson.loads(line) for line in result.body.splitlines()]

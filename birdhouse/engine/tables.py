"""What the engine says about tables that exist."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import orjson

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import NO_PARAMETERS, Lane, Limits, Query, TableName, quote_string

_COMMENT = re.compile(r" COMMENT '(?:[^'\\]|\\.)*'$")


@dataclass(frozen=True, slots=True)
class StoredTable:
    uuid: str
    """Tells the table itself from another one that has got its name."""
    engine: str
    definition: str
    """The engine with its arguments, keys, TTL and settings, as the engine renders them."""
    partition_key: str
    """As the engine renders it; empty without one."""
    statement: str
    """That would make it."""

    @property
    def structure(self) -> str:
        """Columns, indexes, keys, TTL and settings: what tables that change places have in common."""
        return _COMMENT.sub("", self.statement[self.statement.find("(") :])

    @property
    def has_parts(self) -> bool:
        """Whether its rows are files that another table can share."""
        return self.engine.endswith("MergeTree")

    @property
    def forgets(self) -> bool:
        """Whether it stores nothing, or only for a time: what was made of its rows cannot be made again."""
        return self.engine == "Null" or " TTL " in self.definition

    @property
    def depends_on_order(self) -> bool:
        """Whether the order in which rows came in decides which of them a merge leaves."""
        return self.engine == "CollapsingMergeTree" or bool(re.match(r"ReplacingMergeTree(?!\()", self.definition))


@dataclass(frozen=True, slots=True)
class StoredColumn:
    name: str
    type: str
    default_kind: str = ""

    @property
    def is_written(self) -> bool:
        """Whether an insert may give it a value."""
        return self.default_kind not in ("MATERIALIZED", "ALIAS")


def clone_statements(table: TableName, clone: TableName, *, has_parts: bool) -> list[str]:
    """The first makes the clone. A table that has parts shares their files with it, which takes milliseconds."""
    if has_parts:
        return [f"CREATE TABLE {clone} CLONE AS {table}"]
    copy = f"INSERT INTO {clone} SETTINGS deduplicate_insert = 'disable' SELECT * FROM {table}"
    return [f"CREATE TABLE {clone} AS {table}", copy]


async def stored_tables(engine: Engine, database: str, names: Collection[str]) -> Mapping[str, StoredTable]:
    """Those of the tables that exist, by name."""
    if not names:
        return {}
    chosen = ", ".join(map(quote_string, sorted(names)))
    sql = (
        "SELECT name, toString(uuid), engine, engine_full, partition_key, create_table_query FROM system.tables "
        f"WHERE database = {quote_string(database)} AND name IN ({chosen})"
    )
    result = await engine.select(Query(sql, "JSONCompactEachRow"))
    rows = [orjson.loads(line) for line in result.body.splitlines()]
    return {name: StoredTable(*facts) for name, *facts in rows}


async def describe(engine: Engine, table: TableName) -> list[StoredColumn]:
    result = await engine.select(Query(f"DESCRIBE TABLE {table}", "JSONCompactEachRow"))
    return [StoredColumn(*orjson.loads(line)[:3]) for line in result.body.splitlines()]


async def describe_select(
    engine: Engine,
    sql: str,
    parameters: Mapping[str, str] = NO_PARAMETERS,
    *,
    limits: Limits = Limits(),  # noqa: B008 - a frozen value
    lane: Lane = Lane.READ,
) -> list[StoredColumn]:
    """The columns a SELECT gives, by the engine's analysis; it is not run."""
    describing = f"DESCRIBE TABLE (\n{sql}\n)"
    result = await engine.select(Query(describing, "JSONCompactEachRow", parameters, limits, lane=lane))
    return [StoredColumn(*orjson.loads(line)[:2]) for line in result.body.splitlines()]


async def row_count(engine: Engine, table: TableName) -> int:
    result = await engine.select(Query(f"SELECT count() FROM {table}", "TSVRaw"))
    return int(result.body)


async def partition_ids(engine: Engine, table: TableName) -> set[str]:
    """Of the partitions that have rows; empty for a table without parts."""
    sql = (
        "SELECT DISTINCT partition_id FROM system.parts "
        f"WHERE active AND rows > 0 AND database = {quote_string(table.database)} "
        f"AND table = {quote_string(table.table)}"
    )
    result = await engine.select(Query(sql, "JSONCompactEachRow"))
    return {orjson.loads(line)[0] for line in result.body.splitlines()}

"""Tables that belong to work under way, and how rows get into them. Nobody else sees them.

Their names follow from the id of the work, so that a run after an interruption, or a start that cleans up, finds them.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from birdhouse.engine.protocol import Engine
from birdhouse.engine.tables import clone_statements, describe_select, stored_tables
from birdhouse.engine.types import Lane, Limits, Query, TableName, quote_identifier, quote_string

STAGING_PREFIX = "staging_"
STAGING_MARK = "_staging_"
"""One of the two is in the name of each such table, and of no other: a start drops those that nobody owns."""

PARTITIONS_PER_INSERT_MAX = 500
"""Fewer than the tokens a table remembers, so that a repeated step finds all its parts."""
FILL_SETTINGS = f"deduplicate_insert = 'disable', max_partitions_per_insert_block = {PARTITIONS_PER_INSERT_MAX}"


def staging_prefix(owner: str) -> str:
    """Of the names of all tables that belong to the work with that id."""
    return f"{STAGING_PREFIX}{owner.replace('-', '')}_"


def staging_table(database: str, owner: str, role: str) -> TableName:
    return TableName(database, f"{staging_prefix(owner)}{role}")


async def drop_tables(engine: Engine, prefix: TableName) -> None:
    """All whose names begin so; views first, since an insert fails when the target of a view is gone."""
    sql = (
        f"SELECT name FROM system.tables WHERE database = {quote_string(prefix.database)} "
        f"AND startsWith(name, {quote_string(prefix.table)}) ORDER BY engine != 'MaterializedView', name"
    )
    result = await engine.select(Query(sql, "JSONCompactEachRow"))
    for line in result.body.splitlines():
        await engine.execute(f"DROP TABLE IF EXISTS {TableName(prefix.database, orjson.loads(line)[0])} SYNC")


async def clone_table(engine: Engine, source: TableName, clone: TableName) -> None:
    """The rows as they are now. Inserts must be held."""
    await engine.execute(f"DROP TABLE IF EXISTS {clone} SYNC")
    stored = await stored_tables(engine, source.database, [source.table])
    for statement in clone_statements(source, clone, has_parts=stored[source.table].has_parts):
        await engine.execute(statement)


async def copy_all_rows(engine: Engine, source: TableName, destination: TableName) -> None:
    statement = f"INSERT INTO {destination} SETTINGS {FILL_SETTINGS} SELECT * FROM {source}"
    await engine.execute(statement, lane=Lane.JOB)


async def copy_rows(
    engine: Engine, source: TableName, destination: TableName, columns: Iterable[str], where: str
) -> int:
    """Adds the rows for which `where` holds, a checked expression. Returns their number, with those that views made."""
    names = ", ".join(map(quote_identifier, columns))
    statement = (
        f"INSERT INTO {destination} ({names}) SETTINGS {FILL_SETTINGS} SELECT {names} FROM {source} WHERE {where}"
    )
    return (await engine.execute(statement, lane=Lane.JOB)).result_rows


async def insert_select(engine: Engine, table: TableName, select: str, limits: Limits, settings: str) -> None:
    """What the SELECT gives, by the names of its columns, as a view inserts it."""
    names = ", ".join(quote_identifier(each.name) for each in await describe_select(engine, select))
    statement = f"INSERT INTO {table} ({names}) SETTINGS {settings} SELECT {names} FROM (\n{select}\n)"
    await engine.execute(statement, lane=Lane.JOB, limits=limits)

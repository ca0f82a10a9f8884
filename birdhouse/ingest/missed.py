"""Rows that a failing view has missed, kept for it until it can take them.

Each view has a table for them, with the columns of the table that triggers it. A repair closes that table under a name
of its own, so that rows which are missed meanwhile go into a new one.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterable, Mapping

import orjson

from birdhouse.catalog.resources import VIEW_PREFIX
from birdhouse.catalog.views import View
from birdhouse.engine.protocol import Engine
from birdhouse.engine.tables import describe, stored_tables
from birdhouse.engine.types import Query, TableName, quote_identifier, quote_string

MISSED_PREFIX = "missed_"
_VIEW = re.compile(rf"{MISSED_PREFIX}({VIEW_PREFIX}t_[0-9a-f]{{32}})")
MISSED_ROWS_MAX = 10_000_000
"""For each view. What comes beyond is not kept: a populate with truncate brings it."""


def view_that_missed(table: str) -> str | None:
    """The view whose missed rows a table of this name holds."""
    found = _VIEW.match(table)
    return found[1] if found else None


def missed_table(view: TableName) -> TableName:
    return TableName(view.database, f"{MISSED_PREFIX}{view.table}")


async def keep_missed(engine: Engine, view: View, rows: TableName) -> bool:
    """Adds the rows of a table like the view's source. False when there are too many already."""
    kept = sum((await missed_rows(engine, view.name.database)).get(view.name.table, {}).values())
    if kept >= MISSED_ROWS_MAX:
        return False
    table = missed_table(view.name)
    columns = await describe(engine, rows)
    if (await stored_tables(engine, table.database, [table.table])) and await describe(engine, table) != columns:
        await _close(engine, table)  # the source was altered meanwhile
    # The rows' own table stores whatever its columns hold; the source may be one that stores nothing.
    await engine.execute(f"CREATE TABLE IF NOT EXISTS {table} AS {rows}")
    names = ", ".join(quote_identifier(each.name) for each in columns if each.is_written)
    await engine.execute(
        f"INSERT INTO {table} ({names}) SETTINGS deduplicate_insert = 'disable' SELECT {names} FROM {rows}"
    )
    return True


async def close_missed(engine: Engine, view: View) -> list[TableName]:
    """The tables with all rows that the view has missed so far. The caller holds the inserts."""
    table = missed_table(view.name)
    if table.table in await stored_tables(engine, table.database, [table.table]):
        await _close(engine, table)
    found = (await missed_rows(engine, table.database)).get(view.name.table, {})
    return [TableName(table.database, name) for name in sorted(found)]


async def _close(engine: Engine, table: TableName) -> None:
    closed = TableName(table.database, f"{table.table}_{uuid.uuid4().hex}")
    await engine.execute(f"RENAME TABLE {table} TO {closed}")


async def missed_rows(engine: Engine, database: str) -> Mapping[str, Mapping[str, int]]:
    """Name of a view to its tables of missed rows, each with their number."""
    sql = (
        "SELECT name, toUInt64(ifNull(total_rows, 0)) FROM system.tables "
        f"WHERE database = {quote_string(database)} AND startsWith(name, {quote_string(MISSED_PREFIX)})"
    )
    result = await engine.select(Query(sql, "JSONCompactEachRow"))
    found: dict[str, dict[str, int]] = {}
    for name, rows in map(orjson.loads, result.body.splitlines()):
        if view := view_that_missed(name):
            found.setdefault(view, {})[name] = int(rows)
    return found


async def drop_missed(engine: Engine, views: Collection[TableName]) -> None:
    """Forgets what these views have missed, where they have it by now or are not to get it any more."""
    for database in {view.database for view in views}:
        found = await missed_rows(engine, database)
        for view in views:
            await drop_all(engine, (TableName(database, name) for name in found.get(view.table, {})))


async def drop_all(engine: Engine, tables: Iterable[TableName]) -> None:
    for table in tables:
        await engine.execute(f"DROP TABLE IF EXISTS {table} SYNC")

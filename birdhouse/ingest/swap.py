"""Replaces what a table holds in one step: a staging table is filled beside it and takes its place."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Lane, TableName, quote_identifier

STAGING_MARK = "_staging_"
"""Stands in the name of every staging table, and of no other: a start drops those that a kill left behind."""


@asynccontextmanager
async def replacement(engine: Engine, table: TableName) -> AsyncIterator[TableName]:
    """An empty table like `table` that takes its place when the body ends well. Else `table` stays as it was."""
    async with staging(engine, table) as stage:
        yield stage
        await engine.execute(f"EXCHANGE TABLES {stage} AND {table}")


@asynccontextmanager
async def staging(engine: Engine, table: TableName) -> AsyncIterator[TableName]:
    """An empty table like `table`, dropped at the end together with what is in it then."""
    stage = TableName(table.database, f"{table.table}{STAGING_MARK}{uuid.uuid4().hex[:12]}")
    await engine.execute(f"CREATE TABLE {stage} AS {table}")
    try:
        yield stage
    finally:
        await engine.execute(f"DROP TABLE IF EXISTS {stage} SYNC")


async def copy_rows(
    engine: Engine,
    source: TableName,
    destination: TableName,
    columns: Iterable[str],
    *,
    condition: str,
    matching: bool,
) -> int:
    """Adds to `destination` the rows for which `condition` holds, or all others; NULL does not hold.

    `condition` is an expression that was checked before it came here. Returns the number of rows.
    """
    names = ", ".join(map(quote_identifier, columns))
    holds = f"ifNull(({condition}), 0) != 0"
    statement = (
        f"INSERT INTO {destination} ({names}) SELECT {names} FROM {source} "
        f"WHERE {holds if matching else f'NOT ({holds})'} SETTINGS deduplicate_insert = 'disable'"
    )
    return (await engine.execute(statement, lane=Lane.JOB)).result_rows

"""Brings the engine in line with the catalog at start, after a kill in the middle of a change.

The catalog is the truth. Tables of ours that it does not know are left-overs: staging and scratch tables are dropped;
any other one only when it is empty, and reported when it is not.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

import structlog

from birdhouse.catalog.workspace import Workspace
from birdhouse.deploy import ddl
from birdhouse.deploy.apply import create_tables
from birdhouse.deploy.check import SCRATCH_PREFIX
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query, TableName, quote_string
from birdhouse.ingest.missed import MISSED_PREFIX
from birdhouse.ingest.staging import STAGING_MARK, STAGING_PREFIX, staging_prefix

log = structlog.get_logger(__name__)


async def drop_scratch_databases(engine: Engine) -> None:
    """What checks that were interrupted left behind."""
    pattern = quote_string(f"{SCRATCH_PREFIX}%")
    for row in await _rows(engine, f"SELECT name FROM system.databases WHERE name LIKE {pattern}"):
        await engine.execute(ddl.drop_database(str(row["name"])))


async def reconcile(engine: Engine, workspace: Workspace, unfinished_jobs: Collection[str] = ()) -> None:
    """The tables of unfinished jobs, named by their ids, are left to them."""
    await engine.execute(ddl.create_database(workspace.database))
    there = await _tables(engine, workspace.database)
    kept = tuple(map(staging_prefix, unfinished_jobs))
    await _drop_left_overs(engine, workspace, {name: each for name, each in there.items() if not name.startswith(kept)})
    for datasource in workspace.datasources():
        for table, (statement, _) in zip(
            (datasource.table, datasource.quarantine), create_tables(datasource), strict=True
        ):
            if table.table not in there:
                log.warning("table_missing", datasource=datasource.name, table=table.table)
                await engine.execute(statement)
    for pipe in workspace.pipes():
        if pipe.view is not None and pipe.view_statement is not None and pipe.view.table not in there:
            log.info("view_created_again", pipe=pipe.name)
            await engine.execute(pipe.view_statement)


async def _drop_left_overs(engine: Engine, workspace: Workspace, there: Mapping[str, tuple[str, int]]) -> None:
    known = {table.table for each in workspace.datasources() for table in (each.table, each.quarantine)}
    views = {pipe.view.table for pipe in workspace.pipes() if pipe.view is not None}
    missed = tuple(f"{MISSED_PREFIX}{view}" for view in views)
    known |= views
    unknown = {
        name: kind_and_rows
        for name, kind_and_rows in there.items()
        if name not in known and not name.startswith(missed)
    }
    # Views go first: a view whose target is gone would fail every insert into its source.
    for name, (engine_name, rows) in sorted(unknown.items(), key=lambda item: item[1][0] != "MaterializedView"):
        table = TableName(workspace.database, name)
        if engine_name == "MaterializedView":
            await engine.execute(ddl.drop_view(table))
        elif rows == 0 or STAGING_MARK in name or name.startswith((STAGING_PREFIX, MISSED_PREFIX)):
            await engine.execute(ddl.drop_table(table))
        else:
            log.warning("unknown_table_kept", table=str(table), rows=rows)


async def _tables(engine: Engine, database: str) -> dict[str, tuple[str, int]]:
    """Name to table engine and number of rows."""
    sql = f"SELECT name, engine, total_rows FROM system.tables WHERE database = {quote_string(database)}"
    return {
        str(row["name"]): (str(row["engine"]), int(str(row["total_rows"] or 0))) for row in await _rows(engine, sql)
    }


async def _rows(engine: Engine, sql: str) -> list[dict[str, object]]:
    result = await engine.select(Query(sql, "JSON"))
    rows: list[dict[str, object]] = json.loads(result.body)["data"]
    return rows

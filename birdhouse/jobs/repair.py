"""Repairs: a view that failed on rows gets those that were kept for it, once it can take them.

They are added to its target as a populate adds rows, each exactly once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import structlog

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.lineage import ids_below
from birdhouse.catalog.views import View, load_views
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.protocol import Engine
from birdhouse.engine.tables import describe, stored_tables
from birdhouse.engine.types import Limits, TableName, quote_identifier
from birdhouse.errors import BirdhouseError
from birdhouse.ingest.missed import close_missed, drop_all, missed_rows
from birdhouse.ingest.shadow import Keeping, Shadow
from birdhouse.jobs.budget import budget_of
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job, JobKind, statistics
from birdhouse.jobs.populate import view_of
from birdhouse.jobs.queue import JobQueue, Run
from birdhouse.jobs.staging import Staging, size, table_uuid
from birdhouse.language.sql.rewrite import replace_tables

log = structlog.get_logger(__name__)


def repair_payload(workspace: Workspace, view: View) -> dict[str, Any]:
    target = workspace.datasource(view.target.table)
    return {
        "pipe_id": workspace.pipe(view.pipe).id,
        "pipe_name": view.pipe,
        "datasource": {"id": target.id, "name": target.name},
    }


async def submit_repairs(
    engine: Engine, queue: JobQueue, workspace: Workspace, pipes: Collection[str] | None = None
) -> None:
    """A job for each view, of these pipes or of all, that has missed rows."""
    missed = await missed_rows(engine, workspace.database)
    if not missed:
        return
    for view in await load_views(engine, workspace):
        if view.name.table in missed and (pipes is None or view.pipe in pipes):
            try:
                await queue.submit(workspace.id, JobKind.REPAIR, repair_payload(workspace, view))
            except BirdhouseError as error:  # the rows stay where they are until the next start or deployment
                log.warning("repair_not_queued", pipe=view.pipe, error=str(error))


class RepairRunner:
    def __init__(self, engine: WriteGate, catalog: Catalog, limits: Limits) -> None:
        self._engine = engine
        self._catalog = catalog
        self._limits = limits

    def touches(self, job: Job) -> frozenset[str]:
        workspace = self._catalog.workspace(job.workspace_id)
        return ids_below(workspace, job.payload["datasource"]["id"]) | {job.payload["pipe_id"]}

    async def run(self, run: Run) -> Mapping[str, Any]:
        """A run that fails leaves the rows where the next one finds them."""
        workspace = self._catalog.workspace(run.job.workspace_id)
        view = await view_of(self._engine, workspace, run.job.payload["pipe_id"])
        staging = self._staging(workspace, run.job)
        if await table_uuid(self._engine, view.target) != run.job.result.get("published_uuid"):
            await self._fill_and_publish(run, staging, workspace, view)
        await drop_all(self._engine, _taken(run, workspace))
        await staging.drop_all()
        return {}

    async def _fill_and_publish(self, run: Run, staging: Staging, workspace: Workspace, view: View) -> None:
        shadow = Shadow(self._engine, self._catalog, workspace, view.target, run.job.id, Keeping.EVERYTHING)
        await shadow.create()
        async with self._engine.held(workspace.database):
            await shadow.attach()
            if "taken" not in run.job.result:
                tables = await close_missed(self._engine, view)
                await run.keep(taken=[each.table for each in tables])
        if not run.job.result["taken"]:
            await run.keep(statistics=statistics(0, 0, 0))
            await shadow.drop()
            return
        rows = await self._gathered(run, staging, workspace, view)
        source = view.source
        select = replace_tables(view.select, {(source.database, source.table): (rows.database, rows.table)})
        columns = [each.name for each in await staging.matched_columns(view.target, select, strict=False)]
        with shadow.filling():
            await staging.fill(run, shadow.table, columns, select, settings=shadow.fill_settings)
        written = await size(self._engine, shadow.table)
        run.finalize()
        await run.keep(
            statistics=statistics(written.rows, written.bytes, staging.elapsed_seconds),
            published_uuid=await table_uuid(self._engine, shadow.table),
        )
        await shadow.publish()

    async def _gathered(self, run: Run, staging: Staging, workspace: Workspace, view: View) -> TableName:
        """The missed rows in a table like the source, which may have got columns since."""
        stored = (await stored_tables(self._engine, view.source.database, [view.source.table]))[view.source.table]
        await staging.drop("source")
        rows = staging.table("source")
        engine = " ENGINE = MergeTree ORDER BY tuple()" if stored.engine == "Null" else ""
        await self._engine.execute(f"CREATE TABLE {rows} AS {view.source}{engine}")
        there = {each.name for each in await describe(self._engine, rows) if each.is_written}
        for table in _taken(run, workspace):
            names = [each.name for each in await describe(self._engine, table) if each.name in there]
            chosen = ", ".join(map(quote_identifier, names))
            await staging.fill(run, rows, names, f"SELECT {chosen} FROM {table}")
        return rows

    async def clean(self, job: Job) -> None:
        await self._staging(self._catalog.workspace(job.workspace_id), job).drop_all()

    def _staging(self, workspace: Workspace, job: Job) -> Staging:
        limits = budget_of(workspace, job.payload["pipe_id"], self._limits)
        return Staging(self._engine, workspace.database, job.id, limits)


def _taken(run: Run, workspace: Workspace) -> list[TableName]:
    return [TableName(workspace.database, name) for name in run.job.result.get("taken", ())]

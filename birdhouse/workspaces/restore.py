"""Restores: a backup becomes a workspace, a new one or in place of another.

Everything is made beside what is there, in a database of its own. What makes it the workspace is one transaction of
the metadata database; before it the old one is whole, after it the new one is.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.preview import preview
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import Clock
from birdhouse.deploy import ddl
from birdhouse.deploy.apply import create_tables
from birdhouse.engine.types import Limits, TableName
from birdhouse.errors import Conflict, NameTaken
from birdhouse.ingest.missed import view_that_missed
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job
from birdhouse.jobs.queue import Run
from birdhouse.jobs.schedule import pause_all
from birdhouse.metadata.identifiers import new_database, new_signing_key
from birdhouse.metadata.rows import WORKSPACES, Rows, new_names, renamed, renamed_text, upgraded
from birdhouse.usage.row import Note, not_recorded
from birdhouse.usage.workspaces import known
from birdhouse.workspaces.archive import Archives, Backup
from birdhouse.workspaces.backup import restore_rows, verified_database
from birdhouse.workspaces.names import refuse_workspace_name
from birdhouse.workspaces.snapshot import create_thawed

READERS_SECONDS = 2.0
"""How long the tables of a replaced workspace stay for queries that were about to read them."""


def restore_payload(archives: Archives, catalog: Catalog, name: str, *, into: str, in_place: bool) -> dict[str, Any]:
    """What a restore job is asked to do. Raises NameTaken when there is such a workspace and it is not `in_place`."""
    backup = archives.get(name)
    into = into or backup.workspace_name
    refuse_workspace_name(into)
    there = catalog.named(into)
    if there is not None and not in_place:
        raise NameTaken(
            f"There is already a workspace '{into}'",
            hint="Restore in place of it, or give another name.",
        )
    return {
        "backup": backup.name,
        "workspace": into,
        "database": new_database(),
        "replaces": {"id": there.id, "database": there.database} if there is not None else None,
    }


class RestoreRunner:
    def __init__(
        self,
        engine: WriteGate,
        catalog: Catalog,
        archives: Archives,
        clock: Clock,
        limits: Limits,
        note: Note = not_recorded,
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._archives = archives
        self._clock = clock
        self._limits = limits
        self._note = note

    def touches(self, job: Job) -> frozenset[str]:
        """A workspace that is replaced is at rest: none of its own jobs runs meanwhile."""
        replaced = self._replaced(job)
        return frozenset((job.payload["database"], *(replaced.by_id if replaced is not None else ())))

    def _replaced(self, job: Job) -> Workspace | None:
        there = job.payload["replaces"]
        return next((each for each in self._catalog.workspaces() if there and each.id == there["id"]), None)

    async def run(self, run: Run) -> Mapping[str, Any]:
        payload = run.job.payload
        workspace = self._adopted(run.job)
        if workspace is None:
            with self._archives.in_use(payload["backup"]):
                workspace = await self._restore(run)
        run.job = replace(run.job, workspace_id=workspace.id if payload["replaces"] else run.job.workspace_id)
        if payload["replaces"]:
            await asyncio.sleep(READERS_SECONDS)
            await self._engine.execute(ddl.drop_database(payload["replaces"]["database"]))
        self._note(known(workspace, self._clock.now()))
        return {"stage": "done", "restored": {"id": workspace.id, "name": workspace.name}}

    def _adopted(self, job: Job) -> Workspace | None:
        """The workspace that an earlier run of the job had already made."""
        return next((each for each in self._catalog.workspaces() if each.database == job.payload["database"]), None)

    async def _restore(self, run: Run) -> Workspace:
        backup = self._archives.get(run.job.payload["backup"])
        database = verified_database(run.job)
        run.show(stage="reading")
        await restore_rows(self._engine, self._archives, run, backup.name, backup, database, self._limits)
        run.show(stage="building")
        rows, names, is_copy = self._rows(run.job, backup)
        workspace = await asyncio.to_thread(preview, rows)
        await self._build(workspace, {each.table: renamed_text(each.table, names) for each in backup.tables}, database)
        await self._engine.execute(ddl.drop_database(database))
        await asyncio.to_thread(os.sync)  # the engine does not flush the files it restores
        run.finalize()
        async with self._still(run.job) as replaced:
            also = partial(pause_all, workspace=workspace, at=self._clock.now())
            return await self._catalog.adopt(rows, replaces=replaced, also=also if is_copy else _nothing)

    def _rows(self, job: Job, backup: Backup) -> tuple[Rows, Mapping[str, str], bool]:
        """The rows to adopt, the new names of what the backup knows by other ones, and whether it is a second one.

        The workspace keeps its identity, so that tokens go on working, unless it is alive under another name.
        """
        rows = upgraded(self._archives.metadata(backup), backup.migrations)
        (stored,) = rows[WORKSPACES]
        alive = {each.id for each in self._catalog.workspaces()}
        if job.payload["replaces"]:
            alive.discard(job.payload["replaces"]["id"])
        is_copy = stored["id"] in alive
        names = {**(new_names(rows) if is_copy else {}), stored["database"]: job.payload["database"]}
        rows = renamed(rows, names)
        (row,) = rows[WORKSPACES]
        row["name"] = job.payload["workspace"]
        row["main_id"] = row["main_id"] if row["main_id"] in alive else None
        if is_copy:
            row["signing_key"] = new_signing_key()
        return rows, names, is_copy

    async def _build(self, workspace: Workspace, tables: Mapping[str, str], database: str) -> None:
        """All that the resources need in the engine. `tables` says which restored table becomes which."""
        await self._engine.execute(ddl.drop_database(workspace.database))
        await self._engine.execute(ddl.create_database(workspace.database))
        without_parts = set()
        for datasource in workspace.datasources():
            for statement, _ in create_tables(datasource):
                await self._engine.execute(statement)
            engine = datasource.definition.engine
            if engine is not None and not engine.name.endswith("MergeTree"):
                without_parts.add(datasource.table.table)
        for restored, name in tables.items():
            source, target = TableName(database, restored), TableName(workspace.database, name)
            if view_that_missed(name):
                await create_thawed(self._engine, source, target)
            if name in without_parts:
                await self._engine.execute(f"INSERT INTO {target} SELECT * FROM {source}")
            else:
                await self._engine.execute(f"ALTER TABLE {target} ATTACH PARTITION ALL FROM {source}")
        for pipe in workspace.pipes():
            if pipe.view_statement is not None:
                await self._engine.execute(pipe.view_statement)

    @asynccontextmanager
    async def _still(self, job: Job) -> AsyncIterator[Workspace | None]:
        """Holds the workspace that is replaced. Raises Conflict when it is no longer the one that was asked about."""
        there = self._catalog.named(job.payload["workspace"])
        wanted = job.payload["replaces"]
        if (there and {"id": there.id, "database": there.database}) != wanted:
            raise Conflict(
                f"There is by now another workspace '{job.payload['workspace']}'.", hint="Ask for the restore again."
            )
        if there is None:
            yield None
            return
        async with self._catalog.changing(there.id) as replaced, self._engine.held(replaced.database):
            yield replaced
            self._engine.retire(replaced.database)

    async def clean(self, job: Job) -> None:
        await self._engine.execute(ddl.drop_database(verified_database(job)))
        if self._adopted(job) is None:
            await self._engine.execute(ddl.drop_database(job.payload["database"]))


def _nothing(transaction: object) -> None:
    """Schedules go on where they were."""

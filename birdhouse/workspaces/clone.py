"""Clones: a second workspace with the resources of another, and all, some or none of its rows.

Rows share the files of the original until one of the two changes them, so a clone of any size is a matter of moments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass
from functools import partial
from typing import Any

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.preview import preview
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import Clock
from birdhouse.deploy import ddl
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import TableName
from birdhouse.errors import InvalidParameter, NameTaken
from birdhouse.ingest.missed import view_that_missed
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job
from birdhouse.jobs.queue import Run
from birdhouse.jobs.schedule import pause_all, scheduled
from birdhouse.metadata.database import Database
from birdhouse.metadata.identifiers import new_database, new_signing_key
from birdhouse.metadata.rows import WORKSPACES, Rows, export_rows, new_names, renamed, renamed_text
from birdhouse.usage.row import Note, not_recorded
from birdhouse.usage.workspaces import known
from birdhouse.workspaces.names import refuse_workspace_name
from birdhouse.workspaces.snapshot import Data, Snapshot


@dataclass(frozen=True, slots=True)
class Clone:
    """`partitions` are those that were copied, by data source."""

    workspace: Workspace
    partitions: Mapping[str, tuple[str, ...]]
    held_seconds: float


class Cloner:
    def __init__(
        self, engine: WriteGate, catalog: Catalog, database: Database, clock: Clock, note: Note = not_recorded
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._database = database
        self._clock = clock
        self._note = note

    async def clone(
        self,
        source_id: str,
        name: str,
        database: str,
        *,
        data: Data = Data.ALL,
        ignore: Collection[str] = (),
        main_id: str | None = None,
        finalize: Callable[[], None] = lambda: None,
    ) -> Clone:
        """`database` is that of the new workspace, which has tokens of its own and whose schedules are paused. `ignore`
        names data sources whose rows stay behind. With `main_id` it is a branch of that workspace.

        Nothing is seen of it before it is whole, and `finalize` has been called. Raises NameTaken; the caller drops
        `database` after any failure.
        """
        if self._catalog.named(name) is not None:
            raise NameTaken(f"There is already a workspace '{name}'")
        async with self._catalog.changing(source_id) as source:
            names = {**new_names(await self._export(source)), source.database: database}
            await self._make_tables(source, names)
            is_copied = _copied(source, data, frozenset(ignore))
            snapshot = Snapshot(
                self._engine,
                source.database,
                lambda table: _copy(source, table, names) if is_copied(table) else None,
                make=_make_missing,
                data=data,
            )
            rows, held_seconds = await snapshot.take(lambda: self._export(source))
            rows = renamed(rows, {**new_names(rows), **names})
            rows[WORKSPACES][0].update(name=name, main_id=main_id, signing_key=new_signing_key())
            new = await asyncio.to_thread(preview, rows)
            for pipe in new.pipes():
                if pipe.view_statement is not None:
                    await self._engine.execute(pipe.view_statement)
            finalize()
            now = self._clock.now()
            workspace = await self._catalog.adopt(rows, also=partial(pause_all, workspace=new, at=now))
        self._note(known(workspace, now))
        partitions = {each.name: snapshot.partitions(each.table.table) for each in source.datasources()}
        return Clone(workspace, partitions, held_seconds)

    async def _export(self, workspace: Workspace) -> Rows:
        return await self._database.run(lambda connection: export_rows(connection, workspace.id))

    async def _make_tables(self, source: Workspace, names: Mapping[str, str]) -> None:
        database = names[source.database]
        await self._engine.execute(ddl.drop_database(database))
        await self._engine.execute(ddl.create_database(database))
        for datasource in source.datasources():
            for table in (datasource.table, datasource.quarantine):
                await _make_missing(self._engine, table, _copy(source, table.table, names))


def _copied(source: Workspace, data: Data, ignore: Set[str]) -> Callable[[str], bool]:
    """Says whether rows of a table come along. Rows that a view missed belong to those that its target has."""
    wanted = [each for each in source.datasources() if each.name not in ignore]
    tables = {table.table for each in wanted for table in (each.table, each.quarantine)}
    pipes = [pipe for pipe in source.pipes() if pipe.target not in ignore and data is Data.ALL]
    views = {pipe.view.table for pipe in pipes if pipe.view is not None}
    return lambda table: table in tables or view_that_missed(table) in views


def _copy(source: Workspace, table: str, names: Mapping[str, str]) -> TableName:
    return TableName(names[source.database], renamed_text(table, names))


async def _make_missing(engine: Engine, source: TableName, target: TableName) -> None:
    await engine.execute(f"CREATE TABLE IF NOT EXISTS {target} AS {source}")


def clone_payload(
    catalog: Catalog,
    workspace: Workspace,
    name: str,
    *,
    data: str = Data.ALL,
    ignore: Collection[str] = (),
    is_branch: bool = False,
) -> dict[str, Any]:
    """What a clone job is asked to do. Raises NameTaken, InvalidParameter, NotFound for a data source to ignore."""
    refuse_workspace_name(name)
    if catalog.named(name) is not None:
        raise NameTaken(f"There is already a workspace '{name}'", hint="Choose another name.")
    if data not in list(Data):
        raise InvalidParameter(f"There is no data '{data}' to copy.", hint=f"Use one of {', '.join(Data)}.")
    ignored = [workspace.datasource(each).name for each in ignore]
    main_id = workspace.id if is_branch else None
    return {"workspace": name, "data": data, "ignore": ignored, "database": new_database(), "main_id": main_id}


class CloneRunner:
    def __init__(self, cloner: Cloner, engine: WriteGate, catalog: Catalog) -> None:
        self._cloner = cloner
        self._engine = engine
        self._catalog = catalog

    def touches(self, job: Job) -> frozenset[str]:
        return frozenset((job.payload["database"],))

    async def run(self, run: Run) -> Mapping[str, Any]:
        payload = run.job.payload
        workspace = self._adopted(run.job)
        if workspace is not None:
            return {"clone": {"id": workspace.id, "name": workspace.name}}
        clone = await self._cloner.clone(
            run.job.workspace_id,
            payload["workspace"],
            payload["database"],
            data=Data(payload["data"]),
            ignore=payload["ignore"],
            main_id=payload.get("main_id"),
            finalize=run.finalize,
        )
        return {
            "clone": {"id": clone.workspace.id, "name": clone.workspace.name},
            "held_seconds": round(clone.held_seconds, 6),
            "paused": sorted(pipe.name for pipe in scheduled(clone.workspace)),
            "partitions": [
                {
                    "datasource": {"name": name},
                    "partitions": [{"partition": each, "status": "done", "error": ""} for each in partitions],
                }
                for name, partitions in sorted(clone.partitions.items())
            ],
        }

    def _adopted(self, job: Job) -> Workspace | None:
        return next((each for each in self._catalog.workspaces() if each.database == job.payload["database"]), None)

    async def clean(self, job: Job) -> None:
        if self._adopted(job) is None:
            await self._engine.execute(ddl.drop_database(job.payload["database"]))

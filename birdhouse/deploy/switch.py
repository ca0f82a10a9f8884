"""Puts tables in the places of others as one change with the catalog, also when the process dies in between.

Engine and metadata database have no common transaction. So which table was in which place is stored before, and where
a start finds that the change of the catalog was not saved, it puts the tables back.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import structlog

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.resources import DataSource, Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.deploy import ddl
from birdhouse.engine.pool import uninterrupted
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import TableName
from birdhouse.errors import BirdhouseError
from birdhouse.jobs import store
from birdhouse.jobs.job import Job
from birdhouse.jobs.queue import Run
from birdhouse.jobs.staging import table_uuid

log = structlog.get_logger(__name__)

PLACES, MADE = "places", "made"
"""What a job has kept: the places of the change it is about to make, and that it is made, which is saved with it."""


@dataclass(frozen=True, slots=True)
class Place:
    """The table of that uuid is called `table` before the change, and `stage` behind it."""

    stage: TableName
    table: TableName
    uuid: str


@dataclass(frozen=True, slots=True)
class Switch:
    """Views in `remade` are made again with the statement they have; those in `gone` are not."""

    before: Workspace
    after: Workspace
    places: tuple[Place, ...]
    remade: tuple[Pipe, ...] = ()
    gone: tuple[Pipe, ...] = ()

    async def announce(self, run: Run) -> None:
        """Before inserts are held."""
        places = [(place.stage.table, place.table.table, place.uuid) for place in self.places]
        await run.keep(**{PLACES: places})

    async def make(self, engine: Engine, catalog: Catalog, run: Run) -> None:
        """All of it, or nothing. The caller holds the workspace still, and its inserts."""
        made = replace(run.job, result={**run.job.result, MADE: True})
        try:
            for pipe in (*self.gone, *self.remade):
                await engine.execute(ddl.drop_view(_view(pipe)))
            for place in self.places:
                await engine.execute(f"EXCHANGE TABLES {place.stage} AND {place.table}")
            for pipe in self.remade:
                await engine.execute(pipe.view_statement or "")
            await catalog.commit(self.before, self.after, also=lambda connection: store.save(connection, made))
            run.show(**{MADE: True})
        except BaseException:
            await uninterrupted(self._take_back(engine))
            raise

    async def _take_back(self, engine: Engine) -> None:
        try:
            for pipe in self.remade:
                await engine.execute(ddl.drop_view(_view(pipe)))
            await put_back(engine, self.places)
            for pipe in (*self.gone, *self.remade):
                await engine.execute(ddl.drop_view(_view(pipe)))
                await engine.execute(pipe.view_statement or "")
        except BirdhouseError as error:  # the failure that led here is the one to tell; the next start puts them back
            log.warning("old_tables_not_put_back", error=str(error))


def is_made(job: Job) -> bool:
    """Whether an earlier run of the job has come as far as the change."""
    return bool(job.result.get(MADE))


async def put_back_interrupted(engine: Engine, catalog: Catalog, jobs: Collection[Job]) -> None:
    """At a start, before anybody looks. Views that are missing then are made again from the catalog."""
    for job in jobs:
        if PLACES in job.result and not is_made(job):
            database = catalog.workspace(job.workspace_id).database
            places = [
                Place(TableName(database, stage), TableName(database, table), uuid)
                for stage, table, uuid in job.result[PLACES]
            ]
            await put_back(engine, places)


async def put_back(engine: Engine, places: Sequence[Place]) -> None:
    """Tables that have changed places do so again; those that have not stay where they are."""
    for place in places:
        if await table_uuid(engine, place.stage) == place.uuid:
            await engine.execute(f"EXCHANGE TABLES {place.stage} AND {place.table}")


def views_on(workspace: Workspace, datasource: DataSource) -> tuple[Pipe, ...]:
    """The pipes whose views read its rows or its quarantine."""
    tables = (f"`{datasource.table.table}`", f"`{datasource.quarantine.table}`")
    return tuple(pipe for pipe in workspace.pipes() if any(table in (pipe.view_statement or "") for table in tables))


def _view(pipe: Pipe) -> TableName:
    assert pipe.view is not None
    return pipe.view

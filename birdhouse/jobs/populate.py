"""Populates: a materialized view catches up with the rows that its source held before.

The rows come from a clone of the source, taken while no insert is under way. With `truncate` a new target is filled
beside the old one, which readers go on seeing; a mirror passes on whatever the old one receives meanwhile, from live
rows or anybody else, and the two change places while no insert is under way. So every row counts exactly once.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.resources import Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Limits, Query, TableName, quote_identifier, quote_string
from birdhouse.errors import BirdhouseError, Conflict, InvalidParameter
from birdhouse.jobs.budget import budget_of
from birdhouse.jobs.condition import checked_condition
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job, statistics
from birdhouse.jobs.queue import Run
from birdhouse.jobs.staging import STAGING_PREFIX, Size, Staging, describe, has_gathered, size
from birdhouse.language.datafile.model import NodeKind
from birdhouse.language.sql.rewrite import replace_tables
from birdhouse.query.compose import Composer

SUBSET_ROWS_MAX = 2_000_000

_ROLES = ("mirror", "new", "sample", "source", "rows", "shape")
"""In the order to drop: the mirror writes to the new table."""


@dataclass(frozen=True, slots=True)
class PopulateOptions:
    """`condition` chooses rows of the source, `subset` a fraction of them, for tests.

    `snapshot` names a clone of the source that was made, by `clone_table`, while inserts were held and the view was
    created: without `truncate` only that tells the rows from before the view from those after it. The job drops it.
    """

    condition: str | None = None
    subset: float | None = None
    truncate: bool = False
    unlink_on_error: bool = False
    snapshot: str | None = None


def populate_payload(workspace: Workspace, name: str, options: PopulateOptions) -> dict[str, Any]:
    """What a populate job is asked to do. Raises Conflict for a pipe that is not materialized."""
    pipe = workspace.pipe(name)
    if pipe.kind is not NodeKind.MATERIALIZED or pipe.target is None:
        raise Conflict(f"The pipe '{pipe.name}' is not materialized", hint="Only materialized pipes are populated.")
    if options.subset is not None and not 0 < options.subset <= 1:
        raise InvalidParameter(f"populate_subset is {options.subset}; it is a fraction between 0 and 1.")
    target = workspace.datasource(pipe.target)
    return {
        "pipe_id": pipe.id,
        "pipe_name": pipe.name,
        "datasource": {"id": target.id, "name": target.name},
        "condition": options.condition,
        "subset": options.subset,
        "truncate": options.truncate,
        "unlink_on_error": options.unlink_on_error,
        "snapshot": None if options.truncate else options.snapshot,
    }


class PopulateRunner:
    """`unlink(workspace_id, pipe_id)` takes the view of a pipe away."""

    def __init__(
        self,
        engine: WriteGate,
        catalog: Catalog,
        services: Callable[[], Workspace | None],
        limits: Limits,
        unlink: Callable[[str, str], Awaitable[object]],
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._services = services
        self._limits = limits
        self._unlink = unlink

    def touches(self, job: Job) -> frozenset[str]:
        return frozenset((job.payload["pipe_id"], job.payload["datasource"]["id"]))

    async def run(self, run: Run) -> Mapping[str, Any]:
        try:
            return await self._populate(run)
        except BirdhouseError:
            if run.job.payload["unlink_on_error"]:
                await self._unlink(run.job.workspace_id, run.job.payload["pipe_id"])
            raise

    async def _populate(self, run: Run) -> Mapping[str, Any]:
        payload = run.job.payload
        workspace = self._catalog.workspace(run.job.workspace_id)
        pipe = workspace.pipe(payload["pipe_id"])
        target = workspace.datasource(payload["datasource"]["id"]).table
        staging = self._staging(workspace, run.job)
        way = self._refill if payload["truncate"] else self._add
        written = await way(run, staging, workspace, pipe, target)
        await self.clean(run.job)
        return {"statistics": statistics(written.rows, written.bytes, staging.elapsed_seconds)}

    async def _refill(self, run: Run, staging: Staging, workspace: Workspace, pipe: Pipe, target: TableName) -> Size:
        source = await view_source(self._engine, pipe)
        await staging.drop(*_ROLES)
        async with self._engine.held(target.database):
            await clone_table(self._engine, source, staging.table("source"))
            new = await staging.create_like("new", target)
            await self._engine.execute(
                f"CREATE MATERIALIZED VIEW {staging.table('mirror')} TO {new} AS SELECT * FROM {target}"
            )
        select, settings = await self._select(run, staging, workspace, pipe, source)
        columns = await staging.matched_columns(target, select, strict=False)
        await staging.fill(run, new, [each.name for each in columns], select, settings=settings)
        written = await size(self._engine, new)
        run.finalize()
        async with self._catalog.changing(run.job.workspace_id), self._engine.held(target.database):
            await staging.exchange(new, target)
            await staging.drop("mirror")
        return written

    async def _add(self, run: Run, staging: Staging, workspace: Workspace, pipe: Pipe, target: TableName) -> Size:
        if not has_gathered(run):
            source = await view_source(self._engine, pipe)
            if run.job.payload["snapshot"] is None and not run.job.result.get("cloned"):
                async with self._engine.held(target.database):
                    await clone_table(self._engine, source, staging.table("source"))
                # A run that goes on after an interruption keeps this moment: later rows went through the view.
                await run.keep(cloned=True)
            select, settings = await self._select(run, staging, workspace, pipe, source)
            columns = await staging.matched_columns(target, select, strict=False)
            await staging.gather(run, columns, select, settings=settings)
        return await staging.move(run, target)

    async def _select(
        self, run: Run, staging: Staging, workspace: Workspace, pipe: Pipe, source: TableName
    ) -> tuple[str, str]:
        """The SELECT of the view over the clone, and the settings that let it see the chosen rows only."""
        snapshot = run.job.payload["snapshot"]
        clone = TableName(source.database, snapshot) if snapshot else staging.table("source")
        settings = ""
        if run.job.payload["condition"] is not None:
            condition = checked_condition(workspace, run.job.payload["condition"], services=self._services())
            settings = f"additional_table_filters = {{{quote_string(f'{clone.database}.{clone.table}')}: "
            settings += f"{quote_string(condition)}}}"
        if run.job.payload["subset"] is not None:
            clone = await self._sample(run, staging, clone, settings)
            settings = ""
        view = Composer(workspace, {}, services=self._services(), check=True).pipe(pipe).sql
        return replace_tables(view, {(source.database, source.table): (clone.database, clone.table)}), settings

    async def _sample(self, run: Run, staging: Staging, clone: TableName, settings: str) -> TableName:
        rows = (await size(self._engine, clone)).rows
        wanted = min(SUBSET_ROWS_MAX, math.ceil(rows * run.job.payload["subset"]))
        columns = [each.name for each in await describe(self._engine, clone) if each.is_written]
        names = ", ".join(map(quote_identifier, columns))
        sample = await staging.create_like("sample", clone)
        await staging.fill(run, sample, columns, f"SELECT {names} FROM {clone} LIMIT {wanted}", settings=settings)
        return sample

    async def clean(self, job: Job) -> None:
        workspace = self._catalog.workspace(job.workspace_id)
        await self._staging(workspace, job).drop(*_ROLES)
        if job.payload["snapshot"] is not None:
            snapshot = TableName(workspace.database, job.payload["snapshot"])
            await self._engine.execute(f"DROP TABLE IF EXISTS {snapshot} SYNC")

    def _staging(self, workspace: Workspace, job: Job) -> Staging:
        limits = budget_of(workspace, job.payload["pipe_id"], self._limits)
        return Staging(self._engine, workspace.database, job.id, limits)


def snapshot_name() -> str:
    return f"{STAGING_PREFIX}{uuid.uuid4().hex}_source"


async def clone_table(engine: Engine, source: TableName, clone: TableName) -> None:
    """The rows as they are now. Takes milliseconds: the clone shares their files. Inserts must be held."""
    await engine.execute(f"DROP TABLE IF EXISTS {clone} SYNC")
    if await _stores_parts(engine, source):
        await engine.execute(f"CREATE TABLE {clone} CLONE AS {source}")
    else:
        await engine.execute(f"CREATE TABLE {clone} AS {source}")
        await engine.execute(f"INSERT INTO {clone} SELECT * FROM {source}")


async def view_source(engine: Engine, pipe: Pipe) -> TableName:
    """The table whose inserts trigger the view of the pipe: the engine itself says which. Raises Conflict."""
    view = pipe.view
    if view is not None:
        pair = f"({quote_string(view.database)}, {quote_string(view.table)})"
        sql = (
            "SELECT database, name FROM system.tables "
            f"WHERE has(arrayZip(dependencies_database, dependencies_table), {pair})"
        )
        result = await engine.select(Query(sql, "JSONCompactEachRow"))
        if result.body:
            database, table = orjson.loads(result.body.splitlines()[0])
            return TableName(database, table)
    raise Conflict(
        f"The pipe '{pipe.name}' has no materialized view with a source to populate from.",
        hint="The leftmost table of the materialized node must be a data source.",
    )


async def _stores_parts(engine: Engine, table: TableName) -> bool:
    sql = (
        f"SELECT engine FROM system.tables "
        f"WHERE database = {quote_string(table.database)} AND name = {quote_string(table.table)}"
    )
    result = await engine.select(Query(sql, "TSVRaw"))
    return result.body.strip().endswith(b"MergeTree")

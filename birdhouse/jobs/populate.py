"""Populates: a materialized view catches up with the rows that its source held before.

The rows come from a clone of the source, taken at one moment while no insert is under way: when the view was made, if
the populate was asked for together with it, else when the job begins. What comes in later goes through the view alone.
The target and everything that views make of it get their rows beside the real tables (`ingest/shadow.py`) and in one
step at the end. Without `truncate` the rows are added; with it they take the place of those that are there.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.lineage import ids_below
from birdhouse.catalog.resources import QUARANTINE_SUFFIX
from birdhouse.catalog.views import View, load_views
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.protocol import Engine
from birdhouse.engine.tables import describe, describe_select
from birdhouse.engine.types import Limits, TableName, quote_identifier, quote_string
from birdhouse.errors import BirdhouseError, Conflict, InvalidParameter, SqlError
from birdhouse.ingest.missed import close_missed, drop_all
from birdhouse.ingest.shadow import Keeping, Shadow
from birdhouse.ingest.staging import clone_table
from birdhouse.jobs.budget import budget_of
from birdhouse.jobs.condition import checked_condition
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job, statistics
from birdhouse.jobs.queue import Run
from birdhouse.jobs.staging import Staging, size, table_uuid
from birdhouse.language.datafile.model import NodeKind
from birdhouse.language.sql.rewrite import replace_tables
from birdhouse.query.locate import in_known_names

SUBSET_ROWS_MAX = 2_000_000
SNAPSHOT_ROLE = "source"
"""Which of the tables of the job is the clone of the source."""


@dataclass(frozen=True, slots=True)
class PopulateOptions:
    """`condition` chooses rows of the source, `subset` a fraction of them, for tests."""

    condition: str | None = None
    subset: float | None = None
    truncate: bool = False
    unlink_on_error: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A clone of the source that was made together with the view, as a table of the job."""

    source_uuid: str
    """Of the source at that moment; empty when it was made at the same time."""


def populate_payload(
    workspace: Workspace, view: View, options: PopulateOptions, snapshot: Snapshot | None = None
) -> dict[str, Any]:
    """What a populate job is asked to do."""
    if options.subset is not None and not 0 < options.subset <= 1:
        raise InvalidParameter(f"populate_subset is {options.subset}; it is a fraction between 0 and 1.")
    target = workspace.datasource(view.target.table)
    return {
        "pipe_id": workspace.pipe(view.pipe).id,
        "pipe_name": view.pipe,
        "datasource": {"id": target.id, "name": target.name},
        "source_id": view.source.table.removesuffix(QUARANTINE_SUFFIX),
        "condition": options.condition,
        "subset": options.subset,
        "truncate": options.truncate,
        "unlink_on_error": options.unlink_on_error,
        "snapshot": {"source_uuid": snapshot.source_uuid} if snapshot else None,
    }


async def check_condition(
    engine: Engine, workspace: Workspace, view: View, options: PopulateOptions, services: Workspace | None
) -> None:
    """Raises SqlError for a condition that cannot be asked of the source."""
    if options.condition is None:
        return
    condition = checked_condition(workspace, options.condition, services=services)
    try:
        await describe_select(engine, f"SELECT 1 FROM {view.source} WHERE {condition}")
    except SqlError as error:
        error.message = in_known_names(error.message, workspace)
        error.detail = f"(in the condition on '{workspace.name_of(view.source)}')"
        raise


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
        workspace = self._catalog.workspace(job.workspace_id)
        own = (job.payload["pipe_id"], job.payload.get("source_id", ""))
        return frozenset(own) | ids_below(workspace, job.payload["datasource"]["id"])

    async def run(self, run: Run) -> Mapping[str, Any]:
        try:
            return await self._populate(run)
        except BirdhouseError:
            if run.job.payload["unlink_on_error"]:
                await self._unlink(run.job.workspace_id, run.job.payload["pipe_id"])
            raise

    async def _populate(self, run: Run) -> Mapping[str, Any]:
        workspace = self._catalog.workspace(run.job.workspace_id)
        view = await view_of(self._engine, workspace, run.job.payload["pipe_id"])
        staging = self._staging(workspace, run.job)
        if not await self._is_published(run, view):
            await self._fill_and_publish(run, staging, workspace, view)
        if run.job.payload["condition"] is None and run.job.payload["subset"] is None:
            # All rows the source had are in the target now, also those that the view had missed.
            missed = run.job.result.get("missed", ())
            await drop_all(self._engine, (TableName(workspace.database, name) for name in missed))
        await staging.drop_all()
        return {}

    async def _is_published(self, run: Run, view: View) -> bool:
        """Whether an earlier run was interrupted when its table had the place of the target already."""
        published = run.job.result.get("published_uuid")
        return published is not None and published == await table_uuid(self._engine, view.target)

    async def _fill_and_publish(self, run: Run, staging: Staging, workspace: Workspace, view: View) -> None:
        truncate = run.job.payload["truncate"]
        keeping = Keeping.NOTHING if truncate else Keeping.EVERYTHING
        shadow = Shadow(self._engine, self._catalog, workspace, view.target, run.job.id, keeping)
        await shadow.create()
        clone = staging.table(SNAPSHOT_ROLE)
        async with self._engine.held(workspace.database):
            await shadow.attach(mirror=truncate)
            if truncate or _source_uuid(run) is None:
                await clone_table(self._engine, view.source, clone)
                # A run that goes on after an interruption keeps this moment: later rows went through the view.
                missed = [each.table for each in await close_missed(self._engine, view)]
                await run.keep(source_uuid=await table_uuid(self._engine, view.source), missed=missed)
        if source_uuid := _source_uuid(run):
            shadow.watch(view.source, source_uuid)
        await shadow.backfill(self._limits)
        select, settings = await self._select(run, staging, workspace, view, clone)
        columns = await staging.matched_columns(view.target, select, strict=False)
        names = [each.name for each in columns]
        with shadow.filling():
            await staging.fill(run, shadow.table, names, select, settings=_joined(settings, shadow.fill_settings))
        written = await size(self._engine, shadow.table)
        run.finalize()
        await run.keep(
            statistics=statistics(written.rows, written.bytes, staging.elapsed_seconds),
            published_uuid=await table_uuid(self._engine, shadow.table),
        )
        await shadow.publish()

    async def _select(
        self, run: Run, staging: Staging, workspace: Workspace, view: View, clone: TableName
    ) -> tuple[str, str]:
        """The SELECT of the view over the clone, and the settings that let it see the chosen rows only."""
        settings = ""
        if run.job.payload["condition"] is not None:
            condition = checked_condition(workspace, run.job.payload["condition"], services=self._services())
            settings = f"additional_table_filters = {{{quote_string(f'{clone.database}.{clone.table}')}: "
            settings += f"{quote_string(condition)}}}"
        if run.job.payload["subset"] is not None:
            clone = await self._sample(run, staging, clone, settings)
            settings = ""
        source = view.source
        select = replace_tables(view.select, {(source.database, source.table): (clone.database, clone.table)})
        return select, settings

    async def _sample(self, run: Run, staging: Staging, clone: TableName, settings: str) -> TableName:
        rows = (await size(self._engine, clone)).rows
        wanted = min(SUBSET_ROWS_MAX, math.ceil(rows * run.job.payload["subset"]))
        columns = [each.name for each in await describe(self._engine, clone) if each.is_written]
        names = ", ".join(map(quote_identifier, columns))
        sample = await staging.create_like("sample", clone)
        await staging.fill(run, sample, columns, f"SELECT {names} FROM {clone} LIMIT {wanted}", settings=settings)
        return sample

    async def clean(self, job: Job) -> None:
        await self._staging(self._catalog.workspace(job.workspace_id), job).drop_all()

    def _staging(self, workspace: Workspace, job: Job) -> Staging:
        limits = budget_of(workspace, job.payload["pipe_id"], self._limits)
        return Staging(self._engine, workspace.database, job.id, limits)


def _source_uuid(run: Run) -> str | None:
    """Of the source when it was cloned; None when it was not, empty for a source that was made at that moment."""
    made_with_the_view: Mapping[str, str] = run.job.payload.get("snapshot") or run.job.result
    return made_with_the_view.get("source_uuid")


def _joined(*settings: str) -> str:
    return ", ".join(filter(None, settings))


async def view_of(engine: Engine, workspace: Workspace, pipe: str) -> View:
    """The view of a pipe, by its name or id. Raises Conflict when it has none that something triggers."""
    found = workspace.pipe(pipe)
    if found.kind is not NodeKind.MATERIALIZED:
        raise Conflict(f"The pipe '{found.name}' is not materialized", hint="Only materialized pipes are populated.")
    for view in await load_views(engine, workspace):
        if view.pipe == found.name:
            return view
    raise Conflict(
        f"The pipe '{found.name}' has no materialized view with a source to populate from.",
        hint="The leftmost table of the materialized node must be a data source.",
    )

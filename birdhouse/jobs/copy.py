"""Copies: the result of a pipe goes into a data source, beside what is there or in place of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.lineage import datasources_read, ids_below, leftmost_source
from birdhouse.catalog.resources import Pipe
from birdhouse.catalog.views import downstream, load_views
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import short_time
from birdhouse.engine.tables import stored_tables
from birdhouse.engine.types import Limits, TableName
from birdhouse.errors import Conflict, InvalidParameter
from birdhouse.ingest.delivery import Delivery
from birdhouse.ingest.shadow import Keeping, Shadow
from birdhouse.jobs.budget import budget, within
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job, statistics
from birdhouse.jobs.queue import Run
from birdhouse.jobs.staging import MOVED_ROWS_MAX, Size, Staging, has_gathered, size, table_uuid
from birdhouse.language.datafile.model import NodeKind
from birdhouse.language.datafile.run_options import run_options
from birdhouse.language.sql.statements import check_expression
from birdhouse.language.sql.tables import COPY_TABLE_FUNCTIONS
from birdhouse.query.compose import Composer

APPEND = "append"
REPLACE = "replace"
JOB_TIMESTAMP = "job_timestamp"


def copy_payload(
    workspace: Workspace,
    name: str,
    parameters: Mapping[str, str],
    *,
    at: datetime,
    mode: str | None = None,
) -> dict[str, Any]:
    """What a copy job is asked to do. `mode` wins over the pipe's; `at` is the `job_timestamp` of the template."""
    pipe = workspace.pipe(name)
    if pipe.kind is not NodeKind.COPY or pipe.target is None:
        raise Conflict(f"The pipe '{pipe.name}' is not a copy pipe", hint="Give one of its nodes TYPE COPY.")
    mode = mode or pipe.output.copy_mode or APPEND
    if mode not in (APPEND, REPLACE):
        raise InvalidParameter(f"A copy has no mode '{mode}'", hint=f"Use {APPEND} or {REPLACE}.")
    target = workspace.datasource(pipe.target)
    return {
        "pipe_id": pipe.id,
        "pipe_name": pipe.name,
        "datasource": {"id": target.id, "name": target.name},
        "mode": mode,
        "parameters": {JOB_TIMESTAMP: short_time(at), **parameters},
    }


def scheduled_copy(workspace: Workspace, pipe: Pipe, at: datetime) -> dict[str, Any]:
    """What a copy is asked to do when nobody asks; `at` is its tick, or the run of a root that it follows."""
    return copy_payload(workspace, pipe.id, {}, at=at)


class CopyRunner:
    def __init__(
        self,
        engine: WriteGate,
        catalog: Catalog,
        services: Callable[[], Workspace | None],
        limits: Limits,
        delivery: Delivery,
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._services = services
        self._limits = limits
        self._delivery = delivery

    def touches(self, job: Job) -> frozenset[str]:
        workspace = self._catalog.workspace(job.workspace_id)
        return ids_below(workspace, job.payload["datasource"]["id"]) | {job.payload["pipe_id"]}

    async def run(self, run: Run) -> Mapping[str, Any]:
        payload = run.job.payload
        workspace = self._catalog.workspace(run.job.workspace_id)
        pipe = workspace.pipe(payload["pipe_id"])
        target = workspace.datasource(payload["datasource"]["id"]).table
        limits = budget(pipe, self._limits)
        staging = Staging(self._engine, workspace.database, run.job.id, limits)
        with within(limits, pipe, is_sliceable=True):
            write = self._replace if payload["mode"] == REPLACE else self._append
            written = await write(run, staging, target, workspace, pipe)
        read = staging.read
        return {
            "statistics": statistics(
                written.rows, written.bytes, staging.elapsed_seconds, rows_read=read.rows, bytes_read=read.bytes
            )
        }

    async def _append(self, run: Run, staging: Staging, target: TableName, workspace: Workspace, pipe: Pipe) -> Size:
        """In steps, or, where no view waits for the rows and they are many, beside the target and then all at once.

        The second way writes them only once: the files of what is there and of what is new are linked together.
        """
        if (published := await self._published(run, staging, target)) is not None:
            return published
        if not has_gathered(run):
            select = self._select(staging, workspace, pipe, run.job.payload)
            if await self._can_link(workspace, target):
                shadow = await self._filled(run, staging, Keeping.EVERYTHING_BEFORE, workspace, pipe, select)
                written = await size(self._engine, shadow.table)
                if written.rows > MOVED_ROWS_MAX:
                    return await self._publish(run, shadow, written)
                await _gather(run, staging, target, f"SELECT * FROM {shadow.table}")
                await shadow.drop()
            else:
                await _gather(run, staging, target, *slices(pipe, select))
        return await staging.move(run, target, self._delivery)

    async def _replace(self, run: Run, staging: Staging, target: TableName, workspace: Workspace, pipe: Pipe) -> Size:
        """What views make of the target's rows is made again with it, and changes in the same step."""
        if (published := await self._published(run, staging, target)) is not None:
            return published
        select = self._select(staging, workspace, pipe, run.job.payload)
        shadow = await self._filled(run, staging, Keeping.NOTHING, workspace, pipe, select)
        written = await size(self._engine, shadow.table)
        if not written.rows and run_options(pipe.output).refuse_empty:
            await self._refuse_empty(workspace, pipe)
        return await self._publish(run, shadow, written)

    async def _can_link(self, workspace: Workspace, target: TableName) -> bool:
        stored = await stored_tables(self._engine, target.database, [target.table])
        return stored[target.table].has_parts and not downstream(await load_views(self._engine, workspace), target)

    async def _filled(
        self, run: Run, staging: Staging, keeping: Keeping, workspace: Workspace, pipe: Pipe, select: str
    ) -> Shadow:
        """The shadow of the target, with the result of the pipe in it."""
        target = workspace.datasource(run.job.payload["datasource"]["id"]).table
        columns = [each.name for each in await staging.matched_columns(target, select)]
        shadow = Shadow(self._engine, self._catalog, workspace, target, run.job.id, keeping)
        await shadow.open(budget(pipe, self._limits))
        with shadow.filling():
            await staging.fill(run, shadow.table, columns, *slices(pipe, select), settings=shadow.fill_settings)
        return shadow

    async def _publish(self, run: Run, shadow: Shadow, written: Size) -> Size:
        run.finalize()
        uuid = await table_uuid(self._engine, shadow.successor)
        await run.keep(published_uuid=uuid, published_rows=written.rows, published_bytes=written.bytes)
        await shadow.publish()
        await shadow.drop()
        return written

    async def _published(self, run: Run, staging: Staging, target: TableName) -> Size | None:
        """What an earlier run wrote that was interrupted after the swap: a pipe that reads its target must run once."""
        facts = run.job.result
        if not run.resumed or facts.get("published_uuid") != await table_uuid(self._engine, target):
            return None
        await staging.drop_all()
        return Size(facts["published_rows"], facts["published_bytes"])

    async def _refuse_empty(self, workspace: Workspace, pipe: Pipe) -> None:
        leftmost = leftmost_source(workspace, pipe)
        for source in datasources_read(workspace, pipe) if leftmost is None else (leftmost,):
            rows = (await size(self._engine, source.table)).rows
            if rows:
                raise Conflict(
                    f"The result is empty while its source '{source.name}' has {rows} rows.",
                    detail="(refuse_empty; the target is as it was)",
                    hint="Look at the filters and joins of the pipe. To empty the target, truncate it.",
                )

    async def clean(self, job: Job) -> None:
        await self._staging(self._catalog.workspace(job.workspace_id), job).drop_all()

    def _staging(self, workspace: Workspace, job: Job) -> Staging:
        return Staging(self._engine, workspace.database, job.id, self._limits)

    def _select(self, staging: Staging, workspace: Workspace, pipe: Pipe, payload: Mapping[str, Any]) -> str:
        """The secrets that it uses are bound by the staging, and not part of it."""
        if pipe.kind is not NodeKind.COPY:
            raise Conflict(f"The pipe '{pipe.name}' is not a copy pipe any more.")
        # Jobs do not run read-only: the composer checks every text after it was rendered.
        composer = Composer(
            workspace, payload["parameters"], services=self._services(), table_functions=COPY_TABLE_FUNCTIONS
        )
        composed = composer.pipe(pipe)
        staging.parameters = composed.query_parameters
        return composed.sql


async def _gather(run: Run, staging: Staging, target: TableName, *selects: str) -> None:
    await staging.gather(run, await staging.matched_columns(target, selects[0]), *selects)


def slices(pipe: Pipe, select: str) -> tuple[str, ...]:
    """The SELECT in as many parts as the pipe has shards, which together give its rows.

    The engine moves the condition down to where the rows are read, as far as the key allows, so that a part needs
    less memory and time than the whole.
    """
    options = run_options(pipe.output)
    if options.shard_key is None or options.shards == 1:
        return (select,)
    # NULL has no hash, and its rows belong to a slice too.
    shard = f"ifNull({shard_of(options.shard_key)}, 0) % {options.shards}"
    return tuple(f"SELECT * FROM (\n{select}\n) WHERE {shard} = {number}" for number in range(options.shards))


def shard_of(key: str) -> str:
    """Raises SqlError for what is no expression over columns."""
    return f"cityHash64({check_expression(key)})"

"""Sinks: the result of a pipe goes into files, on the server's disk or in S3-compatible storage.

The names of the files are stored before the first one is written, so that a job that a crash interrupts writes the
same files again and no others. Where the names depend on the rows, the rows are gathered first: a second run of
the query could give others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.resources import Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import short_time
from birdhouse.engine.tables import StoredColumn
from birdhouse.engine.types import Limits, Progress, Query, Statistics, TableName, quote_identifier, quote_string
from birdhouse.errors import Conflict, LimitReached, SqlError
from birdhouse.jobs.bucket import Bucket, Buckets
from birdhouse.jobs.budget import budget, within
from birdhouse.jobs.copy import JOB_TIMESTAMP
from birdhouse.jobs.destination import Destination, form_of
from birdhouse.jobs.export import connection_name, obstacle, service_of
from birdhouse.jobs.folder import Folder
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job, statistics
from birdhouse.jobs.queue import Run
from birdhouse.jobs.staging import DURABLE, ROW_NUMBER, Staging
from birdhouse.language.datafile.export import (
    JOB_ID,
    ColumnPart,
    Export,
    SplitPart,
    Strategy,
    check_file_name,
    read_export,
)
from birdhouse.language.datafile.model import NodeKind
from birdhouse.language.template import is_template, parse_template, template_body
from birdhouse.query.compose import Composed, Composer

FILES_MAX = 1_000
"""How many files one run may write."""

OVERRIDES = ("file_template", "format", "compression", "write_strategy")
"""What a run may ask otherwise than the pipe says, unless the pipe has a parameter of that name."""

UNFINISHED = "unfinished"
"""The key of a job's result under which a later run finds what this one has planned and done."""

_FILE = "__file"
_NOT_IN_VALUE = r"[^\pL\pN _.=@+,~():-]"
"""What a value may not bring into the name of a file; it becomes an underscore."""


def sink_payload(
    workspace: Workspace,
    name: str,
    parameters: Mapping[str, str],
    *,
    at: datetime,
) -> dict[str, Any]:
    """What a sink job is asked to do. `at` is the `job_timestamp` of the template. Raises Conflict, InvalidInput."""
    pipe = require_sink(workspace.pipe(name))
    problem = obstacle(workspace, pipe)
    if problem is not None:
        raise problem
    own = _parameters_of(pipe)
    chosen = {key: value for key, value in parameters.items() if key in OVERRIDES and key not in own}
    options = {**pipe.output.options, **{f"export_{key}": value for key, value in chosen.items()}}
    read_export(options, pipe.name)
    return {
        "pipe_id": pipe.id,
        "pipe_name": pipe.name,
        "service": service_of(pipe.output),
        "connection": connection_name(pipe.output),
        "options": options,
        "parameters": {
            JOB_TIMESTAMP: short_time(at),
            **{key: value for key, value in parameters.items() if key not in chosen},
        },
    }


def require_sink(pipe: Pipe) -> Pipe:
    if pipe.kind is not NodeKind.SINK:
        raise Conflict(f"The pipe '{pipe.name}' is not a sink", hint="Give one of its nodes TYPE sink.")
    return pipe


def scheduled_sink(workspace: Workspace, pipe: Pipe, at: datetime) -> dict[str, Any]:
    """What a sink is asked to do when nobody asks; `at` is its tick, or the run of a root that it follows."""
    return sink_payload(workspace, pipe.id, {}, at=at)


def _parameters_of(pipe: Pipe) -> frozenset[str]:
    templates = (template_body(node.sql) for node in pipe.definition.nodes if is_template(node.sql))
    return frozenset(name for each in templates for name in parse_template(each).names)


class SinkRunner:
    """`exports` is the directory for files; each workspace has a folder of its name in it."""

    def __init__(
        self,
        engine: WriteGate,
        catalog: Catalog,
        services: Callable[[], Workspace | None],
        limits: Limits,
        buckets: Buckets,
        exports: Path,
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._services = services
        self._limits = limits
        self._buckets = buckets
        self._exports = exports

    def touches(self, job: Job) -> frozenset[str]:
        return frozenset((job.payload["pipe_id"],))

    async def run(self, run: Run) -> Mapping[str, Any]:
        payload = run.job.payload
        workspace = self._catalog.workspace(run.job.workspace_id)
        pipe = workspace.pipe(payload["pipe_id"])
        limits = budget(pipe, self._limits)
        export = read_export(payload["options"], payload["pipe_name"])
        destination = await self._destination(workspace, run.job, export, limits)
        staging = Staging(self._engine, workspace.database, run.job.id, limits)
        rows = self._rows(workspace, pipe, payload)
        with within(limits, pipe):
            if UNFINISHED not in run.job.result:
                await self._plan(run, staging, destination, export, rows)
            await self._write(run, staging, destination, export, rows)
        run.finalize()
        sizes = await destination.publish(_names(run.job))
        await self._drop(staging)
        return {
            "output": [destination.shown(name) for name in sizes],
            "statistics": {**run.job.statistics, "bytes": sum(sizes.values())},
            UNFINISHED: {},
        }

    async def _destination(self, workspace: Workspace, job: Job, export: Export, limits: Limits) -> Destination:
        replaces = export.strategy is Strategy.REPLACE
        if export.location.is_local:
            root = self._exports / workspace.name
            return Folder(self._engine, limits, root, job.id, replaces=replaces)
        connection = workspace.connections.get(job.payload["connection"])
        if connection is None:
            raise Conflict(f"The connection '{job.payload['connection']}' does not exist any more.")
        access = await self._buckets.access(connection, export.location)
        table = self._staging(workspace, job).table("listing")
        return Bucket(self._engine, limits, access, export.location.scheme, table, replaces=replaces)

    def _rows(self, workspace: Workspace, pipe: Pipe, payload: Mapping[str, Any]) -> Composed:
        if pipe.kind is not NodeKind.SINK:
            raise Conflict(f"The pipe '{pipe.name}' is not a sink any more.")
        # Jobs do not run read-only: the composer checks every text after it was rendered.
        composer = Composer(workspace, payload["parameters"], services=self._services())
        return composer.pipe(pipe)

    async def _plan(self, run: Run, staging: Staging, destination: Destination, export: Export, rows: Composed) -> None:
        """Stores which files there will be, and where the rows of each come from."""
        staging.parameters = rows.query_parameters
        columns = await staging.shape(rows.sql)
        export = _with_job_id(export, columns, run.job.id)
        gathered: list[str] = []
        if export.is_one_file:
            wanted = [_full_name(export, "".join(map(str, export.template)) + export.ending)]
        else:
            _check_columns(export, columns)
            wanted = await self._gathered_names(await _gather(run, self._engine, staging, export, columns, rows))
            # What was read is counted here, where the query ran, and not where its gathered rows are written.
            read = staging.read
            run.show(statistics=statistics(0, 0, staging.elapsed_seconds, rows_read=read.rows, bytes_read=read.bytes))
            gathered = [each.name for each in columns]
        chosen = await destination.choose(wanted)
        await run.keep(**{UNFINISHED: {"names": chosen, "wanted": wanted, "gathered": gathered, "written": 0}})

    async def _gathered_names(self, table: TableName) -> list[str]:
        sql = f"SELECT DISTINCT {_FILE} FROM {table} ORDER BY {_FILE} LIMIT {FILES_MAX + 1}"
        answer = await self._engine.select(Query(sql, "JSONCompactEachRow"))
        names: list[str] = [orjson.loads(line)[0] for line in answer.body.splitlines()]
        if len(names) > FILES_MAX:
            raise LimitReached(
                f"The rows would go into more than {FILES_MAX} files.",
                hint="Name a coarser column in EXPORT_FILE_TEMPLATE, or give a time a format: {day, '%Y-%m'}.",
            )
        for name in names:
            check_file_name(name)
        return names

    async def _write(
        self, run: Run, staging: Staging, destination: Destination, export: Export, rows: Composed
    ) -> None:
        form = form_of(export)
        plan = run.job.result[UNFINISHED]
        for number in range(plan["written"], len(plan["names"])):
            source = rows
            if plan["gathered"]:
                source = _gathered_rows(staging.table("rows"), plan["gathered"], plan["wanted"][number])
            done = await destination.write(run, number, plan["names"][number], source, form)
            counted = _counted(run.job.statistics, done, is_gathered=bool(plan["gathered"]))
            await run.keep(**{UNFINISHED: {**plan, "written": number + 1}}, statistics=counted)
            run.progress(Progress(rows_read=number + 1, bytes_read=0, total_rows=len(plan["names"])))

    async def clean(self, job: Job) -> None:
        workspace = self._catalog.workspace(job.workspace_id)
        await self._drop(self._staging(workspace, job))
        export = read_export(job.payload["options"], job.payload["pipe_name"])
        destination = await self._destination(workspace, job, export, self._limits)
        # The last one may be there although its end was not stored.
        await destination.clean(_names(job)[: job.result.get(UNFINISHED, {}).get("written", 0) + 1])

    async def _drop(self, staging: Staging) -> None:
        await staging.drop("rows", "listing")

    def _staging(self, workspace: Workspace, job: Job) -> Staging:
        return Staging(self._engine, workspace.database, job.id, self._limits)


def _names(job: Job) -> list[str]:
    found: list[str] = job.result.get(UNFINISHED, {}).get("names", [])
    return found


def _counted(before: Mapping[str, Any], done: Statistics, *, is_gathered: bool) -> dict[str, Any]:
    """The statistics with one more file. What was read for gathered rows is in them already."""
    seconds = before.get("elapsed_seconds", 0) + done.elapsed_seconds
    rows = before.get("row_count", 0) + done.result_rows
    read = (before["rows_read"], before["bytes_read"]) if is_gathered else (done.rows_read, done.bytes_read)
    return statistics(rows, 0, seconds, rows_read=read[0], bytes_read=read[1])


def _with_job_id(export: Export, columns: Sequence[StoredColumn], job_id: str) -> Export:
    if any(column.name == JOB_ID for column in columns):
        return export
    template = tuple(job_id if part == ColumnPart(JOB_ID) else part for part in export.template)
    return replace(export, template=template)


def _check_columns(export: Export, columns: Sequence[StoredColumn]) -> None:
    known = {column.name for column in columns}
    for part in export.template:
        if isinstance(part, ColumnPart) and part.column not in known:
            raise SqlError(
                f"The file template names the column '{part.column}', which the result does not have.",
                hint=f"Its columns are {', '.join(sorted(known))}.",
            )


async def _gather(
    run: Run, engine: WriteGate, staging: Staging, export: Export, columns: Sequence[StoredColumn], rows: Composed
) -> TableName:
    """Puts the rows, each with the name of its file, into a table in the order of the files."""
    table = staging.table("rows")
    await staging.drop("rows")
    clauses = [f"{quote_identifier(each.name)} {each.type}" for each in columns]
    await engine.execute(
        f"CREATE TABLE {table} ({', '.join((f'{_FILE} LowCardinality(String)', f'{ROW_NUMBER} UInt64', *clauses))}) "
        f"ENGINE = MergeTree ORDER BY ({_FILE}, {ROW_NUMBER}) SETTINGS {DURABLE}"
    )
    names = ", ".join(quote_identifier(each.name) for each in columns)
    chosen = f"{_name_expression(export)}, rowNumberInAllBlocks(), {names}"
    into = f"{table} ({_FILE}, {ROW_NUMBER}, {names})"
    await staging.insert(run.progress, into, chosen, rows.sql)
    return table


def _gathered_rows(table: TableName, columns: Sequence[str], name: str) -> Composed:
    names = ", ".join(map(quote_identifier, columns))
    return Composed(f"SELECT {names} FROM {table} WHERE {_FILE} = {quote_string(name)} ORDER BY {ROW_NUMBER}")


def _full_name(export: Export, name: str) -> str:
    return f"{export.location.folder}/{name}" if export.location.folder else name


def _name_expression(export: Export) -> str:
    """SQL that gives each row the name of its file."""
    folder = f"{export.location.folder}/" if export.location.folder else ""
    parts = [quote_string(folder), *map(_part_expression, export.template), quote_string(export.ending)]
    return f"concat({', '.join(parts)})"


def _part_expression(part: str | ColumnPart | SplitPart) -> str:
    if isinstance(part, str):
        return quote_string(part)
    if isinstance(part, SplitPart):
        return f"toString(rowNumberInAllBlocks() % {part.count})"
    column = quote_identifier(part.column)
    if part.time_format is not None:
        return f"ifNull(formatDateTime({column}, {quote_string(part.time_format)}), 'NULL')"
    # Of low cardinality, so that each value is cleaned once and not for every row.
    text = f"toLowCardinality(ifNull(toString({column}), 'NULL'))"
    # A value that is empty or begins with a dot could name the folder above, or none.
    value = f"replaceRegexpAll({text}, {quote_string(_NOT_IN_VALUE)}, '_')"
    return f"replaceRegexpOne({value}, '^(?:[.]| *$)', '_')"

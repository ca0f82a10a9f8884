"""What the service data sources are told about jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import orjson

from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query, quote_string
from birdhouse.jobs import store
from birdhouse.jobs.job import UNFINISHED, Job, JobKind, JobStatus
from birdhouse.metadata.database import Database
from birdhouse.usage.blocks import public_url
from birdhouse.usage.job_states import JobState
from birdhouse.usage.operations import MODE, EventType, Operation
from birdhouse.usage.request import current_request_id
from birdhouse.usage.row import Note
from birdhouse.usage.sink_runs import SinkRun

METADATA_BYTES_MAX = 64_000
LOST_SECONDS_MAX = 60
"""How long before a crash a job can have ended without being recorded: far longer than a record waits."""
CANCELLED = "The job was cancelled."

_EVENT_AT_END: Mapping[str, EventType] = {
    JobKind.COPY: EventType.COPY,
    JobKind.QUERY: EventType.COPY,
    JobKind.POPULATE: EventType.POPULATE,
    JobKind.REPAIR: EventType.POPULATE,
    JobKind.DELETE: EventType.DELETE,
}
"""An import notes its operation itself, together with its blocks."""
_OPTIONS = ("condition", "subset", "delete_condition")
"""What of a payload is an option of the operation."""


class JobRecords:
    """Is told of each change of a job: `observe` is for the queue."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._request_ids: dict[str, str] = {}
        """Of the jobs that have not ended: the request that asked for each, as long as this process remembers."""

    def observe(self, job: Job) -> None:
        if job.status is JobStatus.WAITING and (request_id := current_request_id()):
            self._request_ids.setdefault(job.id, request_id)
        request_id = self._request_ids.get(job.id, "")
        if job.is_finished:
            self._request_ids.pop(job.id, None)
        self._note(state_of(job, request_id))
        for operation in operations_of(job, request_id):
            self._note(operation)
        if job.kind == JobKind.SINK and job.is_finished:
            self._note(_sink_run(job))


async def note_lost_ends(database: Database, engine: Engine, services: Workspace, note: Note) -> None:
    """After a crash: the ends that the metadata database has and `tinybird.jobs_log` was not told in time."""
    ended = await database.run(lambda connection: store.lately_ended(connection, timedelta(seconds=LOST_SECONDS_MAX)))
    table = services.resources.get(JobState.TABLE)
    if not ended or not isinstance(table, DataSource):
        return
    ids = ", ".join(quote_string(job.id) for job in ended)
    unfinished = ", ".join(quote_string(status) for status in UNFINISHED)
    sql = f"SELECT DISTINCT job_id FROM {table.table} WHERE job_id IN ({ids}) AND status NOT IN ({unfinished})"
    result = await engine.select(Query(sql, "TSVRaw"))
    known = set(result.body.decode().split())
    for job in ended:
        if job.id not in known:
            note(state_of(job, ""))


def state_of(job: Job, request_id: str) -> JobState:
    return JobState(
        job_id=job.id,
        job_type=job.kind,
        status=job.status,
        error=job.error,
        workspace_id=job.workspace_id,
        request_id=request_id or None,
        pipe_id=job.payload.get("pipe_id"),
        datasource_id=_datasource(job).get("id"),
        created_at=job.created_at,
        started_at=job.started_at,
        updated_at=job.updated_at,
        job_metadata=_metadata(job),
    )


def _metadata(job: Job) -> str:
    """What was asked for, what came of it, and how long it took, in seconds. A very long result is left out."""
    asked = {**job.payload, "duration": _seconds(job)}
    result = dict(job.result)
    for content in (asked, result):
        if isinstance(url := content.get("url"), str):
            content["url"] = public_url(url)
    whole = orjson.dumps(asked | result)
    if len(whole) <= METADATA_BYTES_MAX:
        return whole.decode()
    short = {name: job.payload.get(name) for name in ("pipe_name", "datasource", MODE)}
    return orjson.dumps({**short, "duration": asked["duration"], "statistics": job.statistics}).decode()


def operations_of(job: Job, request_id: str) -> Iterator[Operation]:
    """The operation that the job is on its data source, where it is one: at its end, a populate also when it queues."""
    if job.kind == JobKind.POPULATE and job.status is JobStatus.WAITING and job.started_at is None:
        yield _operation(job, EventType.POPULATE_QUEUED, request_id)
    if job.is_finished and (event_type := _EVENT_AT_END.get(job.kind)):
        yield _operation(job, event_type, request_id)


def _operation(job: Job, event_type: EventType, request_id: str) -> Operation:
    datasource, statistics = _datasource(job), job.statistics
    rows = job.result.get("rows_affected", statistics.get("row_count"))
    is_written = event_type in (EventType.COPY, EventType.POPULATE)
    return Operation(
        workspace_id=job.workspace_id,
        timestamp=job.updated_at,
        event_type=event_type,
        datasource_id=datasource.get("id", ""),
        datasource_name=datasource.get("name", ""),
        elapsed_time=_seconds(job),
        error=CANCELLED if job.status is JobStatus.CANCELLED else job.error,
        options=_options(job),
        request_id=request_id,
        job_id=job.id,
        rows=rows,
        read_rows=statistics.get("rows_read", 0),
        read_bytes=statistics.get("bytes_read", 0),
        written_rows=(rows or 0) if is_written else 0,
        written_bytes=statistics.get("bytes", 0),
        pipe_id=job.payload.get("pipe_id", ""),
        pipe_name=job.payload.get("pipe_name", ""),
    )


def _sink_run(job: Job) -> SinkRun:
    options = job.payload.get("options", {})
    return SinkRun(
        workspace_id=job.workspace_id,
        timestamp=job.updated_at,
        job_id=job.id,
        service=job.payload.get("service", ""),
        pipe_name=job.payload.get("pipe_name", ""),
        pipe_id=job.payload.get("pipe_id", ""),
        error=CANCELLED if job.status is JobStatus.CANCELLED else job.error,
        elapsed_time=_seconds(job),
        read_rows=job.statistics.get("rows_read", 0),
        written_rows=job.statistics.get("row_count", 0),
        read_bytes=job.statistics.get("bytes_read", 0),
        written_bytes=job.statistics.get("bytes", 0),
        output=tuple(job.result.get("output", ())),
        parameters=job.payload.get("parameters", {}),
        options={name.removeprefix("export_"): value for name, value in options.items()},
        token_name=job.asked_by,
    )


def _options(job: Job) -> dict[str, str]:
    given = {name: str(job.payload[name]) for name in _OPTIONS if job.payload.get(name)}
    if job.kind == JobKind.POPULATE:
        return {MODE: "replace" if job.payload.get("truncate") else "append", **given}
    return {MODE: job.payload[MODE], **given} if MODE in job.payload else given


def _datasource(job: Job) -> Mapping[str, Any]:
    found = job.payload.get("datasource")
    return found if isinstance(found, Mapping) else {}


def _seconds(job: Job) -> float:
    """From its start to its last change."""
    return (job.updated_at - job.started_at).total_seconds() if job.started_at else 0.0

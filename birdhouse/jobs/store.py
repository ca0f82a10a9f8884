"""Jobs in the metadata database."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from birdhouse.jobs.job import UNFINISHED, Job, JobFilter, JobStatus
from birdhouse.metadata.schema import jobs

LISTED_MAX = 100
LATELY_ENDED_MAX = 1000


def add(connection: Connection, job: Job) -> None:
    connection.execute(insert(jobs).values(id=job.id, workspace_id=job.workspace_id, **_changing(job)))


def save(connection: Connection, job: Job, *, only_from: Collection[JobStatus] = UNFINISHED) -> bool:
    """Writes the job unless its stored status is another than those given; says whether it did."""
    change = update(jobs).where(jobs.c.id == job.id, jobs.c.status.in_(only_from))
    return connection.execute(change.values(**_changing(job))).rowcount > 0


def _changing(job: Job) -> dict[str, Any]:
    return {
        "kind": job.kind,
        "status": job.status.value,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "updated_at": job.updated_at,
        "payload": dict(job.payload),
        "result": dict(job.result),
        "error": job.error,
    }


def get(connection: Connection, job_id: str) -> Job | None:
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    return _job(row) if row is not None else None


def recent(connection: Connection, workspace_id: str, since: datetime, wanted: JobFilter) -> list[Job]:
    """The last 100 jobs created since that moment that the filter takes, newest first."""
    mine = select(jobs).where(jobs.c.workspace_id == workspace_id, jobs.c.created_at >= since)
    found: list[Job] = []
    with connection.execute(mine.order_by(jobs.c.created_at.desc(), jobs.c.id)) as rows:
        for row in rows:
            job = _job(row)
            if wanted.takes(job):
                found.append(job)
            if len(found) == LISTED_MAX:
                break
    return found


def unfinished(connection: Connection) -> list[Job]:
    """Oldest first."""
    states = [status.value for status in UNFINISHED]
    rows = connection.execute(select(jobs).where(jobs.c.status.in_(states)).order_by(jobs.c.created_at))
    return [_job(row) for row in rows]


def lately_ended(connection: Connection, within: timedelta) -> list[Job]:
    """The jobs that ended within that time before the last change of any job; at most LATELY_ENDED_MAX."""
    newest = connection.execute(select(jobs.c.updated_at).order_by(jobs.c.updated_at.desc()).limit(1)).scalar()
    if newest is None:
        return []
    states = [status.value for status in UNFINISHED]
    chosen = select(jobs).where(jobs.c.status.not_in(states), jobs.c.updated_at >= newest - within)
    rows = connection.execute(chosen.order_by(jobs.c.updated_at.desc()).limit(LATELY_ENDED_MAX))
    return [_job(row) for row in rows]


def finish(connection: Connection, job: Job, *, forget_before: datetime) -> None:
    """Writes the job at its end, and forgets those that ended before that moment."""
    save(connection, job)
    states = [status.value for status in UNFINISHED]
    connection.execute(delete(jobs).where(jobs.c.status.not_in(states), jobs.c.updated_at < forget_before))


def _job(row: Any) -> Job:
    return Job(
        id=row.id,
        workspace_id=row.workspace_id,
        kind=row.kind,
        status=JobStatus(row.status),
        created_at=row.created_at,
        started_at=row.started_at,
        updated_at=row.updated_at,
        payload=row.payload,
        result=row.result or {},
        error=row.error,
        progress_percentage=100 if row.status == JobStatus.DONE else 0,
    )

"""Jobs and schedules in the metadata database."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from birdhouse.jobs.job import UNFINISHED, Job, JobFilter, JobStatus, Round
from birdhouse.jobs.rounds import Progress
from birdhouse.metadata.schema import jobs, schedules

Transaction = Connection
"""What others pass along without knowing what it is."""

LISTED_MAX = 100
RUNNING = "running"
PAUSED = "paused"
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
        "pipe_id": job.pipe_id,
        "asked_by": job.asked_by,
        "scheduled_for": job.scheduled_for,
        "held": int(job.is_held),
        "round": None if job.round is None else _json_of(job.round),
    }


def _json_of(times: Round) -> dict[str, str]:
    return {root: time.isoformat() for root, time in times.items()}


def _round_of(content: Mapping[str, str]) -> dict[str, datetime]:
    return {root: datetime.fromisoformat(time) for root, time in content.items()}


def get(connection: Connection, job_id: str) -> Job | None:
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    return _job(row) if row is not None else None


def recent(connection: Connection, workspace_id: str, since: datetime, wanted: JobFilter) -> list[Job]:
    """The last 100 jobs that the filter takes, newest first; older than that moment only if they have not ended."""
    is_recent = or_(jobs.c.created_at >= since, jobs.c.status.in_([status.value for status in UNFINISHED]))
    mine = select(jobs).where(jobs.c.workspace_id == workspace_id, is_recent)
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


def held(connection: Connection) -> list[Job]:
    """The jobs that wait for the scheduler, oldest first."""
    mine = select(jobs).where(jobs.c.status == JobStatus.WAITING.value, jobs.c.held == 1)
    return [_job(row) for row in connection.execute(mine.order_by(jobs.c.created_at))]


def not_begun(connection: Connection, pipe_id: str) -> Job | None:
    """The job that a tick of the pipe has queued and that nobody has begun yet."""
    mine = select(jobs).where(
        jobs.c.pipe_id == pipe_id,
        jobs.c.status == JobStatus.WAITING.value,
        jobs.c.started_at.is_(None),
        jobs.c.scheduled_for.is_not(None),
    )
    row = connection.execute(mine.order_by(jobs.c.created_at)).first()
    return None if row is None else _job(row)


def has_tick(connection: Connection, pipe_id: str, tick: datetime) -> bool:
    """Whether a job was queued for that tick of the pipe."""
    mine = select(jobs.c.id).where(jobs.c.pipe_id == pipe_id, jobs.c.scheduled_for == tick)
    return connection.execute(mine).first() is not None


def change_waiting(connection: Connection, job: Job) -> bool:
    """Writes the job unless it has begun or ended; says whether it did."""
    mine = update(jobs).where(
        jobs.c.id == job.id, jobs.c.status == JobStatus.WAITING.value, jobs.c.started_at.is_(None)
    )
    return connection.execute(mine.values(**_changing(job))).rowcount > 0


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
    """Writes the job at its end, with what its success means for others, and forgets those that ended before then."""
    if save(connection, job) and job.status is JobStatus.DONE and job.round is not None and job.pipe_id is not None:
        _add_done(connection, job.pipe_id, job.round)
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
        asked_by=row.asked_by,
        scheduled_for=row.scheduled_for,
        is_held=bool(row.held),
        round=None if row.round is None else _round_of(row.round),
        progress_percentage=100 if row.status == JobStatus.DONE else 0,
    )


def progress(connection: Connection) -> dict[str, Progress]:
    """Of every pipe that takes part in rounds, by its id."""
    return {
        row.pipe_id: Progress(
            written=row.written,
            is_paused=row.status == PAUSED,
            handled_until=row.handled_until,
            begun=_round_of(row.begun),
            done=_round_of(row.done),
            last_job_id=row.last_job_id,
        )
        for row in connection.execute(select(schedules))
    }


def save_progress(connection: Connection, pipe_id: str, now: Progress) -> None:
    values = {
        "written": now.written,
        "status": PAUSED if now.is_paused else RUNNING,
        "handled_until": now.handled_until,
        "begun": _json_of(now.begun),
        "done": _json_of(now.done),
        "last_job_id": now.last_job_id,
    }
    if connection.execute(update(schedules).where(schedules.c.pipe_id == pipe_id).values(**values)).rowcount == 0:
        connection.execute(insert(schedules).values(pipe_id=pipe_id, **values))


def forget_progress(connection: Connection, pipe_id: str) -> None:
    connection.execute(delete(schedules).where(schedules.c.pipe_id == pipe_id))


def claim(connection: Connection, pipe_id: str, tick: datetime) -> bool:
    """Takes care of the ticks until then, unless somebody has; says whether it did."""
    mine = update(schedules).where(
        schedules.c.pipe_id == pipe_id, schedules.c.status == RUNNING, schedules.c.handled_until < tick
    )
    return connection.execute(mine.values(handled_until=tick)).rowcount > 0


def _add_done(connection: Connection, pipe_id: str, times: Round) -> None:
    """A run that began earlier and ends later takes nothing back."""
    mine = schedules.c.pipe_id == pipe_id
    before = connection.scalar(select(schedules.c.done).where(mine))
    if before is not None:
        done = _round_of(before)
        done |= {root: max(time, done.get(root, time)) for root, time in times.items()}
        connection.execute(update(schedules).where(mine).values(done=_json_of(done)))

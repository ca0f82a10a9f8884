"""A job: one piece of work that outlives the request that asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

BY_SCHEDULE = "schedule"
"""Who asked for a job that nobody asked for."""


class JobStatus(StrEnum):
    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    ERROR = "error"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


UNFINISHED = (JobStatus.WAITING, JobStatus.WORKING, JobStatus.CANCELLING)
CANCELLABLE = (JobStatus.WAITING, JobStatus.WORKING)


class JobKind(StrEnum):
    COPY = "copy"
    POPULATE = "populateview"
    REPAIR = "repairview"
    IMPORT = "import"
    DELETE = "delete_data"
    BACKUP = "backup"
    RESTORE = "restore"
    CLONE = "clone_workspace"
    SINK = "sink"
    QUERY = "query"
    """The result of a SELECT goes into a data source."""
    EVOLVE = "evolve"
    BACKFILL = "backfill"
    REPLAY = "replay_quarantine"
    BRANCH_DATA = "data_branch"
    """Rows of a workspace come to a branch of it."""
    REGRESSION = "regression_tests"
    """Endpoints of a branch are compared with those of its main workspace."""


class WaitKind(StrEnum):
    JOB = "job"
    """Another job works on the same pipe or data source, or waits for it and came first."""
    WORKER = "worker"
    UPSTREAM = "upstream"
    """A copy that writes what this one reads has not succeeded yet."""


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing that a job waits for. `job_id` is the job it has to do with, if there is one."""

    kind: WaitKind
    reason: str
    name: str = ""
    """Of the pipe or data source that the other job works on."""
    job_id: str | None = None


Round = Mapping[str, datetime]
"""Which run of each root is in the data: the id of the root's pipe, and the time of that run. See `jobs/rounds.py`."""


@dataclass(frozen=True, slots=True)
class Job:
    """`payload` is what was asked for, `result` what came of it so far; both are JSON.

    A payload names its pipe as `pipe_id` and `pipe_name` and its data source as `datasource: {id, name}`.
    """

    id: str
    workspace_id: str
    kind: str
    status: JobStatus
    created_at: datetime
    updated_at: datetime
    payload: Mapping[str, Any]
    started_at: datetime | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    asked_by: str = ""
    """The name of the token that asked for it, BY_SCHEDULE, or empty when it is not known."""
    scheduled_for: datetime | None = None
    """The tick of a schedule that queued it; None for a job that somebody asked for."""
    round: Round | None = None
    """What its data will have in it when it succeeds; None for a job that takes no part in rounds."""
    is_held: bool = False
    """It may not begin before the scheduler lets it go: the copies it reads from have to succeed first."""
    progress_percentage: int = 0
    """Known while the job runs; it is not stored."""
    waits: tuple[Wait, ...] = ()
    waiting_seconds: float = 0.0
    """What it waits for and how long it has; known while the job waits, and not stored."""

    @property
    def is_finished(self) -> bool:
        return self.status not in UNFINISHED

    @property
    def is_cancellable(self) -> bool:
        return self.status in CANCELLABLE

    @property
    def is_scheduled(self) -> bool:
        return self.scheduled_for is not None

    @property
    def pipe_id(self) -> str | None:
        return self.payload.get("pipe_id")

    @property
    def waited_seconds(self) -> float:
        """From its creation until it began, or until now, or until it ended without having begun."""
        if self.started_at is None and not self.is_finished:
            return self.waiting_seconds
        return max(0.0, ((self.started_at or self.updated_at) - self.created_at).total_seconds())

    @property
    def statistics(self) -> Mapping[str, Any]:
        """What was written and read, as `statistics` below names it, as far as the kind has it."""
        found: Mapping[str, Any] = self.result.get("statistics", {})
        return found


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; None does not filter. The created times are inclusive."""

    kind: str | None = None
    status: str | None = None
    pipe_id: str | None = None
    pipe_name: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def takes(self, job: Job) -> bool:
        pairs = (
            (self.kind, job.kind),
            (self.status, job.status),
            (self.pipe_id, job.payload.get("pipe_id")),
            (self.pipe_name, job.payload.get("pipe_name")),
        )
        if any(wanted is not None and wanted != actual for wanted, actual in pairs):
            return False
        after = self.created_after is None or job.created_at >= self.created_after
        return after and (self.created_before is None or job.created_at <= self.created_before)


def statistics(
    rows: int, bytes_written: int, elapsed_seconds: float, *, rows_read: int = 0, bytes_read: int = 0
) -> dict[str, Any]:
    return {
        "row_count": rows,
        "bytes": bytes_written,
        "elapsed_seconds": round(elapsed_seconds, 6),
        "rows_read": rows_read,
        "bytes_read": bytes_read,
    }

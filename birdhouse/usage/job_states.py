"""Jobs as they change: `tinybird.jobs_log`, where the last state of each job counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from birdhouse.usage.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState(Row):
    """A job after one change. `job_metadata` is JSON: what was asked for and what came of it."""

    TABLE = "jobs_log"

    job_id: str
    job_type: str
    status: str
    error: str | None
    workspace_id: str
    request_id: str | None
    pipe_id: str | None
    datasource_id: str | None
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    job_metadata: str

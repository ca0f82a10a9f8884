"""Jobs on the wire."""

from __future__ import annotations

from typing import Any

from birdhouse.clock import wire_time
from birdhouse.jobs.job import Job, Wait


def job_json(job: Job, base_url: str) -> dict[str, Any]:
    """Both `id` and `job_id`: commands of the client read one or the other. A null `error` is left out."""
    content = {
        **job.payload,
        **job.result,
        "id": job.id,
        "job_id": job.id,
        "kind": job.kind,
        "status": str(job.status),
        "job_url": f"{base_url}/v0/jobs/{job.id}",
        "created_at": wire_time(job.created_at),
        "updated_at": wire_time(job.updated_at),
        "started_at": wire_time(job.started_at) if job.started_at else None,
        "is_cancellable": job.is_cancellable,
        "progress_percentage": 100 if job.status == "done" else job.progress_percentage,
        "waiting_seconds": round(job.waited_seconds, 3),
        "waiting_for": [wait_json(wait) for wait in job.waits],
        "asked_by": job.asked_by or None,
        "scheduled_for": wire_time(job.scheduled_for) if job.scheduled_for else None,
        "result": dict(job.result),
    }
    if job.error is not None:
        content["error"] = job.error
    return content


def wait_json(wait: Wait) -> dict[str, Any]:
    return {"kind": str(wait.kind), "name": wait.name or None, "job_id": wait.job_id, "reason": wait.reason}

"""`/v0/jobs`"""

from __future__ import annotations

from datetime import datetime

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call
from birdhouse.api.job_json import job_json
from birdhouse.api.responses import json_response
from birdhouse.errors import InvalidParameter, NotFound
from birdhouse.jobs.job import Job, JobFilter


async def index(call: Call) -> Response:
    """The latest jobs, newest first; filters by kind, status, pipe and time of creation."""
    require(call.grants.may_create_pipe())
    wanted = JobFilter(
        kind=call.text("kind") or None,
        status=call.text("status") or None,
        pipe_id=call.text("pipe_id") or None,
        pipe_name=call.text("pipe_name") or None,
        created_after=_moment(call, "created_after"),
        created_before=_moment(call, "created_before"),
    )
    found = await call.parts.jobs.list(call.workspace.id, wanted)
    return json_response({"jobs": [job_json(job, call.base_url) for job in found]})


async def show(call: Call) -> Response:
    """Status, progress and result of one job."""
    return json_response(job_json(await _job(call), call.base_url))


async def cancel(call: Call) -> Response:
    """Ends a job, unless it is already writing its result."""
    job = await _job(call)
    return json_response(job_json(await call.parts.jobs.cancel(job.id), call.base_url))


async def _job(call: Call) -> Job:
    """The job of the path. One of another workspace does not exist."""
    require(call.grants.may_create_pipe())
    job = await call.parts.jobs.get(call.name)
    if job.workspace_id != call.workspace.id:
        raise NotFound(f"Job '{call.name}' not found")
    return job


def _moment(call: Call, name: str) -> datetime | None:
    text = call.text(name)
    if not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidParameter(f"'{name}' is not a time: {text!r}", hint="Write 2024-05-01 10:00:00.") from None

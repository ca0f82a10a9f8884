"""`/v0/pipes/NAME/copy`: runs a copy now, and pauses, resumes and cancels it."""

from __future__ import annotations

from contextlib import suppress

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call
from birdhouse.api.job_json import job_json
from birdhouse.api.options import RESERVED
from birdhouse.api.pipe_json import pipe_answer
from birdhouse.api.responses import json_response
from birdhouse.catalog.resources import Pipe
from birdhouse.errors import Conflict
from birdhouse.jobs.copy import copy_payload
from birdhouse.jobs.job import UNFINISHED, JobFilter
from birdhouse.language.datafile.model import NodeKind


async def run(call: Call) -> Response:
    """Runs a copy as a job: `_mode` overrides the mode of the pipe; all other parameters are the template's."""
    require(call.grants.may_create_pipe())
    workspace, pipe = call.workspace, _copy_pipe(call)
    values = await call.form()
    parameters = {key: value for key, value in values.items() if key not in RESERVED and key != "_mode"}
    payload = copy_payload(
        workspace, pipe.name, parameters, at=call.parts.clock.now(), mode=values.get("_mode") or None
    )
    target = workspace.datasource(pipe.target or "")
    job = await call.parts.scheduler.run_now(workspace, pipe, payload, asked_by=call.grants.token_name)
    return json_response(
        {
            "id": pipe.id,
            "name": pipe.name,
            "job": job_json(job, call.base_url),
            "tags": {"copy_target_datasource": target.id, "copy_target_workspace": workspace.id},
        }
    )


async def pause(call: Call) -> Response:
    """Ends runs by schedule until it is resumed. What runs goes on; what waits for others is dropped."""
    require(call.grants.may_create_pipe())
    await call.parts.scheduler.pause(call.workspace, _copy_pipe(call))
    return json_response(pipe_answer(call, call.workspace.pipe(call.name)))


async def resume(call: Call) -> Response:
    """Follows the schedule again, from the next tick on."""
    require(call.grants.may_create_pipe())
    await call.parts.scheduler.resume(call.workspace, _copy_pipe(call))
    return json_response(pipe_answer(call, call.workspace.pipe(call.name)))


async def cancel(call: Call) -> Response:
    """Cancels every job of the copy that waits or works, and pauses its schedule if it has one."""
    require(call.grants.may_create_pipe())
    pipe = _copy_pipe(call)
    if call.parts.scheduler.status(call.workspace, pipe) is not None:
        await call.parts.scheduler.pause(call.workspace, pipe)
    cancelled = []
    for job in await call.parts.jobs.list(call.workspace.id, JobFilter(pipe_id=pipe.id)):
        if job.status in UNFINISHED:
            with suppress(Conflict):  # it has ended meanwhile, or is putting its result in place
                cancelled.append(await call.parts.jobs.cancel(job.id))
    answer = pipe_answer(call, call.workspace.pipe(pipe.id))
    return json_response(answer | {"cancelled_jobs": [job_json(job, call.base_url) for job in cancelled]})


def _copy_pipe(call: Call) -> Pipe:
    pipe = call.workspace.pipe(call.name)
    if pipe.kind is not NodeKind.COPY:
        raise Conflict(f"The pipe '{pipe.name}' is not a copy pipe", hint="Give one of its nodes TYPE COPY.")
    return pipe

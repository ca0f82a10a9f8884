"""`/v0/pipes/NAME/sink`: runs a sink now, and pauses and resumes its schedule."""

from __future__ import annotations

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call
from birdhouse.api.job_json import job_json
from birdhouse.api.options import RESERVED
from birdhouse.api.pipe_json import pipe_answer
from birdhouse.api.responses import json_response
from birdhouse.catalog.resources import Pipe
from birdhouse.jobs.sink import OVERRIDES, require_sink, sink_payload


async def run(call: Call) -> Response:
    """Runs a sink as a job. `file_template`, `format`, `compression` and `write_strategy` win over the pipe's.

    All other parameters are the template's.
    """
    require(call.grants.may_create_pipe())
    workspace, pipe = call.workspace, _sink_pipe(call)
    values = await call.form()
    parameters = {key: value for key, value in values.items() if key in OVERRIDES or key not in RESERVED}
    payload = sink_payload(workspace, pipe.name, parameters, at=call.parts.clock.now())
    job = await call.parts.scheduler.run_now(workspace, pipe, payload, asked_by=call.grants.token_name)
    return json_response({"id": pipe.id, "name": pipe.name, "job": job_json(job, call.base_url)})


async def pause(call: Call) -> Response:
    """Ends runs by schedule until it is resumed. What runs goes on."""
    require(call.grants.may_create_pipe())
    await call.parts.scheduler.pause(call.workspace, _sink_pipe(call))
    return json_response(pipe_answer(call, call.workspace.pipe(call.name)))


async def resume(call: Call) -> Response:
    """Follows the schedule again, from the next tick on."""
    require(call.grants.may_create_pipe())
    await call.parts.scheduler.resume(call.workspace, _sink_pipe(call))
    return json_response(pipe_answer(call, call.workspace.pipe(call.name)))


def _sink_pipe(call: Call) -> Pipe:
    return require_sink(call.workspace.pipe(call.name))

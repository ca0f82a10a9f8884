"""`/v0/pipes/NAME/copy`: runs a copy now."""

from __future__ import annotations

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call
from birdhouse.api.job_json import job_json
from birdhouse.api.options import RESERVED
from birdhouse.api.responses import json_response
from birdhouse.jobs.copy import copy_payload
from birdhouse.jobs.job import JobKind


async def run(call: Call) -> Response:
    """Runs a copy as a job: `_mode` overrides the mode of the pipe; all other parameters are the template's."""
    require(call.grants.may_create_pipe())
    workspace = call.workspace
    pipe = workspace.pipe(call.name)
    values = await call.form()
    parameters = {key: value for key, value in values.items() if key not in RESERVED and key != "_mode"}
    payload = copy_payload(
        workspace, pipe.name, parameters, at=call.parts.clock.now(), mode=values.get("_mode") or None
    )
    target = workspace.datasource(pipe.target or "")
    job = await call.parts.jobs.submit(workspace.id, JobKind.COPY, payload)
    return json_response(
        {
            "id": pipe.id,
            "name": pipe.name,
            "job": job_json(job, call.base_url),
            "tags": {"copy_target_datasource": target.id, "copy_target_workspace": workspace.id},
        }
    )

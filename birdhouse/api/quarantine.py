"""`/v0/datasources/NAME/quarantine`: rows that did not fit, and another try for them."""

from __future__ import annotations

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call
from birdhouse.api.job_json import job_json
from birdhouse.api.responses import json_response
from birdhouse.ingest.misfits import misfit_groups
from birdhouse.jobs.job import JobKind
from birdhouse.jobs.replay import replay_payload


async def show(call: Call) -> Response:
    """What is in the quarantine of a data source, by columns and kinds of reason, each with one row as it came."""
    datasource = call.workspace.datasource(call.name)
    # A filter of a token is about columns with their types, which rows in quarantine have not.
    require(call.grants.may_read_all())
    found = await misfit_groups(call.parts.engine, datasource)
    return json_response({"datasource": {"id": datasource.id, "name": datasource.name}, "groups": found})


async def replay(call: Call) -> Response:
    """A job fits the rows again, to what the data source is now. Those that fit go into it, the others stay."""
    datasource = call.workspace.datasource(call.name)
    require(call.grants.may_append(datasource))
    payload = replay_payload(datasource)
    job = await call.parts.jobs.submit(call.workspace.id, JobKind.REPLAY, payload, asked_by=call.grants.token_name)
    content = job_json(job, call.base_url)
    return json_response({**content, "job": content})

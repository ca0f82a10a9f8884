"""`/v0/sql`: runs a SELECT."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call, joined, required
from birdhouse.api.job_json import job_json
from birdhouse.api.options import query_request
from birdhouse.api.responses import json_response
from birdhouse.api.usage import SQL_SUBJECT, recorded
from birdhouse.errors import InvalidInput
from birdhouse.jobs.job import JobKind
from birdhouse.jobs.sql_copy import sql_copy_payload
from birdhouse.query.answer import Answer, StreamedAnswer


async def run(call: Call) -> Response:
    """Runs a SELECT: `q` in the query, a form or a JSON object with its parameters, or the bare SQL as body."""
    return await recorded(call, SQL_SUBJECT, _parameters(call), lambda values: _select(call, values))


async def _select(call: Call, values: Mapping[str, str]) -> Answer | StreamedAnswer:
    request = query_request(values)
    required(request.q, "q")
    return await call.parts.runner.sql(call.workspace, call.grants, request, pipeline=values.get("pipeline") or None)


async def copy(call: Call) -> Response:
    """Adds the result of a SELECT, the body or `q`, to the data source `copy_to`, as a job.

    In a branch, `main.NAME` is a data source of the main workspace.
    """
    target = call.workspace.datasource(required(call.text("copy_to"), "copy_to"))
    require(call.grants.may_append(target))
    values = await _parameters(call)
    required(values.get("q"), "q")
    request = query_request({name: value for name, value in values.items() if name != "copy_to"})
    main = call.parts.catalog.main_of(call.workspace)
    select = call.parts.runner.readable(call.workspace, call.grants, request, main=main)
    payload = sql_copy_payload(target, select)
    job = await call.parts.jobs.submit(call.workspace.id, JobKind.QUERY, payload, asked_by=call.grants.token_name)
    return json_response({"job": job_json(job, call.base_url)})


async def _parameters(call: Call) -> dict[str, str]:
    """Tools such as `curl -d` call a body a form although it is the bare SQL: then it has no `q`."""
    values = await call.parameters()
    body = b"" if call.request.method != "POST" or call.has_json or "q" in values else await call.body()
    if not body.strip():
        return values
    try:
        return joined(call.request.query_params.multi_items()) | {"q": body.decode()}
    except UnicodeDecodeError as error:
        raise InvalidInput("The SQL is not valid UTF-8", detail=f"(byte {error.start})") from error

"""`/v0/sql`: runs a SELECT."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from birdhouse.api.call import FORM_TYPES, Call, required
from birdhouse.api.options import query_request
from birdhouse.api.usage import SQL_SUBJECT, recorded
from birdhouse.errors import InvalidInput
from birdhouse.query.answer import Answer, StreamedAnswer


async def run(call: Call) -> Response:
    """Runs a SELECT: `q` in the query, a form or a JSON object with its parameters, or the bare SQL as body."""
    return await recorded(call, SQL_SUBJECT, _parameters(call), lambda values: _select(call, values))


async def _select(call: Call, values: Mapping[str, str]) -> Answer | StreamedAnswer:
    request = query_request(values)
    required(request.q, "q")
    return await call.parts.runner.sql(call.workspace, call.grants, request, pipeline=values.get("pipeline") or None)


async def _parameters(call: Call) -> dict[str, str]:
    values = await call.parameters()
    if call.request.method != "POST" or call.has_json:
        return values
    if call.request.headers.get("content-type", "").startswith(FORM_TYPES):
        return values
    body = await call.body()
    if body.strip():
        try:
            values["q"] = body.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput("The SQL is not valid UTF-8", detail=f"(byte {error.start})") from error
    return values

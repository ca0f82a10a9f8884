"""`/v0/sql`: runs a SELECT."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from birdhouse.api.call import Call, joined, required
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
    """Tools such as `curl -d` call a body a form although it is the bare SQL: then it has no `q`."""
    values = await call.parameters()
    body = b"" if call.request.method != "POST" or call.has_json or "q" in values else await call.body()
    if not body.strip():
        return values
    try:
        return joined(call.request.query_params.multi_items()) | {"q": body.decode()}
    except UnicodeDecodeError as error:
        raise InvalidInput("The SQL is not valid UTF-8", detail=f"(byte {error.start})") from error

"""`/v0/pipes/NAME.FORMAT`: calls an endpoint."""

from __future__ import annotations

from starlette.responses import Response

from birdhouse.api.call import Call
from birdhouse.api.options import query_request
from birdhouse.api.usage import endpoint_subject, recorded


async def run(call: Call) -> Response:
    """Calls an endpoint. Parameters come in the query, in a form or in a JSON object."""
    extension = call.request.path_params["format"]
    return await recorded(
        call,
        endpoint_subject(call),
        call.parameters(),
        lambda values: call.parts.runner.endpoint(
            call.workspace, call.grants, call.name, extension, query_request(values)
        ),
    )

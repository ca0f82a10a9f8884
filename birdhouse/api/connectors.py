"""`/v0/connectors` and `/v0/connections`: the server keeps no connections, and says what to use instead."""

from __future__ import annotations

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call
from birdhouse.api.responses import json_response
from birdhouse.errors import InvalidInput, NotFound


async def index(call: Call) -> Response:
    """An empty list: there are no connections."""
    require(call.grants.may_create_datasource())
    return json_response({"connectors": []})


async def bigquery(call: Call) -> Response:
    """An empty list."""
    require(call.grants.may_create_datasource())
    return json_response({"items": []})


async def missing(call: Call) -> Response:
    """Always 404: there are no connections."""
    require(call.grants.may_create_datasource())
    raise NotFound(f"Connection '{call.name}' not found", hint="This server keeps no connections.")


async def refuse(call: Call) -> Response:
    """Refused: there are no connections."""
    require(call.grants.may_create_datasource())
    raise InvalidInput(
        "This server keeps no connections to outside services",
        hint="Send rows to the Events API (POST /v0/events), or import a file with POST /v0/datasources?url=….",
    )

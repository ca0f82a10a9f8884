"""`/v0/service_datasources`: the service data sources, as far as they are more than tables to read."""

from __future__ import annotations

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call
from birdhouse.api.responses import json_response


async def refresh(call: Call) -> Response:
    """Writes what was noted so far and measures all data sources; afterwards `tinybird.*` is up to date."""
    require(call.grants.may_administer())
    await call.parts.storage_samples.sample()
    await call.parts.recorder.flush()
    return json_response({})

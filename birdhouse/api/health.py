"""Whether the server is well, and what it counts."""

from __future__ import annotations

from prometheus_client import generate_latest
from starlette.requests import Request
from starlette.responses import Response

from birdhouse.api.metrics import REGISTRY, observe_parts
from birdhouse.api.parts import Parts
from birdhouse.api.responses import json_response
from birdhouse.engine.types import Query


async def health(request: Request) -> Response:
    """200 once the engine and the metadata database answer."""
    parts: Parts = request.app.state.parts
    await parts.engine.select(Query("SELECT 1", "Null"))
    await parts.database.run(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    engine = parts.engine.capabilities
    return json_response({"status": "ok", "engine": engine.name, "engine_version": engine.version})


async def metrics(request: Request) -> Response:
    """Counters in the Prometheus text format."""
    observe_parts(request.app.state.parts)
    return Response(generate_latest(REGISTRY), 200, {"content-type": "text/plain; version=0.0.4; charset=utf-8"})

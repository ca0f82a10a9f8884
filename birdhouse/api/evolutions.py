"""`/v0/datasources/NAME/evolve`: another definition for a data source that keeps its rows."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call
from birdhouse.api.job_json import job_json
from birdhouse.api.responses import json_response
from birdhouse.deploy.draft import Desired
from birdhouse.deploy.evolve import Asked, Evolution
from birdhouse.deploy.evolve_job import evolve_payload
from birdhouse.engine.types import Limits
from birdhouse.errors import InvalidInput, NothingToAlter
from birdhouse.jobs.job import JobKind


async def create(call: Call) -> Response:
    """Gives a data source the definition of another datafile, also one its table cannot get in place.

    The body is `{"datafile": text, "fill": {"column": "expression"}, "drop": ["column"], "keep": "name"}`; all but one
    of the first two may be left out. What can be done in place is done; else a job writes the rows again beside the
    table and exchanges the two. With `dry_run=true` the steps are only told.
    """
    require(call.grants.may_create_datasource())
    asked = await _asked(call)
    for expression in asked.fills.values():
        call.parts.runner.require_condition(call.workspace, call.grants, expression)
    if asked.drops or asked.keep:
        require(call.grants.may_drop_datasource(call.workspace.datasource(call.name)))
    limits = Limits(seconds=call.parts.settings.query_seconds_max)
    try:
        evolution = await call.parts.evolver.plan(call.workspace.id, call.name, asked, limits=limits)
    except NothingToAlter:
        return json_response({"steps": [], "in_place": True, "job": None})
    content: dict[str, Any] = {"steps": evolution.steps, "in_place": evolution.is_in_place, "job": None}
    if not call.flag("dry_run"):
        content["job"] = await _done(call, evolution, asked)
    return json_response(content)


async def _done(call: Call, evolution: Evolution, asked: Asked) -> dict[str, Any] | None:
    """The job, where it takes one."""
    if evolution.is_in_place:
        desired = Desired(evolution.new.definition, evolution.new.text, asked.file)
        await call.parts.deployer.deploy(call.workspace.id, [desired])
        return None
    payload = evolve_payload(evolution, asked)
    job = await call.parts.jobs.submit(call.workspace.id, JobKind.EVOLVE, payload, asked_by=call.grants.token_name)
    return job_json(job, call.base_url)


async def _asked(call: Call) -> Asked:
    """Raises InvalidInput for a body of another form."""
    content = await call.json()
    fields = {"datafile": str, "file": str, "fill": dict, "drop": list, "keep": str}
    is_readable = isinstance(content, dict) and all(
        name in fields and isinstance(value, fields[name]) for name, value in content.items()
    )
    texts = [*content.get("fill", {}).values(), *content.get("drop", [])] if is_readable else []
    if not is_readable or not all(isinstance(text, str) for text in texts):
        raise InvalidInput(
            'The body must be {"datafile": text, "fill": {"column": "expression"}, "drop": ["column"], "keep": "name"}'
        )
    return Asked(
        text=content.get("datafile", ""),
        file=content.get("file", ""),
        fills=content.get("fill", {}),
        drops=content.get("drop", []),
        keep=content.get("keep", ""),
    )

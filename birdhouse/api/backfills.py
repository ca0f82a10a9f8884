"""`/v0/datasources/NAME/backfill`: all rows of a data source are sent again, while its readers see the old ones."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import TRUE_WORDS, Call
from birdhouse.api.job_json import job_json
from birdhouse.api.responses import json_response, no_content
from birdhouse.deploy.backfill import Backfill, backfill_payload
from birdhouse.jobs.job import JobKind


async def begin(call: Call) -> Response:
    """From now on new rows are also collected in a second data source, without the old ones."""
    _require(call)
    return json_response(_json(await call.parts.backfills.begin(call.workspace.id, call.name)))


async def show(call: Call) -> Response:
    """How many rows have come, beside how many there were."""
    _require(call)
    return json_response(_json(await call.parts.backfills.state(call.workspace.id, call.name)))


async def finish(call: Call) -> Response:
    """A job puts the new rows in the place of all. With `fewer=true` also when they are less than half as many."""
    _require(call)
    values = await call.form()
    backfill = await call.parts.backfills.state(call.workspace.id, call.name)
    payload = backfill_payload(backfill, fewer=values.get("fewer", "").lower() in TRUE_WORDS)
    job = await call.parts.jobs.submit(call.workspace.id, JobKind.BACKFILL, payload, asked_by=call.grants.token_name)
    content = job_json(job, call.base_url)
    return json_response({**_json(backfill), "job": content})


async def abort(call: Call) -> Response:
    """Gives the backfill up. The rows that have come stay in the data source, with the old ones."""
    _require(call)
    await call.parts.backfills.abort(call.workspace.id, call.name)
    return no_content()


def _require(call: Call) -> None:
    require(call.grants.may_create_datasource())
    require(call.grants.may_create_pipe())
    require(call.grants.may_drop_datasource(call.workspace.datasource(call.name)))


def _json(backfill: Backfill) -> dict[str, Any]:
    return {
        "datasource": {"id": backfill.datasource.id, "name": backfill.datasource.name},
        "collected_in": {"id": backfill.successor.id, "name": backfill.successor.name},
        "old_rows": backfill.old_rows,
        "new_rows": backfill.new_rows,
        "seems_complete": backfill.seems_complete,
    }

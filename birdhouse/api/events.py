"""`/v0/events`: takes rows."""

from __future__ import annotations

import time

from starlette.responses import Response

from birdhouse.access.check import Refused, require
from birdhouse.api.analyses import analyzed, sample_of_bytes
from birdhouse.api.call import Call, read_body, required
from birdhouse.api.datasource_form import definition_of, desired
from birdhouse.api.responses import json_response
from birdhouse.catalog.resources import DataSource
from birdhouse.errors import BirdhouseError, Busy, InvalidRows, SqlError
from birdhouse.ingest.events import Appended
from birdhouse.ingest.target import Target
from birdhouse.usage.event_appends import EventAppend
from birdhouse.usage.request import current_request_id


async def append(call: Call) -> Response:
    """Takes rows: NDJSON, or with `format=json` one document or an array. Rows are durable before either answer.

    `wait=true` answers 200 and everything else 202, as clients expect. A data source that does not exist is made for a
    token that may create one.
    """
    name = required(call.text("name"), "name")
    found = call.workspace.find(name)
    if isinstance(found, DataSource):
        require(call.grants.may_append(found))
    elif isinstance(call.grants.may_create_datasource(), Refused):
        call.workspace.datasource(name)
    body = await read_body(call.request, call.parts.settings.event_body_bytes_max)
    if not body.strip():
        raise InvalidRows("The body is empty", hint="Send one JSON object per line.")
    datasource = found if isinstance(found, DataSource) else await _created(call, name, body)
    started = time.perf_counter()
    try:
        async with call.parts.layouts.request(datasource.table):
            appended = await call.parts.events.append(
                target_of(call.workspace.datasource(datasource.id)),
                body,
                encoding=call.request.headers.get("content-encoding"),
                format=call.text("format", "ndjson"),
            )
    except BirdhouseError as error:
        if isinstance(error, SqlError):
            call.workspace.datasource(datasource.id)  # it may have been deleted meanwhile; that is what to tell then
        # How busy the server is differs each time, and equal errors are summed up.
        text = error.message if isinstance(error, Busy) else str(error)
        _note(call, datasource, EventAppend(time.perf_counter() - started, error=text))
        raise
    _note(call, datasource, _recorded(appended, time.perf_counter() - started))
    counts = {"successful_rows": appended.successful_rows, "quarantined_rows": appended.quarantined_rows}
    return json_response(counts, 200 if call.flag("wait") else 202)


def _note(call: Call, datasource: DataSource, append: EventAppend) -> None:
    call.parts.event_appends.add(call.grants.workspace_id, datasource, current_request_id(), append)


def _recorded(appended: Appended, seconds: float) -> EventAppend:
    return EventAppend(
        seconds,
        rows=appended.successful_rows,
        quarantined_rows=appended.quarantined_rows,
        written_bytes=appended.written_bytes,
        quarantined_bytes=appended.quarantined_bytes,
    )


async def _created(call: Call, name: str, body: bytes) -> DataSource:
    """A data source with the columns that the rows seem to have: a token that may create one needs no other step."""
    analysis = await analyzed(sample_of_bytes(body))
    definition = definition_of({"name": name, "schema": analysis.schema})
    # When two first events come together, the second finds what the first has made.
    deployment = await call.parts.deployer.deploy(call.workspace.id, [desired(definition)], keep_existing=True)
    return deployment.workspace.datasource(name)


def target_of(datasource: DataSource) -> Target:
    return Target(datasource.table, datasource.quarantine, datasource.definition.columns, datasource.name)

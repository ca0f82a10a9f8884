"""`/v0/datasources`: what data sources there are, changing and deleting them and their rows."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from birdhouse.access.check import Allowed, Grants, require
from birdhouse.api.call import TRUE_WORDS, Call, required
from birdhouse.api.datafile_text import datafile_text
from birdhouse.api.datasource_form import altered, desired, updated
from birdhouse.api.datasource_json import datasource_list, datasource_of
from birdhouse.api.job_json import job_json
from birdhouse.api.responses import json_response, no_content, text_response
from birdhouse.catalog import lineage
from birdhouse.catalog.resources import DataSource
from birdhouse.deploy.deployer import SERVICE_WORKSPACE
from birdhouse.deploy.plan import AlterDataSource
from birdhouse.engine.types import Limits
from birdhouse.errors import BirdhouseError, InvalidInput, NothingToAlter
from birdhouse.ingest.truncate import truncate as truncate_table
from birdhouse.jobs.delete import delete_payload, rows_to_delete
from birdhouse.jobs.job import JobKind
from birdhouse.language.datafile.format import format_datasource
from birdhouse.usage.operations import EventType, Operation


async def index(call: Call) -> Response:
    """The data sources the token has any scope on, and to who may read everything those that other workspaces share.

    `attrs` keeps only the keys it names.
    """
    visible = [each for each in call.workspace.datasources() if _may_see(call.grants, each)]
    visible.sort(key=lambda each: each.name)
    shared = call.workspace.shared if isinstance(call.grants.may_read_all(), Allowed) else {}
    found = await datasource_list(call.parts, call.workspace, visible, dict(sorted(shared.items())))
    return json_response({"datasources": [_only(each, call.text("attrs")) for each in found]})


async def show(call: Call) -> Response:
    """Schema, size and readers of one data source."""
    shared = call.workspace.find_shared(call.name)
    if shared is None:
        content = await datasource_of(call.parts, call.workspace, _seen(call))
    else:
        require(call.grants.may_read_all())
        (content,) = await datasource_list(call.parts, call.workspace, (), dict([shared]))
    return json_response(_only(content, call.text("attrs")))


async def datafile(call: Call) -> Response:
    """The text of the data source, with the tokens, tags and shares it has today; of a shared one without these."""
    shared = call.workspace.find_shared(call.name)
    if shared is None:
        return text_response(await datafile_text(call.parts, call.workspace, _seen(call)))
    require(call.grants.may_read_all())
    return text_response(format_datasource(replace(shared[1].definition, tokens=(), tags=(), shared_with=())))


def _seen(call: Call) -> DataSource:
    datasource = call.workspace.datasource(call.name)
    if not _may_see(call.grants, datasource):
        require(call.grants.may_read_datasource(datasource))
    return datasource


def _may_see(grants: Grants, datasource: DataSource) -> bool:
    decisions = (grants.may_read_datasource, grants.may_append, grants.may_drop_datasource)
    return any(isinstance(may(datasource), Allowed) for may in decisions)


def _only(content: dict[str, Any], attrs: str) -> dict[str, Any]:
    """`used_by` alone asks for that key in addition: clients read others of the same answer."""
    names = frozenset(filter(None, attrs.split(",")))
    if not names or names == {"used_by"}:
        return content
    return {key: value for key, value in content.items() if key in names or key in ("id", "name")}


async def update(call: Call) -> Response:
    """Renames it with `name`, or sets options.

    Other fields are options such as `backfill_column`; a body without it takes that one away.
    """
    require(call.grants.may_create_datasource())
    datasource = call.workspace.datasource(call.name)
    values = await call.form()
    name = values.get("name", "")
    if name and name != datasource.name:
        datasource = await call.parts.deployer.rename_datasource(call.workspace.id, datasource.id, name)
    else:
        definition = updated(datasource.definition, values)
        if definition != datasource.definition:
            await call.parts.deployer.deploy(call.workspace.id, [desired(definition)])
    datasource = call.workspace.datasource(datasource.id)
    return json_response(await datasource_of(call.parts, call.workspace, datasource))


async def delete(call: Call) -> Response:
    """Drops it with its rows. `dry_run` only names the pipes that depend on it, `force` unlinks their views."""
    datasource = call.workspace.datasource(call.name)
    require(call.grants.may_drop_datasource(datasource))
    values = await call.form()
    dry_run = is_true(values.get("dry_run"))
    dependent = await call.parts.deployer.delete_datasource(
        call.workspace.id, datasource.id, force=is_true(values.get("force")), dry_run=dry_run
    )
    if not dry_run:
        return no_content()
    names = [pipe.name for pipe in dependent]
    return json_response({"id": datasource.id, "name": datasource.name, "dependent_pipes": names})


async def alter(call: Call) -> Response:
    """Changes the data source in place as the fields say; with `dry=true` only says how.

    Raises NothingToAlter when it is so already.
    """
    require(call.grants.may_create_datasource())
    datasource = call.workspace.datasource(call.name)
    values = await call.form()
    definition = altered(datasource.definition, values)
    wanted = desired(definition)
    if wanted.definition == desired(datasource.definition).definition:
        raise NothingToAlter
    deployment = await call.parts.deployer.deploy(call.workspace.id, [wanted], dry_run=is_true(values.get("dry")))
    steps = [step for step in deployment.plan.steps if isinstance(step, AlterDataSource)]
    operations = [each.text for step in steps for each in step.alterations]
    if not operations:
        raise NothingToAlter
    dependencies = [pipe.name for pipe in lineage.dependents(call.workspace, datasource.name)]
    return json_response({"operations": operations, "dependencies": dependencies})


async def truncate(call: Call) -> Response:
    """Removes all rows. What views made of them stays."""
    require(call.grants.may_create_datasource())
    datasource = call.workspace.datasource(call.name)
    started = time.perf_counter()
    try:
        call.parts.layouts.refuse_while_rewritten(datasource.table, datasource.name)
        await truncate_table(call.parts.engine, call.workspace, datasource)
    except BirdhouseError as error:
        _note_truncate(call, datasource, time.perf_counter() - started, str(error))
        raise
    _note_truncate(call, datasource, time.perf_counter() - started)
    return json_response({})


def _note_truncate(call: Call, datasource: DataSource, seconds: float, error: str | None = None) -> None:
    call.parts.recorder.note(
        Operation(
            workspace_id=call.workspace.id,
            timestamp=call.parts.clock.now(),
            event_type=EventType.TRUNCATE,
            datasource_id=datasource.id,
            datasource_name=datasource.name,
            elapsed_time=seconds,
            error=error,
        )
    )


async def delete_rows(call: Call) -> Response:
    """A job removes the rows for which `delete_condition` holds; with `dry_run` their number is answered."""
    require(call.grants.may_create_datasource())
    workspace = call.workspace
    datasource = workspace.datasource(call.name)
    values = await call.form()
    condition = required(values.get("delete_condition"), "delete_condition")
    call.parts.runner.require_condition(call.workspace, call.grants, condition)
    limits = Limits(seconds=call.parts.settings.query_seconds_max)
    services = call.parts.catalog.named(SERVICE_WORKSPACE)
    rows = await rows_to_delete(call.parts.engine, workspace, datasource.name, condition, limits, services=services)
    if is_true(values.get("dry_run")):
        return json_response({"rows_to_be_deleted": rows})
    payload = delete_payload(workspace, datasource.name, condition)
    job = await call.parts.jobs.submit(workspace.id, JobKind.DELETE, payload, asked_by=call.grants.token_name)
    content = job_json(job, call.base_url)
    return json_response({**content, "delete_id": job.id, "job": content})


async def exchange(call: Call) -> Response:
    """Swaps the rows of two data sources with equal columns."""
    require(call.grants.may_create_datasource())
    values = await call.form()
    a = call.workspace.datasource(required(values.get("datasource_a"), "datasource_a"))
    b = call.workspace.datasource(required(values.get("datasource_b"), "datasource_b"))
    await call.parts.deployer.exchange(call.workspace.id, a.id, b.id)
    both = await datasource_list(call.parts, call.workspace, [a, b])
    return json_response({"datasource_a": both[0], "datasource_b": both[1]})


async def scheduling(call: Call) -> Response:
    """Only a data source that a connector fills has a schedule."""
    require(call.grants.may_create_datasource())
    datasource = call.workspace.datasource(call.name)
    raise InvalidInput(
        f"The Data Source '{datasource.name}' has no schedule: no connector fills it.",
        hint="Fill it with a pipe of TYPE COPY that has a COPY_SCHEDULE, or import a file with mode=append and url.",
    )


def is_true(value: str | None) -> bool:
    return (value or "").lower() in TRUE_WORDS

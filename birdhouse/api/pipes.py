"""`/v0/pipes`: what pipes there are, creating, replacing and deleting them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from birdhouse.access.check import Allowed, Refused, require
from birdhouse.api.call import Call
from birdhouse.api.datafile_text import datafile_text
from birdhouse.api.job_json import job_json
from birdhouse.api.pipe_json import definition_of, pipe_answer
from birdhouse.api.responses import json_response, no_content, text_response
from birdhouse.catalog.resources import Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.deploy.deployer import Deployment, Populating
from birdhouse.deploy.draft import Desired, Publish
from birdhouse.errors import InvalidInput, InvalidParameter, NameTaken
from birdhouse.ingest.missed import missed_rows
from birdhouse.jobs.populate import PopulateOptions
from birdhouse.language.datafile.format import format_pipe
from birdhouse.language.datafile.model import NodeKind, PipeDefinition


async def index(call: Call) -> Response:
    """The pipes the token can see. `attrs` and `node_attrs` keep only the keys they name."""
    workspace = call.workspace
    attrs, node_attrs = _names(call.text("attrs")), _names(call.text("node_attrs"))
    found = []
    for pipe in sorted(workspace.pipes(), key=lambda each: each.name):
        if isinstance(call.grants.may_read_pipe(pipe), Allowed):
            found.append(_only(pipe_answer(call, pipe), attrs, node_attrs))
    return json_response({"pipes": found})


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, text.split(",")))


def _only(content: dict[str, Any], attrs: frozenset[str], node_attrs: frozenset[str]) -> dict[str, Any]:
    """Nodes stay a list even when they were not asked for: the client walks them."""
    nodes = [{key: value for key, value in node.items() if key in node_attrs} for node in content["nodes"]]
    if node_attrs:
        content["nodes"] = nodes
    if not attrs:
        return content
    return {key: value for key, value in content.items() if key in attrs or key in ("id", "nodes")}


async def show(call: Call) -> Response:
    """The nodes and the kind of one pipe. Whoever may create pipes may see them: a push looks at what it made.

    `missed_rows` of a materialized pipe are those that are kept for it because its view failed on them.
    """
    pipe = call.workspace.pipe(call.name)
    if isinstance(call.grants.may_create_pipe(), Refused):
        require(call.grants.may_read_pipe(pipe))
    answer = pipe_answer(call, pipe)
    if pipe.view is not None:
        missed = await missed_rows(call.parts.engine, call.workspace.database)
        answer["missed_rows"] = sum(missed.get(pipe.view.table, {}).values())
    return json_response(answer)


async def datafile(call: Call) -> Response:
    """The text of the pipe, with the tokens and tags it has today."""
    pipe = call.workspace.pipe(call.name)
    require(call.grants.may_read_pipe(pipe))
    return text_response(await datafile_text(call.parts, call.workspace, pipe))


async def create(call: Call) -> Response:
    """A JSON body, or `name` and `sql`. With `force` an existing pipe is replaced completely and keeps its identity."""
    require(call.grants.may_create_pipe())
    content = await _content(call)
    before = call.workspace
    definition = _with_grants_and_tags(definition_of(content), before)
    existing = before.resources.get(definition.resource_name)
    force = call.flag("force")
    if isinstance(existing, Pipe) and not force:
        raise NameTaken(f"There is already a Pipe with name '{existing.name}'", hint="Pass force=true to replace it.")
    desired = Desired(definition, format_pipe(definition), publish=Publish.LAST_IF_ENDPOINT)
    deployment = await call.parts.deployer.deploy(
        before.id,
        [desired],
        ignore_sql_errors=call.flag("ignore_sql_errors"),
        populating=populating(call, definition),
    )
    after = call.workspace
    answer = pipe_answer(call, after.pipe(definition.resource_name))
    return json_response(answer | target_json(call, deployment, before, definition))


async def _content(call: Call) -> Mapping[str, Any]:
    if call.request.headers.get("content-type", "").startswith("application/json"):
        content = await call.json()
    else:
        content = await call.form()
    if not isinstance(content, dict):
        raise InvalidInput("The body must be a JSON object that describes the pipe")
    return content


def _with_grants_and_tags(definition: PipeDefinition, workspace: Workspace) -> PipeDefinition:
    """Neither is part of a push's body: those the pipe has stay."""
    found = workspace.resources.get(definition.resource_name)
    if not isinstance(found, Pipe):
        return definition
    return replace(definition, tokens=found.definition.tokens, tags=found.definition.tags)


def populating(call: Call, definition: PipeDefinition) -> Populating | None:
    """The populate that the request asks for with `populate`; pipes of other kinds ignore it."""
    output = definition.output
    if output is None or output.kind is not NodeKind.MATERIALIZED or not call.flag("populate"):
        return None
    return Populating(
        definition.resource_name,
        populate_options(call, truncate=call.flag("truncate")),
        call.parts.jobs,
        asked_by=call.grants.token_name,
    )


def target_json(call: Call, deployment: Deployment, before: Workspace, definition: PipeDefinition) -> dict[str, Any]:
    """What the client reads about the target of a materialized or copy pipe, and the job that fills it."""
    output = definition.output
    target = deployment.workspace.resources.get((output.datasource or output.target_datasource or "") if output else "")
    if output is None or target is None:
        return {}
    answer: dict[str, Any] = {
        "datasource": {"id": target.id, "name": target.name},
        "created_datasource": target.name not in before.resources,
    }
    if deployment.job is not None:
        answer["job"] = job_json(deployment.job, call.base_url)
    return answer


def populate_options(call: Call, *, truncate: bool = False) -> PopulateOptions:
    condition = call.text("populate_condition")
    if condition:
        call.parts.runner.require_condition(call.workspace, call.grants, condition)
    subset = call.text("populate_subset")
    try:
        fraction = float(subset) if subset else None
    except ValueError:
        raise InvalidParameter(f"'populate_subset' is not a number: '{subset}'") from None
    return PopulateOptions(
        condition=condition or None,
        subset=fraction,
        truncate=truncate,
        unlink_on_error=call.flag("unlink_on_populate_error"),
    )


async def update(call: Call) -> Response:
    """Renames a pipe or changes its description."""
    require(call.grants.may_create_pipe())
    values = await call.form()
    pipe = await call.parts.deployer.rename_pipe(
        call.workspace.id, call.name, new_name=values.get("name"), description=values.get("description")
    )
    return json_response(pipe_answer(call, pipe))


async def delete(call: Call) -> Response:
    """Refused while another pipe reads it. What its view or copy wrote stays."""
    pipe = call.workspace.pipe(call.name)
    require(call.grants.may_drop_pipe(pipe))
    await call.parts.deployer.delete_pipe(call.workspace.id, pipe.id)
    return no_content()

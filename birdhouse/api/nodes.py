"""`/v0/pipes/NAME/nodes`: adding a node, and making one the output of its pipe."""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call
from birdhouse.api.job_json import job_json
from birdhouse.api.pipe_json import engine_of, node_json, pipe_answer, sink_options
from birdhouse.api.pipes import populate_options, populating, target_json
from birdhouse.api.responses import json_response, no_content
from birdhouse.catalog.resources import Pipe
from birdhouse.deploy.deployer import SERVICE_WORKSPACE, Deployment, Populating
from birdhouse.deploy.draft import Desired, Publish
from birdhouse.errors import Conflict, InvalidInput
from birdhouse.jobs.job import JobKind
from birdhouse.jobs.populate import check_condition, populate_payload, view_of
from birdhouse.jobs.repair import repair_payload
from birdhouse.language.cron import ON_DEMAND
from birdhouse.language.datafile.format import format_datasource, format_pipe
from birdhouse.language.datafile.model import Node, NodeKind, PipeDefinition
from birdhouse.language.datafile.parse import normal_sql

WARNING_WEIGHT = 100
"""The client sorts by it; ours are all the same."""


async def append(call: Call) -> Response:
    """A node at the end of the pipe: raw SQL as body, or `name` and `sql`."""
    require(call.grants.may_create_pipe())
    pipe = call.workspace.pipe(call.name)
    values = await call.form()
    sql = values.get("sql") or (await call.body()).decode("utf-8", "replace")
    if not sql.strip():
        raise InvalidInput("The node has no SQL", hint="Send the SQL as the body.")
    taken = {node.name for node in pipe.definition.nodes}
    number = len(taken)
    while f"{pipe.name}_{number}" in taken:
        number += 1
    node = Node(values.get("name") or f"{pipe.name}_{number}", normal_sql(sql), values.get("description", ""))
    after = await _deploy(call, replace(pipe.definition, nodes=(*pipe.definition.nodes, node)))
    return json_response(node_json(call.workspace, after, node))


async def publish(call: Call) -> Response:
    """Makes the node the endpoint. Answers the whole pipe: the client reads its type."""
    require(call.grants.may_create_pipe())
    node = call.request.path_params["node"]
    pipe = await call.parts.deployer.publish(call.workspace.id, call.name, node)
    return json_response(pipe_answer(call, pipe))


async def unlink(call: Call) -> Response:
    """Ends what the node publishes: an endpoint, a view, a copy, a sink. What was written stays."""
    require(call.grants.may_create_pipe())
    pipe = call.workspace.pipe(call.name)
    pipe.find_node(call.request.path_params["node"])
    pipe = await call.parts.deployer.unlink(call.workspace.id, pipe.id)
    return json_response(pipe_answer(call, pipe))


async def set_copy(call: Call) -> Response:
    """Makes the node a copy, or changes its target, schedule (`None` removes it) or mode."""
    require(call.grants.may_create_pipe())
    pipe = call.workspace.pipe(call.name)
    node = pipe.find_node(call.request.path_params["node"])
    values = await call.form()
    target = values.get("target_datasource")
    changed = replace(
        node,
        kind=NodeKind.COPY,
        target_datasource=call.workspace.datasource(target).name if target else node.target_datasource,
        copy_schedule=_schedule(values.get("schedule_cron"), node.copy_schedule),
        copy_mode=values.get("mode") or node.copy_mode or "append",
    )
    after = await _deploy(call, _with_node(pipe, changed))
    return json_response(pipe_answer(call, after))


async def set_sink(call: Call) -> Response:
    """Makes the node a sink, or changes one: `connection`, `path`, `file_template`, `format`, `schedule_cron`, ….

    The service follows from the connection. What is not given stays.
    """
    require(call.grants.may_create_pipe())
    pipe = call.workspace.pipe(call.name)
    node = pipe.find_node(call.request.path_params["node"])
    options = sink_options(call.workspace, node, await call.parameters())
    changed = replace(Node(node.name, node.sql, node.description), kind=NodeKind.SINK, options=options)
    after = await _deploy(call, _with_node(pipe, changed))
    return json_response(pipe_answer(call, after))


def _schedule(given: str | None, stored: str | None) -> str | None:
    if given is None:
        return stored
    return ON_DEMAND if given in ("", "None", ON_DEMAND) else given


async def materialize(call: Call) -> Response:
    """Makes the node a materialized view into `datasource`, which is created when it does not exist.

    With `populate` a job brings in the rows that the source has at that moment.
    """
    require(call.grants.may_create_pipe())
    pipe = call.workspace.pipe(call.name)
    values = await call.form()
    before = call.workspace
    definition = _materialized(pipe, call, values)
    deployment = await _deployed(call, definition, populating(call, definition))
    answer = pipe_answer(call, deployment.workspace.pipe(pipe.id))
    return json_response(answer | target_json(call, deployment, before, definition))


async def analyze(call: Call) -> Response:
    """Tells whether the node would do as a materialized view, and the datafiles it would give. Changes nothing."""
    require(call.grants.may_create_pipe())
    pipe = call.workspace.pipe(call.name)
    values = await call.form()
    definition = _materialized(pipe, call, values)
    desired = Desired(definition, format_pipe(definition), publish=Publish.SAME)
    deployment = await call.parts.deployer.deploy(call.workspace.id, [desired], infer_targets=True, dry_run=True)
    target = deployment.plan.after.datasource(definition.output.datasource or "")  # type: ignore[union-attr]
    analysis = {
        "pipe": {"name": pipe.name, "datafile": desired.text},
        "datasource": {"name": target.name, "datafile": format_datasource(target.definition)},
    }
    warnings = [
        {"code": note.code, "weight": WARNING_WEIGHT, "text": note.text, "documentation": "docs/materialized-views.md"}
        for note in deployment.notes
    ]
    return json_response({"warnings": warnings, "analysis": analysis})


def _materialized(pipe: Pipe, call: Call, values: dict[str, str]) -> PipeDefinition:
    node = pipe.find_node(call.request.path_params["node"])
    target = values.get("datasource") or f"{pipe.name}_mv"
    changed = replace(node, kind=NodeKind.MATERIALIZED, datasource=target, engine=engine_of(values), copy_mode=None)
    return _with_node(pipe, changed)


async def populate(call: Call) -> Response:
    """Starts the job that runs the view over the rows its source has now.

    With `missed` over those that were kept for it when it failed, and no others.
    """
    require(call.grants.may_create_pipe())
    pipe = call.workspace.pipe(call.name)
    pipe.find_node(call.request.path_params["node"])
    if call.flag("missed"):
        payload = repair_payload(call.workspace, await view_of(call.parts.engine, call.workspace, pipe.name))
        job = await call.parts.jobs.submit(call.workspace.id, JobKind.REPAIR, payload, asked_by=call.grants.token_name)
        return json_response({"job": job_json(job, call.base_url)})
    options = populate_options(call, truncate=call.flag("truncate"))
    view = await view_of(call.parts.engine, call.workspace, pipe.name)
    services = call.parts.catalog.named(SERVICE_WORKSPACE)
    await check_condition(call.parts.engine, call.workspace, view, options, services)
    payload = populate_payload(call.workspace, view, options)
    job = await call.parts.jobs.submit(call.workspace.id, JobKind.POPULATE, payload, asked_by=call.grants.token_name)
    return json_response({"job": job_json(job, call.base_url)})


def _with_node(pipe: Pipe, changed: Node) -> PipeDefinition:
    """The definition with that node as its one output."""
    nodes = tuple(
        changed if node.name == changed.name else Node(node.name, node.sql, node.description)
        for node in pipe.definition.nodes
    )
    return replace(pipe.definition, nodes=nodes)


async def _deploy(call: Call, definition: PipeDefinition) -> Pipe:
    return (await _deployed(call, definition)).workspace.pipe(definition.resource_name)


async def _deployed(call: Call, definition: PipeDefinition, populating: Populating | None = None) -> Deployment:
    desired = Desired(definition, format_pipe(definition), publish=Publish.SAME)
    return await call.parts.deployer.deploy(call.workspace.id, [desired], infer_targets=True, populating=populating)


async def delete_node(call: Call) -> Response:
    """Removes a node that no other node reads."""
    require(call.grants.may_create_pipe())
    pipe = call.workspace.pipe(call.name)
    node = pipe.find_node(call.request.path_params["node"])
    rest = tuple(each for each in pipe.definition.nodes if each.name != node.name)
    if not rest:
        raise Conflict(f"'{node.name}' is the only node of '{pipe.name}'", hint="Delete the pipe instead.")
    await _deploy(call, replace(pipe.definition, nodes=rest))
    return no_content()

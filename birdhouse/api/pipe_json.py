"""Pipes and nodes between their JSON on the wire and their definitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from birdhouse.api.call import Call
from birdhouse.api.job_json import wait_json
from birdhouse.catalog import lineage
from birdhouse.catalog.connection import S3
from birdhouse.catalog.resources import DataSource, Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import wire_time
from birdhouse.errors import BirdhouseError, InvalidInput
from birdhouse.jobs import store
from birdhouse.jobs.export import obstacle
from birdhouse.jobs.scheduler import ScheduleStatus
from birdhouse.language.cron import ON_DEMAND
from birdhouse.language.datafile.export import is_file_path
from birdhouse.language.datafile.model import Node, NodeKind, PipeDefinition, TableEngine
from birdhouse.language.datafile.parse import normal_description, normal_sql
from birdhouse.language.template import is_template, merged, parse_template, template_body

_EXPORT_KEYS = {
    "service": "export_service",
    "connection": "export_connection_name",
    "schedule_cron": "export_schedule",
    "path": "export_bucket_uri",
    "file_template": "export_file_template",
    "format": "export_format",
    "compression": "export_compression",
    "write_strategy": "export_write_strategy",
    "strategy": "export_strategy",
    "kafka_topic": "export_kafka_topic",
}
_STREAM_KEYS = {"connection": "kafka_connection_name", "kafka_topic": "kafka_topic"}

_OWN_NODE_KEYS = frozenset(
    {
        "name", "sql", "type", "description", "target_datasource", "copy_schedule", "mode", "export_params",
        "datasource", "override_datasource", "engine", "tags", "materialized", "target_workspace", "id", "node_type",
        "cluster", "params", "dependencies", "ignore_sql_errors", "created_at", "updated_at", "version", "result",
    }
)  # fmt: skip


def pipe_answer(call: Call, pipe: Pipe) -> dict[str, Any]:
    """A pipe of the workspace as it is now."""
    workspace = call.workspace
    return pipe_json(workspace, pipe, call.parts.scheduler.status(workspace, pipe))


def pipe_json(workspace: Workspace, pipe: Pipe, schedule: ScheduleStatus | None) -> dict[str, Any]:
    """A pipe as the client reads it. What does not apply is null, never missing."""
    kind = pipe.kind
    ids = dict.fromkeys(("endpoint", "copy_node", "sink_node", "stream_node"))
    key = {
        NodeKind.ENDPOINT: "endpoint", NodeKind.COPY: "copy_node",
        NodeKind.SINK: "sink_node", NodeKind.STREAM: "stream_node",
    }.get(kind)  # fmt: skip
    if key is not None:
        ids[key] = pipe.node_ids[pipe.output.name]
    target = workspace.resources.get(pipe.target or "") if kind is NodeKind.COPY else None
    problem = obstacle(workspace, pipe) if kind in (NodeKind.SINK, NodeKind.STREAM) else None
    return {
        "id": pipe.id,
        "name": pipe.name,
        "description": pipe.definition.description,
        "type": "default" if kind is NodeKind.STANDARD else str(kind),
        **ids,
        "parent": None,
        "copy_target_datasource": target.id if target else None,
        "copy_target_workspace": workspace.id if target else None,
        "schedule": _schedule(pipe, schedule),
        "created_at": wire_time(pipe.created_at),
        "updated_at": wire_time(pipe.updated_at),
        "nodes": [node_json(workspace, pipe, node) for node in pipe.definition.nodes],
        "url": f"/v0/pipes/{pipe.name}.json" if kind is NodeKind.ENDPOINT else None,
        "tags": dict(pipe.definition.options),
        **({"notes": [str(problem)]} if problem is not None else {}),
    }


def _schedule(pipe: Pipe, schedule: ScheduleStatus | None) -> dict[str, Any]:
    """Empty for a pipe on demand. `cron` is left out when only new data starts it: the client takes it for a text."""
    if schedule is None:
        return {}
    content: dict[str, Any] = {
        "timezone": "Etc/UTC",
        "status": store.PAUSED if schedule.is_paused else store.RUNNING,
        "next_at": wire_time(schedule.next_at) if schedule.next_at else None,
        "run_after": list(schedule.waits_for),
        "waiting_for": [wait_json(wait) for wait in schedule.waits],
        "last_job_id": schedule.last_job_id,
    }
    return content if pipe.output.schedule is None else {"cron": pipe.output.schedule, **content}


def node_json(workspace: Workspace, pipe: Pipe, node: Node) -> dict[str, Any]:
    kind = str(pipe.kind_of(node))
    target = workspace.resources.get(node.datasource or "") if node.kind is NodeKind.MATERIALIZED else None
    return {
        "id": pipe.node_ids[node.name],
        "name": node.name,
        "sql": node.sql,
        "description": node.description,
        "type": kind,
        "node_type": kind,
        "materialized": target.id if isinstance(target, DataSource) else None,
        "cluster": None,
        "tags": dict(node.tags),
        "mode": node.copy_mode,
        "export_params": _export_params(node),
        "dependencies": sorted(_dependencies(node)),
        "params": _parameters(node),
        "ignore_sql_errors": False,
        "created_at": wire_time(pipe.created_at),
        "updated_at": wire_time(pipe.updated_at),
    }


def _export_params(node: Node) -> dict[str, str] | None:
    keys = {NodeKind.SINK: _EXPORT_KEYS, NodeKind.STREAM: _STREAM_KEYS}.get(node.kind)
    if keys is None:
        return None
    return {key: node.options[directive] for key, directive in keys.items() if directive in node.options}


def _dependencies(node: Node) -> frozenset[str]:
    try:
        return lineage.references(node.sql)
    except BirdhouseError:
        return frozenset()


def _parameters(node: Node) -> list[dict[str, Any]]:
    """One entry per name, as the documentation pages and the OpenAPI description show it."""
    if not is_template(node.sql):
        return []
    found = merged(parse_template(template_body(node.sql)).parameters)
    return [
        {
            "name": each.name,
            "type": each.type,
            "default": each.default,
            "required": each.required,
            "description": each.description,
            "enum": each.enum,
            "example": each.example,
            "format": each.format,
        }
        for each in found
    ]


def definition_of(content: Mapping[str, Any]) -> PipeDefinition:
    """The pipe that a JSON body describes: `{name, description, nodes: […]}`, or `{name, sql}` for a single node."""
    name = str(content.get("name") or "")
    if not name:
        raise InvalidInput("The pipe needs a name", hint='Send {"name": …, "nodes": […]}.')
    nodes = content.get("nodes")
    if nodes is None and content.get("sql"):
        nodes = [{"name": f"{name}_0", "sql": content["sql"], "description": ""}]
    if not isinstance(nodes, list) or not nodes or not all(isinstance(node, dict) for node in nodes):
        raise InvalidInput(f"The pipe '{name}' needs nodes", hint='Send {"nodes": [{"name": …, "sql": …}]}.')
    return PipeDefinition(
        name=name,
        description=normal_description(str(content.get("description") or "")),
        nodes=tuple(node_of(node, content) for node in nodes),
    )


def node_of(content: Mapping[str, Any], pipe: Mapping[str, Any]) -> Node:
    sql = content.get("sql")
    if not isinstance(sql, str) or not sql.strip():
        raise InvalidInput(f"The node '{content.get('name')}' has no SQL")
    kind = _kind(content)
    target = content.get("target_datasource") or pipe.get("target_datasource")
    schedule = content.get("copy_schedule") or pipe.get("schedule_cron")
    return Node(
        name=str(content.get("name") or ""),
        sql=normal_sql(sql),
        description=normal_description(str(content.get("description") or "")),
        kind=kind,
        datasource=_text(content.get("datasource")) if kind is NodeKind.MATERIALIZED else None,
        engine=engine_of(content) if kind is NodeKind.MATERIALIZED else None,
        target_datasource=_text(target) if kind is NodeKind.COPY else None,
        copy_schedule=_text(schedule) if kind is NodeKind.COPY else None,
        copy_mode=str(content.get("mode") or "append").lower() if kind is NodeKind.COPY else None,
        options=_export_options(content, kind),
        tags=_node_tags(content),
    )


def _node_tags(content: Mapping[str, Any]) -> dict[str, str]:
    """The client sends the operational tags of a node as more keys of it; `tags` may hold them too."""
    found = {name: value for name, value in content.items() if name not in _OWN_NODE_KEYS and name[:7] != "engine_"}
    tags = content.get("tags")
    found |= tags if isinstance(tags, Mapping) else {}
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value).strip()
        for name, value in found.items()
        if isinstance(value, str | int | float) and str(value).strip()
    }


def _kind(content: Mapping[str, Any]) -> NodeKind:
    written = str(content.get("type") or "standard").lower()
    try:
        return NodeKind(written)
    except ValueError:
        raise InvalidInput(f"'{written}' is not a type of node", hint=f"Use one of {', '.join(NodeKind)}.") from None


def engine_of(content: Mapping[str, Any]) -> TableEngine | None:
    """`engine` and `engine_*` keys of a form or node. Options stand for MergeTree when no engine is named."""
    options = {
        key.removeprefix("engine_"): str(value)
        for key, value in content.items()
        if key.startswith("engine_") and value is not None
    }
    name = _text(content.get("engine"))
    return TableEngine(name or "MergeTree", options) if name or options else None


def _export_options(content: Mapping[str, Any], kind: NodeKind) -> dict[str, str]:
    keys = {NodeKind.SINK: _EXPORT_KEYS, NodeKind.STREAM: _STREAM_KEYS}.get(kind, {})
    given = content.get("export_params") or {}
    if not isinstance(given, Mapping):
        raise InvalidInput(f"'export_params' of the node '{content.get('name')}' must be a JSON object")
    options = {directive: str(given[key]) for key, directive in keys.items() if given.get(key)}
    if kind is NodeKind.SINK and not given.get("schedule_cron"):
        options["export_schedule"] = ON_DEMAND
    return options


def sink_options(workspace: Workspace, node: Node, given: Mapping[str, str]) -> dict[str, str]:
    """The EXPORT_ lines of a sink, with those that a request names, as `connection` or `path`, in the place of others.

    A request may leave the service out: it is that of the connection.
    """
    options = dict(node.options) if node.kind is NodeKind.SINK else {"export_schedule": ON_DEMAND}
    options |= {directive: given[key] for key, directive in _EXPORT_KEYS.items() if given.get(key)}
    if given.get("schedule_cron") in ("", "None"):
        options["export_schedule"] = ON_DEMAND
    connection = workspace.connections.get(options.get("export_connection_name", ""))
    if not given.get("service") and (connection or is_file_path(options.get("export_bucket_uri", ""))):
        options["export_service"] = connection.service if connection else S3
    in_order = (directive for directive in _EXPORT_KEYS.values() if directive in options)
    return {directive: options[directive] for directive in in_order}


def _text(value: object) -> str | None:
    return str(value) if value else None

"""`/v0/connectors`: connections to services outside. Credentials go in and do not come out again."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call, required
from birdhouse.api.datasource_form import import_settings
from birdhouse.api.responses import json_response
from birdhouse.catalog.connection import CLOUD_ONLY, KAFKA, S3, Connection, checked_settings, cloud_only
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import wire_time
from birdhouse.errors import Conflict, InUse, InvalidParameter, NotFound
from birdhouse.jobs.export import FILES, sink_nodes
from birdhouse.language.datafile.export import is_file_path

_NOT_SETTINGS = frozenset({"service", "name", "dry_run", "token", "cli_version", "__tb__semver", "__tb__deployment"})


async def index(call: Call) -> Response:
    """The connections, with the data sources and sinks that use them; `service` keeps those to one service."""
    require(call.grants.may_create_datasource())
    service = call.text("service")
    listed = [connection_json(call.workspace, each) for each in call.workspace.connections.values()]
    listed.append(_files_json(call.workspace))
    return json_response({"connectors": [each for each in listed if service in ("", each["service"])]})


async def show(call: Call) -> Response:
    """One connection, by its name or id."""
    require(call.grants.may_create_datasource())
    found = call.parts.connections.find(call.workspace.id, call.name)
    return json_response(connection_json(call.workspace, found))


async def create(call: Call) -> Response:
    """Stores a connection: `service`, `name` and its settings, as JSON, form or query. `dry_run` only checks them."""
    require(call.grants.may_create_datasource())
    values = await call.parameters()
    service = required(values.get("service"), "service").lower()
    settings = {name: value for name, value in values.items() if name not in _NOT_SETTINGS}
    shown, _ = checked_settings(service, settings)
    name = values.get("name") or shown.get("kafka_bootstrap_servers") or ""
    if call.flag("dry_run"):
        # The client takes any answer that is not empty for a yes.
        return json_response({"valid": True, "service": service, "checked": sorted(settings)})
    name = required(name, "name")
    if name == FILES:
        raise Conflict(f"'{FILES}' is the connection of the server itself", hint="Choose another name.")
    made = await call.parts.connections.create(call.workspace.id, name, service, settings)
    return json_response(connection_json(call.workspace, made))


async def change(call: Call) -> Response:
    """Replaces the settings that are named, such as a secret; the others stay."""
    require(call.grants.may_create_datasource())
    values = await call.parameters()
    settings = {name: value for name, value in values.items() if name not in _NOT_SETTINGS}
    if not settings:
        raise InvalidParameter("Nothing to change was given", hint="Name settings, such as s3_secret_access_key.")
    changed = await call.parts.connections.change(call.workspace.id, call.name, settings)
    return json_response(connection_json(call.workspace, changed))


async def delete(call: Call) -> Response:
    """Removes it with its credentials. Refused while data sources or sinks use it, unless `force`."""
    require(call.grants.may_create_datasource())
    if call.name == FILES:
        raise Conflict(f"'{FILES}' is the connection of the server itself and cannot be removed")
    found = call.parts.connections.find(call.workspace.id, call.name)
    users = _users(call.workspace, found.name)
    if users and not call.flag("force"):
        raise InUse(
            f"The connection '{found.name}' is used by: {', '.join(users)}",
            hint=f"Remove or unlink them first, or send DELETE /v0/connectors/{found.name}?force=true.",
        )
    await call.parts.connections.delete(call.workspace.id, found.id)
    return json_response({"ok": True})


async def preview(call: Call) -> Response:
    """What is on the other side: the files under `bucket_uri`, newest last."""
    require(call.grants.may_create_datasource())
    if call.name == FILES:
        raise InvalidParameter("The files of the server are not listed", hint="Look into its exports directory.")
    found = call.parts.connections.find(call.workspace.id, call.name)
    if found.service == KAFKA:
        raise Conflict(
            "Kafka connections are stored but not connected yet: their topics cannot be listed.",
            hint="Name the topic, as in tb datasource connect … --kafka-topic NAME.",
        )
    uri = required(call.text("bucket_uri"), "bucket_uri")
    files = await call.parts.buckets.preview(call.workspace, found, uri)
    listed = [{"name": each.name, "size": each.size_bytes} for each in files]
    return json_response({"files": listed, "num_files": len(listed), "size": sum(each.size_bytes for each in files)})


async def bigquery(call: Call) -> Response:
    """An empty list: there is no BigQuery connector."""
    require(call.grants.may_create_datasource())
    return json_response({"items": []})


async def refuse_bigquery(call: Call) -> Response:
    """Refused: there is no BigQuery connector."""
    require(call.grants.may_create_datasource())
    raise cloud_only("bigquery")


async def refuse_snowflake(call: Call) -> Response:
    """Refused: there is no Snowflake connector."""
    require(call.grants.may_create_datasource())
    raise cloud_only("snowflake")


async def policy(call: Call) -> Response:
    """The policies for an AWS role that a connection takes on: `read-access-policy`, `write-…`, `trust-policy`."""
    require(call.grants.may_create_datasource())
    service, kind = call.name, call.request.path_params["policy"]
    if service in CLOUD_ONLY:
        raise cloud_only(service)
    if service != S3:
        raise NotFound(f"There are no policies for '{service}'", hint=f"There are for {S3}.")
    actions = {
        "read-access-policy": ["s3:GetObject", "s3:ListBucket"],
        "write-access-policy": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"],
    }
    if kind in actions:
        allowed = {"Effect": "Allow", "Action": actions[kind]}
        resources = ["arn:aws:s3:::<bucket>", "arn:aws:s3:::<bucket>/*"]
        return json_response({"Version": "2012-10-17", "Statement": [{**allowed, "Resource": resources}]})
    if kind != "trust-policy":
        raise NotFound(f"There is no policy '{kind}'", hint=f"Use trust-policy or one of {', '.join(actions)}.")
    trust = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": "<the AWS identity of the machine that runs this server>"},
        "Condition": {"StringEquals": {"sts:ExternalId": call.workspace.id}},
    }
    return json_response({"Version": "2012-10-17", "Statement": [trust]})


def connection_json(workspace: Workspace, connection: Connection) -> dict[str, Any]:
    return {
        "id": connection.id,
        "name": connection.name,
        "service": connection.service,
        "settings": dict(connection.settings),
        "linkers": _linkers(workspace, connection.name),
        "sinks": _sinks(workspace, connection.name),
        "created_at": wire_time(connection.created_at),
        "updated_at": wire_time(connection.updated_at),
    }


def _files_json(workspace: Workspace) -> dict[str, Any]:
    """What sinks with a file:// path write through. It is there without being made."""
    return {"id": FILES, "name": FILES, "service": FILES, "settings": {}, "linkers": [], "sinks": _sinks(workspace)}


def _linkers(workspace: Workspace, name: str) -> list[dict[str, Any]]:
    """The data sources that read through the connection, with their settings as the client compares them."""
    found = []
    for datasource in workspace.datasources():
        definition = datasource.definition
        if definition.kafka.get("kafka_connection_name") == name:
            found.append({"datasource_id": datasource.id, "settings": dict(definition.kafka)})
        elif definition.imports.get("import_connection_name") == name:
            found.append({"datasource_id": datasource.id, "settings": import_settings(definition.imports)})
    return found


def _sinks(workspace: Workspace, connection: str | None = None) -> list[dict[str, Any]]:
    """The sinks and streams that write through it; None stands for files of the server."""
    found = []
    for pipe, node in sink_nodes(workspace):
        path = node.options.get("export_bucket_uri", "")
        name = node.options.get("export_connection_name") or node.options.get("kafka_connection_name")
        if (None if is_file_path(path) else name) == connection:
            topic = node.options.get("export_kafka_topic") or node.options.get("kafka_topic")
            settings = {"bucket_path": path or topic or "", "type": str(node.kind)}
            found.append({"resource_id": pipe.id, "settings": settings})
    return found


def _users(workspace: Workspace, name: str) -> list[str]:
    ids = [each["datasource_id"] for each in _linkers(workspace, name)]
    ids += [each["resource_id"] for each in _sinks(workspace, name)]
    return sorted(workspace.by_id[each].name for each in ids)

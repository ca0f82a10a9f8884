"""Which pipes write to the outside, and what one of them still lacks to run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from birdhouse.catalog.connection import GCS_HMAC, KAFKA, S3, S3_IAMROLE
from birdhouse.catalog.resources import Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.errors import Conflict
from birdhouse.language.datafile.export import is_file_path
from birdhouse.language.datafile.model import Node, NodeKind

FILES = "files"
"""What the connection to the server's own directory for exports is called. It needs no credentials."""

_BUCKETS = (S3, GCS_HMAC)


def sink_nodes(workspace: Workspace) -> Iterator[tuple[Pipe, Node]]:
    """The sinks and streams of the workspace, with the node that says where to."""
    for pipe in workspace.pipes():
        if pipe.kind in (NodeKind.SINK, NodeKind.STREAM):
            yield pipe, pipe.output


def service_of(node: Node) -> str:
    """What it writes to: a service, or files of this server."""
    if is_file_path(node.options.get("export_bucket_uri", "")):
        return FILES
    return KAFKA if node.kind is NodeKind.STREAM else node.options.get("export_service", "").lower()


def connection_name(node: Node) -> str:
    if service_of(node) == FILES:
        return FILES
    return node.options.get("export_connection_name") or node.options.get("kafka_connection_name") or ""


def obstacle(workspace: Workspace, pipe: Pipe) -> Conflict | None:
    """Why the sink or stream cannot run as things are; None when it can."""
    node = pipe.output
    service, name = service_of(node), connection_name(node)
    if service == FILES:
        return None
    found = workspace.connections.get(name)
    if found is None:
        return Conflict(
            f"The {node.kind} '{pipe.name}' has no connection: there is none with the name '{name}'.",
            hint=f"Create it: tb connection create {service}, or POST /v0/connectors?service={service}&name={name}&….",
        )
    if found.service != service:
        return Conflict(
            f"The {node.kind} '{pipe.name}' needs a connection to {service}, and '{name}' is one to {found.service}.",
            hint="Name another connection, or change EXPORT_SERVICE.",
        )
    if service not in _BUCKETS:
        return _not_connected(pipe, service)
    return None


def _not_connected(pipe: Pipe, service: str) -> Conflict:
    kind = pipe.output.kind
    if service == S3_IAMROLE:
        return Conflict(
            f"The {kind} '{pipe.name}' cannot run: this server does not take on AWS roles.",
            hint="Use an s3 connection with an access key: tb connection create s3.",
        )
    return Conflict(
        f"The {kind} '{pipe.name}' cannot run: connections to {service} are stored but not connected yet.",
        hint="Export to files or to S3-compatible storage instead.",
    )


def notes(workspace: Workspace, names: Iterable[str]) -> list[str]:
    """About those of the named resources that are deployed and cannot run yet."""
    found = (workspace.resources.get(name) for name in names)
    pipes = [each for each in found if isinstance(each, Pipe) and each.kind in (NodeKind.SINK, NodeKind.STREAM)]
    return [str(problem) for pipe in pipes if (problem := obstacle(workspace, pipe)) is not None]

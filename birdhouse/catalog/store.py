"""Workspaces and resources in the metadata database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, delete, insert, select, update

from birdhouse.catalog.connections import store as connection_store
from birdhouse.catalog.resources import DataSource, Pipe, Resource
from birdhouse.catalog.variables import store as variable_store
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.exchange import Exchange
from birdhouse.engine.types import TableName
from birdhouse.errors import CannotStart, DatafileError
from birdhouse.language.datafile.parse import parse_datasource, parse_pipe
from birdhouse.metadata.cipher import Cipher
from birdhouse.metadata.rows import WORKSPACES, Rows, insert_rows, replace_rows
from birdhouse.metadata.schema import nodes, resources, service_state, workspaces

DATASOURCE = "datasource"
PIPE = "pipe"
UNFINISHED = "unfinished_change_of_"
EXCHANGES = "exchanges_of_"


def load_workspaces(
    connection: Connection, workspace_id: str | None = None, cipher: Cipher | None = None
) -> list[Workspace]:
    """Every workspace with its resources, or that one; without a cipher no variables.

    Raises CannotStart for a stored datafile that cannot be read.
    """
    wanted = select(workspaces).order_by(workspaces.c.created_at)
    if workspace_id is not None:
        wanted = wanted.where(workspaces.c.id == workspace_id)
    node_ids: dict[str, dict[str, str]] = {}
    for node in connection.execute(select(nodes)):
        node_ids.setdefault(node.resource_id, {})[node.name] = node.id
    found = []
    for row in connection.execute(wanted):
        variables = variable_store.load_values(connection, row.id, cipher) if cipher else {}
        empty = Workspace(
            row.id,
            row.name,
            row.database,
            connections=connection_store.load(connection, row.id),
            variables=variables,
            main_id=row.main_id,
        )
        mine = connection.execute(select(resources).where(resources.c.workspace_id == row.id).order_by("created_at"))
        loaded = [
            _resource(each.kind, each.id, each.name, each.datafile, each.extra, row.database, each.created_at,
                      each.updated_at, node_ids.get(each.id, {}))
            for each in mine
        ]  # fmt: skip
        found.append(empty.with_changes(loaded))
    return found


def _resource(
    kind: str,
    identity: str,
    name: str,
    text: str,
    extra: dict[str, str],
    database: str,
    created_at: datetime,
    updated_at: datetime,
    node_ids: dict[str, str],
) -> Resource:
    try:
        if kind == DATASOURCE:
            definition = parse_datasource(text, name=extra.get("stem", name))
            return DataSource(identity, definition, text, database, created_at, updated_at)
        pipe = parse_pipe(text, name=extra.get("stem", name))
    except DatafileError as error:
        raise CannotStart(f"The stored datafile of '{name}' cannot be read", detail=str(error)) from error
    published, view = extra.get("published"), extra.get("view_statement")
    return Pipe(identity, pipe, text, database, created_at, updated_at, node_ids, published, view)


def add_workspace(connection: Connection, workspace: Workspace, signing_key: str, created_at: datetime) -> None:
    row = {"id": workspace.id, "name": workspace.name, "database": workspace.database}
    connection.execute(insert(workspaces).values(**row, signing_key=signing_key, created_at=created_at))


def remove_workspace(connection: Connection, workspace_id: str) -> None:
    """With everything that refers to it, its branches included."""
    connection.execute(delete(workspaces).where(workspaces.c.id == workspace_id))
    for key in (UNFINISHED, EXCHANGES):
        _keep(connection, key + workspace_id, ())


def adopt(connection: Connection, rows: Rows, replaced_id: str | None, cipher: Cipher | None = None) -> Workspace:
    """Writes the rows of a whole workspace, in place of another one's where there is one, and loads it."""
    if replaced_id is None:
        insert_rows(connection, rows)
    else:
        replace_rows(connection, replaced_id, rows)
    (workspace,) = load_workspaces(connection, str(rows[WORKSPACES][0]["id"]), cipher)
    return workspace


def save(
    connection: Connection,
    workspace_id: str,
    saved: Iterable[Resource],
    deleted_ids: Iterable[str],
    unfinished: Sequence[str] = (),
) -> None:
    for identity in deleted_ids:
        connection.execute(delete(resources).where(resources.c.id == identity))
    for resource in saved:
        _save_resource(connection, workspace_id, resource)
    save_unfinished(connection, workspace_id, unfinished)


def _save_resource(connection: Connection, workspace_id: str, resource: Resource) -> None:
    extra = {"stem": resource.definition.name}
    if isinstance(resource, Pipe):
        optional = {"published": resource.published, "view_statement": resource.view_statement}
        extra |= {key: value for key, value in optional.items() if value is not None}
    row = {
        "workspace_id": workspace_id,
        "kind": DATASOURCE if isinstance(resource, DataSource) else PIPE,
        "name": resource.name,
        "table_name": resource.table.table if isinstance(resource, DataSource) else None,
        "datafile": resource.text,
        "extra": extra,
        "created_at": resource.created_at,
        "updated_at": resource.updated_at,
    }
    done = connection.execute(update(resources).where(resources.c.id == resource.id).values(**row))
    if done.rowcount == 0:
        connection.execute(insert(resources).values(id=resource.id, **row))
    if isinstance(resource, Pipe):
        connection.execute(delete(nodes).where(nodes.c.resource_id == resource.id))
        rows = [{"id": each, "resource_id": resource.id, "name": name} for name, each in resource.node_ids.items()]
        connection.execute(insert(nodes), rows)


def save_unfinished(connection: Connection, workspace_id: str, statements: Sequence[str]) -> None:
    """In place of what was kept before; no statements keep nothing."""
    _keep(connection, UNFINISHED + workspace_id, statements)


def load_unfinished(connection: Connection, workspace_id: str) -> tuple[str, ...]:
    return tuple(_kept(connection, UNFINISHED + workspace_id))


def save_exchanges(connection: Connection, workspace_id: str, exchanges: Sequence[Exchange]) -> None:
    """In place of those that were kept before."""
    rows = [(each.table.database, each.stage.table, each.table.table, each.uuid) for each in exchanges]
    _keep(connection, EXCHANGES + workspace_id, rows)


def load_exchanges(connection: Connection, workspace_id: str) -> tuple[Exchange, ...]:
    rows = _kept(connection, EXCHANGES + workspace_id)
    return tuple(
        Exchange(TableName(database, stage), TableName(database, table), uuid) for database, stage, table, uuid in rows
    )


def _keep(connection: Connection, key: str, values: Sequence[object]) -> None:
    connection.execute(delete(service_state).where(service_state.c.key == key))
    if values:
        connection.execute(insert(service_state).values(key=key, value=orjson.dumps(values).decode()))


def _kept(connection: Connection, key: str) -> list[Any]:
    kept = connection.scalar(select(service_state.c.value).where(service_state.c.key == key))
    return list(orjson.loads(kept)) if kept else []

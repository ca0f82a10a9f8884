"""Shares in the metadata database."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from birdhouse.metadata.schema import shares

Shares = dict[str, frozenset[str]]
"""Data source id to the ids of the workspaces that may read it."""


def load(connection: Connection) -> Shares:
    found: dict[str, set[str]] = {}
    for row in connection.execute(select(shares)):
        found.setdefault(row.datasource_id, set()).add(row.workspace_id)
    return {datasource_id: frozenset(readers) for datasource_id, readers in found.items()}


def add(connection: Connection, datasource_id: str, workspace_id: str) -> None:
    """Sharing again what is shared changes nothing."""
    if workspace_id not in load(connection).get(datasource_id, ()):
        connection.execute(insert(shares).values(datasource_id=datasource_id, workspace_id=workspace_id))


def remove(connection: Connection, datasource_id: str, workspace_id: str) -> None:
    mine = shares.c.datasource_id == datasource_id, shares.c.workspace_id == workspace_id
    connection.execute(delete(shares).where(*mine))

"""Connections in the metadata database, their secrets as an encrypted text."""

from __future__ import annotations

import sqlalchemy
from sqlalchemy import delete, insert, select, update

from birdhouse.catalog.connection import Connection
from birdhouse.errors import LimitReached, NameTaken
from birdhouse.metadata.schema import connections

Transaction = sqlalchemy.Connection

CONNECTIONS_PER_WORKSPACE_MAX = 100


def load(transaction: Transaction, workspace_id: str) -> dict[str, Connection]:
    """By name, oldest first."""
    mine = select(connections).where(connections.c.workspace_id == workspace_id).order_by(connections.c.created_at)
    return {
        row.name: Connection(row.id, row.name, row.service, row.settings, row.created_at, row.updated_at)
        for row in transaction.execute(mine)
    }


def sealed_secrets(transaction: Transaction, connection_id: str) -> str | None:
    query = select(connections.c.secrets).where(connections.c.id == connection_id)
    found: str | None = transaction.execute(query).scalar()
    return found


def add(transaction: Transaction, workspace_id: str, connection: Connection, sealed: str) -> None:
    """Raises NameTaken, LimitReached."""
    there = load(transaction, workspace_id)
    if connection.name in there:
        raise NameTaken(
            f"There is already a connection with name {connection.name!r}",
            hint=f"Remove it first, or change it with PUT /v0/connectors/{connection.name}.",
        )
    if len(there) >= CONNECTIONS_PER_WORKSPACE_MAX:
        raise LimitReached(f"A workspace can have {CONNECTIONS_PER_WORKSPACE_MAX} connections.")
    transaction.execute(
        insert(connections).values(
            id=connection.id, workspace_id=workspace_id, name=connection.name, service=connection.service,
            settings=dict(connection.settings), secrets=sealed, created_at=connection.created_at,
            updated_at=connection.updated_at,
        )
    )  # fmt: skip


def change(transaction: Transaction, connection: Connection, sealed: str) -> None:
    values = {"settings": dict(connection.settings), "secrets": sealed, "updated_at": connection.updated_at}
    transaction.execute(update(connections).where(connections.c.id == connection.id).values(**values))


def remove(transaction: Transaction, connection_id: str) -> None:
    transaction.execute(delete(connections).where(connections.c.id == connection_id))

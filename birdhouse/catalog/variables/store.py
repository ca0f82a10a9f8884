"""Variables in the metadata database. Their values are encrypted there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy
import structlog
from sqlalchemy import delete, insert, select, update

from birdhouse.errors import Conflict, LimitReached, NameTaken, NotFound
from birdhouse.metadata.cipher import Cipher
from birdhouse.metadata.schema import variables

Transaction = sqlalchemy.Connection

log = structlog.get_logger(__name__)

SECRET = "secret"
"""The one type of variable there is."""

VARIABLES_PER_WORKSPACE_MAX = 100


@dataclass(frozen=True, slots=True)
class Variable:
    """What may be shown of it: the value stays inside."""

    name: str
    type: str
    created_at: datetime
    updated_at: datetime
    edited_by: str
    """The name of the token that set it last."""


def load(connection: Transaction, workspace_id: str) -> tuple[Variable, ...]:
    """By name."""
    mine = select(variables).where(variables.c.workspace_id == workspace_id).order_by(variables.c.name)
    return tuple(
        Variable(row.name, row.type, row.created_at, row.updated_at, row.edited_by) for row in connection.execute(mine)
    )


def load_values(connection: Transaction, workspace_id: str, cipher: Cipher) -> dict[str, str]:
    """Name to value. One that cannot be decrypted is left out, and logged."""
    mine = select(variables.c.name, variables.c.value).where(variables.c.workspace_id == workspace_id)
    found: dict[str, str] = {}
    for row in connection.execute(mine):
        try:
            found[row.name] = cipher.opened(row.value)
        except Conflict as error:
            log.warning("variable_unreadable", workspace=workspace_id, variable=row.name, error=str(error))
    return found


def get(connection: Transaction, workspace_id: str, name: str) -> Variable:
    """Raises NotFound."""
    for variable in load(connection, workspace_id):
        if variable.name == name:
            return variable
    raise NotFound(f"Variable {name!r} not found")


def add(connection: Transaction, workspace_id: str, variable: Variable, sealed: str) -> None:
    """Raises NameTaken, LimitReached."""
    there = {each.name for each in load(connection, workspace_id)}
    if variable.name in there:
        raise NameTaken(f"Variable {variable.name!r} already exists", hint="Send PUT to change its value.")
    if len(there) >= VARIABLES_PER_WORKSPACE_MAX:
        raise LimitReached(f"A workspace can have {VARIABLES_PER_WORKSPACE_MAX} variables.")
    connection.execute(
        insert(variables).values(
            workspace_id=workspace_id, name=variable.name, type=variable.type, value=sealed,
            created_at=variable.created_at, updated_at=variable.updated_at, edited_by=variable.edited_by,
        )
    )  # fmt: skip


def change(connection: Transaction, workspace_id: str, name: str, sealed: str, *, at: datetime, edited_by: str) -> None:
    """Raises NotFound."""
    get(connection, workspace_id, name)
    named = update(variables).where(variables.c.workspace_id == workspace_id, variables.c.name == name)
    connection.execute(named.values(value=sealed, updated_at=at, edited_by=edited_by))


def remove(connection: Transaction, workspace_id: str, name: str) -> None:
    """Raises NotFound."""
    get(connection, workspace_id, name)
    connection.execute(delete(variables).where(variables.c.workspace_id == workspace_id, variables.c.name == name))

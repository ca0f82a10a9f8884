"""The rows of one workspace as plain values: what a backup keeps of the metadata database, and a copy begins with.

Which rows these are follows from the foreign keys: those that lead to the workspace. A new table needs no word here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    TableClause,
    column,
    delete,
    insert,
    select,
    table,
    update,
)

from birdhouse.errors import Conflict
from birdhouse.metadata.database import Database
from birdhouse.metadata.identifiers import new_database, new_id, new_resource_id
from birdhouse.metadata.migrate import applied, migrate
from birdhouse.metadata.migrations import MIGRATIONS, Migration
from birdhouse.metadata.schema import metadata, resources, shares

Row = dict[str, Any]
"""Texts, integers and None."""
Rows = dict[str, list[Row]]
"""By table, those that others refer to first. Times and JSON documents are texts, as they are stored."""

WORKSPACES = "workspaces"
TOKENS = "tokens"
OF_THE_SERVER = frozenset({"jobs", "service_state", "shares"})
"""Tables that do not go with a workspace: what its jobs were, what it shares, what the server notes about itself."""
AS_WRITTEN = frozenset({"datafile", "datafiles"})
"""Columns whose text is a user's; whatever in it looks like an identifier stays."""

_IDENTIFIER = re.compile(r"[tw]_[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def export_rows(connection: Connection, workspace_id: str) -> Rows:
    """Empty tables of it are there, too. A workspace that does not exist has no rows."""
    found: Rows = {}
    for each in owned_tables():
        plain = _plain(each)
        wanted = select(plain).where(_belongs(each, workspace_id)).order_by(*(key.name for key in each.primary_key))
        names = [str(column.name) for column in each.columns]
        found[str(each.name)] = [dict(zip(names, row, strict=True)) for row in connection.execute(wanted)]
    return found


def insert_rows(connection: Connection, rows: Rows) -> None:
    for name, each in rows.items():
        if each:
            connection.execute(insert(table(name, *map(column, each[0]))), each)


def replace_rows(connection: Connection, replaced_id: str, rows: Rows) -> None:
    """The rows of a workspace take the place of those of another, or of older ones of its own.

    What the server keeps about the replaced one, such as its jobs, goes over to the new one, and so do its branches.
    Data sources stay shared as those of the same name were.
    """
    shared = _shared(connection, replaced_id)
    (workspace,) = rows[WORKSPACES]
    plain = table(WORKSPACES, *map(column, workspace))
    rows = {**rows, TOKENS: _not_revived(connection, rows[TOKENS])}
    if workspace["id"] == replaced_id:
        for each in reversed([each for each in owned_tables() if each.name != WORKSPACES]):
            connection.execute(delete(_plain(each)).where(_belongs(each, replaced_id)))
        connection.execute(update(plain).where(plain.c.id == replaced_id).values(workspace))
    else:
        # Names are unique: the old one gives its name away before it goes.
        connection.execute(update(plain).where(plain.c.id == replaced_id).values(name=f"replaced {replaced_id}"))
        connection.execute(insert(plain).values(workspace))
        for place, reference in _references_to_workspaces():
            known = _plain(place)
            moved = {reference: workspace["id"]}
            connection.execute(update(known).where(known.c[reference] == replaced_id).values(moved))
        connection.execute(delete(plain).where(plain.c.id == replaced_id))
    insert_rows(connection, {name: each for name, each in rows.items() if name != WORKSPACES})
    ids = {row["name"]: row["id"] for row in rows[str(resources.name)] if row["kind"] == "datasource"}
    again = [{"datasource_id": ids[name], "workspace_id": reader} for name, reader in shared if name in ids]
    insert_rows(connection, {str(shares.name): again})


def _shared(connection: Connection, workspace_id: str) -> list[tuple[str, str]]:
    """(data source name, id of the workspace that may read it)."""
    mine = select(resources.c.name, shares.c.workspace_id).join(resources, resources.c.id == shares.c.datasource_id)
    found = connection.execute(mine.where(resources.c.workspace_id == workspace_id))
    return [(row.name, row.workspace_id) for row in found]


def _not_revived(connection: Connection, tokens: list[Row]) -> list[Row]:
    """A text of a token that a refresh has ended stays ended, whatever an older state says."""
    plain = table(TOKENS, column("id"), column("generation"))
    now = {row.id: row.generation for row in connection.execute(select(plain))}
    return [{**row, "generation": max(row["generation"], now.get(row["id"], 0))} for row in tokens]


def applied_migrations(connection: Connection) -> list[int]:
    return sorted(connection.scalars(select(applied.c.number)))


def upgraded(rows: Rows, migrations: Collection[int], known_migrations: Sequence[Migration] = MIGRATIONS) -> Rows:
    """Rows that were written when only these migrations were applied, as today's tables have them.

    Raises Conflict for migrations this program does not know.
    """
    known = {migration.number for migration in known_migrations}
    if not known.issuperset(migrations):
        raise Conflict(
            "This was written by a newer Birdhouse.",
            detail=f"It has migration {max(migrations)}; this program knows up to {max(known)}.",
            hint="Install that version.",
        )
    if known == set(migrations):
        return rows
    database = Database.open("sqlite://")
    try:
        migrate(database, [migration for migration in known_migrations if migration.number in migrations])
        with database.begin() as connection:
            insert_rows(connection, rows)
        migrate(database, known_migrations)
        with database.begin() as connection:
            return export_rows(connection, str(rows[WORKSPACES][0]["id"]))
    finally:
        database.close()


def new_names(rows: Rows) -> dict[str, str]:
    """For each identifier that these rows are known by, and for their database, a new one of the same form."""
    forms = {"t_": new_resource_id, "w_": new_database}
    own = [str(row[name]) for each in rows.values() for row in each for name in ("id", "database") if name in row]
    return {name: forms.get(name[:2], new_id)() for name in own}


def renamed(rows: Rows, names: Mapping[str, str]) -> Rows:
    """The rows with other identifiers, also inside of texts such as the statement of a view."""
    return {
        name: [
            {
                key: renamed_text(value, names) if isinstance(value, str) and key not in AS_WRITTEN else value
                for key, value in row.items()
            }
            for row in each
        ]
        for name, each in rows.items()
    }


def renamed_text(text: str, names: Mapping[str, str]) -> str:
    return _IDENTIFIER.sub(lambda found: names.get(found[0], found[0]), text)


def owned_tables() -> Iterator[Table]:
    """Those that others refer to come first."""
    return (each for each in metadata.sorted_tables if each.name not in OF_THE_SERVER)


def owner(owned: Table) -> tuple[str, Column[str]]:
    """The column that says whose a row is, and the column it refers to."""
    for each in owned.columns:
        for reference in each.foreign_keys:
            if not each.nullable and reference.column.table is not owned:
                return each.name, reference.column
    raise LookupError(f"Nothing says whose the rows of {owned.name} are")


def _belongs(owned: Table, workspace_id: str) -> ColumnElement[bool]:
    plain = _plain(owned)
    if owned.name == WORKSPACES:
        return plain.c.id == workspace_id
    name, referred = owner(owned)
    owning = _plain(referred.table)
    return plain.c[name].in_(select(owning.c[referred.name]).where(_belongs(referred.table, workspace_id)))


def _references_to_workspaces() -> Iterator[tuple[Table, str]]:
    for each in metadata.sorted_tables:
        if each.name in (*OF_THE_SERVER, WORKSPACES):
            for reference in each.foreign_keys:
                if reference.column.table.name == WORKSPACES:
                    yield each, reference.parent.name


@cache
def _plain(owned: Table) -> TableClause:
    """The table with its values as they are stored, not what the types of the schema make of them."""
    return table(owned.name, *(column(each.name) for each in owned.columns))

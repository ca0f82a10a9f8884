"""Brings a metadata database up to the code, one transaction per migration."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, insert, select, text

from birdhouse.errors import CannotStart
from birdhouse.metadata.database import Database
from birdhouse.metadata.migrations import MIGRATIONS, Migration

applied = Table("migrations", MetaData(), Column("number", BigInteger, primary_key=True, autoincrement=False))


def migrate(database: Database, migrations: Sequence[Migration] = MIGRATIONS) -> list[int]:
    """Applies what is missing and returns those numbers. A kill at any moment leaves whole migrations only.

    Raises CannotStart when the database has migrations this program does not know, and changes nothing then.
    """
    with database.begin() as connection:
        applied.create(connection, checkfirst=True)
        _refuse_newer(connection, migrations)
    done = []
    for migration in sorted(migrations, key=lambda each: each.number):
        with database.begin() as connection:
            if _apply(connection, migration):
                done.append(migration.number)
    return done


def _apply(connection: Connection, migration: Migration) -> bool:
    # Asked again inside the transaction: another process may have been faster.
    if migration.number in connection.scalars(select(applied.c.number)).all():
        return False
    # Recorded first, so that on Postgres a second process waits here and does not run the statements twice.
    connection.execute(insert(applied).values(number=migration.number))
    for statement in migration.statements:
        connection.execute(text(statement))
    return True


def _refuse_newer(connection: Connection, migrations: Sequence[Migration]) -> None:
    known = {migration.number for migration in migrations}
    unknown = sorted(set(connection.scalars(select(applied.c.number)).all()) - known)
    if unknown:
        raise CannotStart(
            "The metadata database was written by a newer Birdhouse.",
            detail=f"It has migration {unknown[-1]}; this program knows up to {max(known)}.",
            hint="Start the newer program, or go back to a backup made before the update.",
        )

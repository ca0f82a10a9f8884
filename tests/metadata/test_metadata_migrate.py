from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ForeignKey, MetaData, UniqueConstraint, text

from birdhouse.errors import BirdhouseError, CannotStart
from birdhouse.metadata import schema
from birdhouse.metadata.database import Database
from birdhouse.metadata.migrate import migrate
from birdhouse.metadata.migrations import MIGRATIONS, Migration

FIRST = Migration(1, ("CREATE TABLE one (a TEXT)",))
SECOND = Migration(2, ("CREATE TABLE two (a TEXT)", "INSERT INTO two VALUES ('x')"))
BROKEN = Migration(2, ("CREATE TABLE two (a TEXT)", "INSERT INTO absent VALUES ('x')"))


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    opened = Database.open(f"sqlite:///{tmp_path}/metadata.sqlite")
    request.addfinalizer(opened.close)
    return opened


def tables(database: Database) -> set[str]:
    with database.begin() as connection:
        found = MetaData()
        found.reflect(connection)
        return set(found.tables)


def _on_delete(key: ForeignKey) -> str | None:
    return key.constraint.ondelete if key.constraint else None


def shape(metadata: MetaData) -> dict[str, Any]:
    """Everything about the tables that both the code and a real database can tell."""
    return {
        table.name: {
            "columns": {column.name: (str(column.type), column.nullable) for column in table.columns},
            "key": [column.name for column in table.primary_key],
            "references": {(key.parent.name, key.target_fullname, _on_delete(key)) for key in table.foreign_keys},
            "unique": {
                tuple(column.name for column in each.columns)
                for each in table.constraints
                if isinstance(each, UniqueConstraint)
            },
            "indexes": {(index.name, tuple(column.name for column in index.columns)) for index in table.indexes},
        }
        for table in metadata.sorted_tables
        if table.name != "migrations"
    }


def test_the_migrations_make_the_tables_the_code_knows(database: Database) -> None:
    migrate(database)
    found = MetaData()
    with database.begin() as connection:
        found.reflect(connection)
    assert shape(found) == shape(schema.metadata)


def test_migrations_are_numbered_from_one_without_a_gap() -> None:
    assert [migration.number for migration in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


def test_a_migration_runs_once(database: Database) -> None:
    assert migrate(database, [FIRST]) == [1]
    assert migrate(database, [FIRST]) == []
    assert migrate(database, [SECOND, FIRST]) == [2]
    assert migrate(database, [FIRST, SECOND]) == []
    with database.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM two")).scalar() == 1


def test_a_migration_that_fails_in_the_middle_leaves_nothing_and_can_be_run_again(database: Database) -> None:
    with pytest.raises(BirdhouseError, match="absent"):
        migrate(database, [FIRST, BROKEN])
    assert tables(database) == {"migrations", "one"}
    assert migrate(database, [FIRST, SECOND]) == [2]
    assert tables(database) == {"migrations", "one", "two"}


def test_a_database_newer_than_the_program_is_refused_and_left_alone(database: Database) -> None:
    migrate(database, [FIRST, SECOND])
    third = Migration(3, ("CREATE TABLE three (a TEXT)",))
    with pytest.raises(CannotStart, match="It has migration 2; this program knows up to 3"):
        migrate(database, [FIRST, third])
    assert "three" not in tables(database)


KILLED = """
import os, signal, sys
from sqlalchemy import event
from birdhouse.metadata.database import Database
from birdhouse.metadata.migrate import migrate

database = Database.open(sys.argv[1])
seen = 0

@event.listens_for(database._engine, "after_cursor_execute")
def kill(*_):
    global seen
    seen += 1
    if seen == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

migrate(database)
"""


@pytest.mark.parametrize("statement", [2, 4, 7, 12])
def test_a_kill_in_the_middle_leaves_a_database_that_the_next_start_completes(tmp_path: Path, statement: int) -> None:
    url = f"sqlite:///{tmp_path}/metadata.sqlite"
    done = subprocess.run([sys.executable, "-c", KILLED, url, str(statement)], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    database = Database.open(url)
    assert tables(database) <= {"migrations"}
    assert migrate(database) == [migration.number for migration in MIGRATIONS]
    assert tables(database) == {"migrations", *schema.metadata.tables}
    database.close()

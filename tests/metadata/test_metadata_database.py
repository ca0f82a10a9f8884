from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text

from birdhouse.errors import BirdhouseError, Busy, CannotStart, Conflict
from birdhouse.metadata import database as module
from birdhouse.metadata import schema
from birdhouse.metadata.database import Database
from birdhouse.metadata.migrate import migrate

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["file", "memory"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    url = "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path}/new/metadata.sqlite"
    opened = Database.open(url)
    request.addfinalizer(opened.close)
    migrate(opened)
    return opened


def remember(connection: Connection, key: str, value: str = "") -> None:
    connection.execute(insert(schema.service_state).values(key=key, value=value))


def remembered(connection: Connection) -> set[str]:
    return set(connection.scalars(select(schema.service_state.c.key)))


async def test_a_transaction_is_committed_whole_or_not_at_all(database: Database) -> None:
    await database.run(lambda connection: remember(connection, "kept"))

    def fails(connection: Connection) -> None:
        remember(connection, "lost")
        raise LookupError("in the middle")

    with pytest.raises(LookupError, match="in the middle"):
        await database.run(fails)
    assert await database.run(remembered) == {"kept"}


async def test_transactions_run_one_after_another_on_one_thread(database: Database) -> None:
    running = 0
    seen: set[tuple[str, int]] = set()

    def work(connection: Connection) -> None:
        nonlocal running
        running += 1
        seen.add((threading.current_thread().name, running))
        running -= 1

    await asyncio.gather(*(database.run(work) for _ in range(20)))
    assert {count for _, count in seen} == {1}
    assert len({name for name, _ in seen}) == 1


async def test_work_that_has_begun_is_committed_and_reported_although_its_caller_was_cancelled(
    database: Database,
) -> None:
    begun, go_on, reported = threading.Event(), threading.Event(), threading.Event()

    def work(connection: Connection) -> None:
        begun.set()
        go_on.wait(5)
        remember(connection, "kept")

    call = asyncio.create_task(database.run(work, then=reported.set))
    await asyncio.to_thread(begun.wait, 5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go_on.set()
    assert await database.run(remembered) == {"kept"}
    assert reported.is_set()


async def test_nothing_is_reported_when_a_transaction_fails(database: Database) -> None:
    reported = threading.Event()
    with pytest.raises(BirdhouseError, match="no such table"):
        await database.run(lambda c: c.execute(text("SELECT * FROM absent")), then=reported.set)
    assert not reported.is_set()


async def test_a_broken_rule_of_the_tables_is_a_conflict(database: Database) -> None:
    await database.run(lambda connection: remember(connection, "once"))
    with pytest.raises(Conflict, match="UNIQUE"):
        await database.run(lambda connection: remember(connection, "once"))
    orphan = insert(schema.tags).values(id="1", workspace_id="absent", name="a")
    with pytest.raises(Conflict, match="FOREIGN KEY"):
        await database.run(lambda connection: connection.execute(orphan))


def test_a_transaction_waits_for_its_turn_only_so_long(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS_MAX", 0.01)
    with database.begin(), pytest.raises(Busy), database.begin():
        pass
    with database.begin() as connection:
        assert remembered(connection) == set()


def test_a_file_locked_by_another_process_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS_MAX", 0.01)
    first, second = (Database.open(f"sqlite:///{tmp_path}/metadata.sqlite") for _ in range(2))
    with first.begin(), pytest.raises(Busy, match="another process"), second.begin():
        pass
    first.close()
    second.close()


def test_a_write_survives_closing_and_is_flushed_to_disk(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/metadata.sqlite"
    first = Database.open(url)
    migrate(first)
    with first.begin() as connection:
        remember(connection, "kept")
        assert connection.scalar(text("PRAGMA synchronous")) == 2
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
    first.close()
    second = Database.open(url)
    with second.begin() as connection:
        assert remembered(connection) == {"kept"}
    second.close()


def test_only_the_owner_may_read_the_files_since_they_hold_the_signing_keys(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/metadata.sqlite")
    migrate(database)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {f"metadata.sqlite{suffix}": 0o600 for suffix in ("", "-wal", "-shm")}
    database.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("metadata.sqlite", "The URL of the metadata database cannot be used."),
        ("oracle9://host/db", "oracle9"),
        ("sqlite:////proc/none/metadata.sqlite", "The metadata database cannot be opened."),
    ],
)
def test_a_database_that_cannot_be_opened_stops_the_start(url: str, says: str) -> None:
    with pytest.raises(CannotStart) as caught:
        Database.open(url)
    assert says in str(caught.value)


def test_a_file_that_is_no_database_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "metadata.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(CannotStart, match="file is not a database"):
        Database.open(f"sqlite:///{tmp_path}/metadata.sqlite")


def workspace(connection: Connection, created_at: datetime = NOON) -> None:
    connection.execute(
        insert(schema.workspaces).values(id="w", name="w", database="w", signing_key="k", created_at=created_at)
    )


@pytest.mark.parametrize(
    "moment", [NOON, NOON + timedelta(microseconds=1), NOON.astimezone(timezone(timedelta(hours=2)))]
)
def test_times_come_back_in_utc(database: Database, moment: datetime) -> None:
    with database.begin() as connection:
        workspace(connection, moment)
        found = connection.scalar(select(schema.workspaces.c.created_at))
    assert found == moment
    assert found is not None and found.tzinfo is UTC


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(BirdhouseError, match="has no time zone"), database.begin() as connection:
        workspace(connection, NOON.replace(tzinfo=None))


@pytest.mark.parametrize("document", [None, {}, [], {"a": [1, None, "é"]}])
def test_documents_come_back_as_they_were(database: Database, document: object) -> None:
    job = {"id": "j", "workspace_id": "w", "kind": "copy", "status": "done", "payload": {}}
    with database.begin() as connection:
        workspace(connection)
        connection.execute(insert(schema.jobs).values(**job, result=document, created_at=NOON, updated_at=NOON))
        assert connection.scalar(select(schema.jobs.c.result)) == document

"""The metadata database: SQLite in the data directory by default, Postgres by URL.

Statements are short and few, so one thread runs them in order: above it everything stays async, and with
SQLite the one writer never waits for another. A transaction on the file costs about 0.3 ms, and a flush to
disk when it writes. Code that runs before the server listens may use `begin` on its own thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from birdhouse.errors import BirdhouseError, Busy, CannotStart, Conflict, StorageFull

Answer = TypeVar("Answer")
Transaction = Connection
"""What the work of one transaction is given."""

BUSY_SECONDS_MAX = 5.0


class Database:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metadata")

    @classmethod
    def open(cls, url: str) -> Database:
        """Connects; `migrate` makes the tables. `sqlite://` is a database in memory. Raises CannotStart."""
        try:
            parsed = make_url(url)
            engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else create_engine(parsed)
            with engine.connect():
                return cls(engine)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise CannotStart(
                "The URL of the metadata database cannot be used.",
                detail=f"{error}.",
                hint="Write sqlite:///path/to/file or postgresql+psycopg2://user:password@host/database.",
            ) from error
        except (DBAPIError, OSError) as error:
            reason = error.orig if isinstance(error, DBAPIError) else error
            raise CannotStart(
                "The metadata database cannot be opened.",
                detail=f"{parsed.render_as_string(hide_password=True)}: {reason}.",
            ) from error

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back by any exception. Transactions do not nest.

        Raises Conflict where a uniqueness or a reference is violated, Busy when no turn comes, StorageFull.
        """
        if not self._turn.acquire(timeout=BUSY_SECONDS_MAX):
            raise Busy("The metadata database is busy.")
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise _translate(error) from error
        finally:
            self._turn.release()

    async def run(self, work: Callable[[Connection], Answer], *, then: Callable[[], None] | None = None) -> Answer:
        """Runs `work` in one transaction on the metadata thread.

        Cancelling the caller does not undo work that has begun. `then` is called on that thread after the
        commit, also when the caller is gone by then.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work, then)

    def _transact(self, work: Callable[[Connection], Answer], then: Callable[[], None] | None) -> Answer:
        with self.begin() as connection:
            answer = work(connection)
        if then:
            then()
        return answer

    def close(self) -> None:
        """Waits for the transactions that were asked for."""
        self._thread.shutdown(wait=True)
        self._engine.dispose()


def _sqlite(url: URL) -> Engine:
    arguments: dict[str, Any] = {
        "connect_args": {"check_same_thread": False, "timeout": BUSY_SECONDS_MAX},
    }
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        Path(url.database).touch(mode=0o600)  # holds signing keys; the -wal file gets its mode
    else:
        arguments["poolclass"] = StaticPool  # the database in memory lives as long as its one connection
    engine = create_engine(url, **arguments)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None  # the driver would begin late, and never before CREATE TABLE
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # acknowledged means durable, also when the power fails
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # One that reads first and writes later would fail at once, not wait, if another process wrote between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _translate(error: SQLAlchemyError) -> BirdhouseError:
    reason = str(error.orig if isinstance(error, DBAPIError) else error)
    if isinstance(error, IntegrityError):
        return Conflict("The change contradicts what the metadata database holds.", detail=f"{reason}.")
    if "disk is full" in reason or "No space left" in reason:
        return StorageFull()
    if "database is locked" in reason:
        return Busy("The metadata database is locked by another process.")
    return BirdhouseError("The metadata database failed.", detail=f"{reason}.")

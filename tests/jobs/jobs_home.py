"""A workspace on the real engine with a queue of jobs, and hooks into the statements that jobs run."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import ManualClock
from birdhouse.deploy import ddl
from birdhouse.deploy.deployer import Deployer
from birdhouse.deploy.draft import Desired
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import NO_PARAMETERS, Insert, Lane, Limits, Progress, Query, Statistics
from birdhouse.ingest.delivery import Delivery, ViewFailure
from birdhouse.jobs.copy import CopyRunner, copy_payload
from birdhouse.jobs.delete import DeleteRunner
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job, JobKind
from birdhouse.jobs.populate import PopulateRunner
from birdhouse.jobs.queue import JobQueue, Runner
from birdhouse.jobs.repair import RepairRunner, submit_repairs
from birdhouse.language.datafile.parse import parse_datasource, parse_pipe
from birdhouse.language.sql.rewrite import replace_tables
from birdhouse.metadata.database import Database
from birdhouse.metadata.migrate import migrate

START = datetime(2024, 5, 1, 10, tzinfo=UTC)
LIMITS = Limits(seconds=60, memory_bytes=1_000_000_000)

Hook = Callable[[], Awaitable[object]]


class WatchedGate(WriteGate):
    """Calls a hook before, or after, the first statement, or insert into a table, that holds a given text."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.before: dict[str, Hook] = {}
        self.after: dict[str, Hook] = {}
        self.after_insert: dict[str, Hook] = {}

    async def execute(
        self,
        statement: str,
        /,
        *,
        lane: Lane = Lane.CONTROL,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
        on_progress: Callable[[Progress], None] | None = None,
        parameters: Mapping[str, str] = NO_PARAMETERS,
    ) -> Statistics:
        await self._call(self.before, statement)
        done = await super().execute(
            statement, lane=lane, limits=limits, on_progress=on_progress, parameters=parameters
        )
        await self._call(self.after, statement)
        return done

    async def insert(self, insert: Insert, /) -> None:
        await super().insert(insert)
        await self._call(self.after_insert, insert.table.table)

    @property
    def ungated(self) -> Engine:
        return cast(Engine, _WatchedEngine(self, self._engine))

    async def _call(self, hooks: dict[str, Hook], statement: str) -> None:
        for text in [text for text in hooks if text in statement]:
            await hooks.pop(text)()


class _WatchedEngine:
    """The same hooks for what runs while the gate is open."""

    def __init__(self, gate: WatchedGate, engine: Engine) -> None:
        self._gate = gate
        self._engine = engine

    async def execute(self, statement: str, /, **options: Any) -> Statistics:
        await self._gate._call(self._gate.before, statement)
        done = await self._engine.execute(statement, **options)
        await self._gate._call(self._gate.after, statement)
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


@dataclass
class Home:
    gate: WatchedGate
    database: Database
    catalog: Catalog
    deployer: Deployer
    clock: ManualClock
    workspace_id: str
    queue: JobQueue
    runners: dict[str, Runner]
    unlinked: list[str]
    delivery: Delivery
    failures: list[ViewFailure]
    """Of views, as an observer was told of them."""
    tasks: list[asyncio.Task[object]] = field(default_factory=list)

    @property
    def workspace(self) -> Workspace:
        return self.catalog.workspace(self.workspace_id)

    async def push(self, **files: str) -> None:
        """Datafiles by name; a text with NODE is a pipe."""
        wanted = [
            Desired(parse_pipe(text, name=name) if "NODE" in text else parse_datasource(text, name=name), text)
            for name, text in files.items()
        ]
        await self.deployer.deploy(self.workspace_id, wanted)

    async def append(self, name: str, column: str, values: list[int]) -> None:
        data = "".join(f"{value}\n" for value in values).encode()
        table = self.workspace.datasource(name).table
        await self.gate.insert(Insert(table, (column,), "TSV", data, uuid.uuid4().hex))

    async def deliver(self, name: str, values: list[int]) -> None:
        """Rows as they are ingested: one block of the column `a`."""
        table = self.workspace.datasource(name).table
        data = "".join(f"{value}\n" for value in values).encode()
        await self.delivery.insert(Insert(table, ("a",), "TSV", data, uuid.uuid4().hex))

    async def values(self, name: str, column: str = "a") -> list[int]:
        text = await self.ask(f"arraySort(groupArray({column}))", name)
        return [int(each) for each in text.strip("[]").split(",") if each]

    async def load(self, name: str, select: str) -> None:
        """Many rows, as if they had been ingested."""
        table = self.workspace.datasource(name).table
        await self.gate.execute(f"INSERT INTO {table} SETTINGS deduplicate_insert = 'disable' {select}")

    async def ask(self, expression: str, name: str) -> str:
        table = self.workspace.datasource(name).table
        result = await self.gate.select(Query(f"SELECT {expression} FROM {table}", "TSVRaw"))
        return result.body.decode().strip()

    async def query(self, sql: str) -> list[str]:
        """The lines of a SELECT over data sources."""
        tables = {("", each.name): (each.table.database, each.table.table) for each in self.workspace.datasources()}
        result = await self.gate.select(Query(replace_tables(sql, tables), "TSVRaw"))
        return result.body.decode().splitlines()

    async def staging_tables(self) -> list[str]:
        sql = f"SELECT name FROM system.tables WHERE database = '{self.workspace.database}' AND name LIKE 'staging%'"
        return (await self.gate.select(Query(sql, "TSVRaw"))).body.decode().split()

    async def copy(self, pipe: str, **options: Any) -> Job:
        parameters = options.pop("parameters", {})
        payload = copy_payload(self.workspace, pipe, parameters, at=self.clock.now(), **options)
        return await self.queue.submit(self.workspace_id, JobKind.COPY, payload)

    async def restart(self) -> None:
        """Kills the queue as a crash does, as far as what is stored is concerned, and starts another."""
        await self.queue.stop()
        self.queue = JobQueue(self.database, self.clock, self.runners, workers=2)
        await self.queue.start()

    async def close(self) -> None:
        await self.queue.stop()
        await self.gate.execute(ddl.drop_database(self.workspace.database))
        self.database.close()


async def open_home(engine: Engine) -> Home:
    gate = WatchedGate(engine)
    database = Database.open("sqlite://")
    migrate(database)
    clock = ManualClock(START)
    catalog = Catalog(database, clock)
    workspace = await catalog.create_workspace("w")
    await gate.execute(ddl.create_database(workspace.database))
    unlinked: list[str] = []

    async def unlink(workspace_id: str, pipe_id: str) -> None:
        unlinked.append(pipe_id)

    failures: list[ViewFailure] = []
    delivery = Delivery(gate, catalog, failures.append)
    runners: dict[str, Runner] = {
        JobKind.COPY: CopyRunner(gate, catalog, lambda: None, LIMITS, delivery),
        JobKind.POPULATE: PopulateRunner(gate, catalog, lambda: None, LIMITS, unlink),
        JobKind.REPAIR: RepairRunner(gate, catalog, LIMITS),
        JobKind.DELETE: DeleteRunner(gate, catalog, lambda: None, LIMITS),
    }
    queue = JobQueue(database, clock, runners, workers=2)
    await queue.start()

    async def repair(after: Workspace, pipes: Collection[str]) -> None:
        await submit_repairs(gate, home.queue, after, pipes)

    deployer = Deployer(gate, catalog, clock, views_made=repair)
    home = Home(gate, database, catalog, deployer, clock, workspace.id, queue, runners, unlinked, delivery, failures)
    return home


def numbers_table(*columns: str) -> str:
    lines = ",\n".join(f"    `{name}` UInt64" for name in columns)
    return f"SCHEMA >\n{lines}\n\nENGINE MergeTree\nENGINE_SORTING_KEY {columns[0]}\n"


def copy_pipe(sql: str, target: str = "target", mode: str = "append") -> str:
    return f"NODE n\nSQL >\n    {sql}\n\nTYPE COPY\nTARGET_DATASOURCE {target}\nCOPY_MODE {mode}\n"


def view_pipe(sql: str, target: str = "target") -> str:
    return f"NODE n\nSQL >\n    {sql}\n\nTYPE materialized\nDATASOURCE {target}\n"

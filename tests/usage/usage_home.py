"""The service data sources on the real engine, and a recorder that fills them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import ManualClock
from birdhouse.deploy import ddl
from birdhouse.deploy.deployer import SERVICE_WORKSPACE, Deployer
from birdhouse.deploy.draft import Desired
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Insert, Query
from birdhouse.errors import Busy
from birdhouse.jobs.gate import WriteGate
from birdhouse.language.datafile.parse import parse_datasource, parse_pipe
from birdhouse.metadata.database import Database
from birdhouse.metadata.migrate import migrate
from birdhouse.usage.definitions import service_datafiles
from birdhouse.usage.operations import Operation
from birdhouse.usage.reading import rows_of_organization, rows_of_workspace
from birdhouse.usage.recorder import Recorder
from birdhouse.usage.triggers import Triggers

START = (datetime.now(UTC) - timedelta(days=1)).replace(hour=10, minute=59, second=58, microsecond=0)
"""Not long ago: the engine drops old rows by its own clock."""


@dataclass
class WatchedGate(WriteGate):
    """Remembers the inserts that came, and refuses as many as it is told to, before or after they took effect."""

    engine: Engine
    inserts: list[Insert] = field(default_factory=list)
    refused: int = 0
    lost_answers: int = 0

    def __post_init__(self) -> None:
        super().__init__(self.engine)

    async def insert(self, insert: Insert, /) -> None:
        self.inserts.append(insert)
        if self.refused:
            self.refused -= 1
            raise Busy
        await super().insert(insert)
        if self.lost_answers:
            self.lost_answers -= 1
            raise Busy


@dataclass
class Home:
    gate: WatchedGate
    catalog: Catalog
    deployer: Deployer
    clock: ManualClock
    workspace_id: str
    recorder: Recorder

    def services(self) -> Workspace | None:
        return self.catalog.named(SERVICE_WORKSPACE)

    @property
    def workspace(self) -> Workspace:
        return self.catalog.workspace(self.workspace_id)

    async def close(self) -> None:
        await self.gate.execute(ddl.drop_database(self.workspace.database))

    async def push(self, **files: str) -> None:
        """Datafiles by name; a text with NODE is a pipe."""
        await self.deployer.deploy(self.workspace_id, [_desired(name, text) for name, text in files.items()])

    async def rows(self, name: str, more: str = "", *, workspace_id: str = "") -> list[dict[str, Any]]:
        """What a query over `tinybird.NAME` gives, with clauses to follow."""
        return await self.ask(f"({rows_of_workspace(self.services(), name, workspace_id or self.workspace_id)}) {more}")

    async def organization_rows(self, name: str) -> list[dict[str, Any]]:
        return await self.ask(f"({rows_of_organization(self.services(), name)})")

    async def ask(self, source: str) -> list[dict[str, Any]]:
        result = await self.gate.select(Query(f"SELECT * FROM {source}", "JSON"))
        found: list[dict[str, Any]] = json.loads(result.body)["data"]
        return found


def _desired(name: str, text: str) -> Desired:
    return Desired(parse_pipe(text, name=name) if "NODE" in text else parse_datasource(text, name=name), text)


async def deploy_services(gate: WriteGate) -> tuple[Database, Catalog]:
    """A server's service workspace, which many homes can share."""
    database = Database.open("sqlite://")
    migrate(database)
    clock = ManualClock(START)
    catalog = Catalog(database, clock)
    services = await catalog.create_workspace(SERVICE_WORKSPACE)
    await gate.execute(ddl.create_database(services.database))
    files = [_desired(file.partition(".")[0], text) for file, text in service_datafiles()]
    await Deployer(gate, catalog, clock).deploy(services.id, files)
    return database, catalog


async def open_home(engine: Engine, catalog: Catalog) -> Home:
    gate = WatchedGate(engine)
    workspace = await catalog.create_workspace(f"w{uuid4().hex}")
    await gate.execute(ddl.create_database(workspace.database))
    recorder = Recorder(gate, lambda: catalog.named(SERVICE_WORKSPACE))
    recorder.follow(Operation, Triggers(gate, catalog).follow)
    clock = ManualClock(START)
    return Home(gate, catalog, Deployer(gate, catalog, clock, recorder.note), clock, workspace.id, recorder)

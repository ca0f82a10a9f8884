"""A workspace on the real engine that projects are deployed into."""

from __future__ import annotations

import json

from workspaces import NOW, desired

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import ManualClock
from birdhouse.deploy.deployer import Deployer, Deployment
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query
from birdhouse.jobs.gate import WriteGate


class Home:
    def __init__(self, engine: Engine, catalog: Catalog, workspace: Workspace) -> None:
        self.engine = engine
        self.catalog = catalog
        self.workspace_id = workspace.id
        self.deployer = Deployer(WriteGate(engine), catalog, ManualClock(NOW))

    @property
    def workspace(self) -> Workspace:
        return self.catalog.workspace(self.workspace_id)

    async def deploy(self, files: dict[str, str], *, dry_run: bool = False) -> Deployment:
        return await self.deployer.deploy(self.workspace_id, desired(files), dry_run=dry_run)

    async def rows(self, sql: str) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = json.loads((await self.engine.select(Query(sql))).body)["data"]
        return rows

    async def tables(self) -> set[str]:
        database = self.workspace.database
        return {
            str(row["name"]) for row in await self.rows(f"SELECT name FROM system.tables WHERE database = '{database}'")
        }

    async def scratch_databases(self) -> list[dict[str, object]]:
        return await self.rows("SELECT name FROM system.databases WHERE name LIKE 'scratch%'")

    async def add_event(self, user: str, amount: int) -> None:
        table = self.workspace.datasource("events").table
        await self.engine.execute(f"INSERT INTO {table} (ts, user, amount) SELECT now(), '{user}', {amount}")

    async def totals(self) -> dict[object, object]:
        table = self.workspace.datasource("sums").table
        rows = await self.rows(f"SELECT user, sum(total) AS total FROM {table} GROUP BY user")
        return {row["user"]: row["total"] for row in rows}

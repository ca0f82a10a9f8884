"""A plan that is cut off after any of its statements: the start that follows brings the engine back in line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import pytest_asyncio
from crash_server import datasource, pipe, view

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import ManualClock
from birdhouse.deploy.apply import finish_interrupted
from birdhouse.deploy.deployer import Deployer
from birdhouse.deploy.draft import Desired
from birdhouse.deploy.reconcile import drop_scratch_databases, reconcile
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query, Statistics
from birdhouse.jobs.gate import WriteGate
from birdhouse.language.datafile.model import DataSourceDefinition, PipeDefinition
from birdhouse.language.datafile.parse import parse_datafile
from birdhouse.metadata.database import Database
from birdhouse.metadata.migrate import migrate

FIRST = {
    "source.datasource": datasource("id UInt64"),
    "target.datasource": datasource("id UInt64"),
    "to_target.pipe": view("SELECT id FROM source", "target"),
    "total.pipe": pipe("SELECT count() AS n FROM target"),
}
SECOND = {
    **FIRST,
    "source.datasource": datasource("id UInt64", "extra String"),
    "other.datasource": datasource("id UInt64"),
    "to_target.pipe": view("SELECT id + 1 AS id FROM source", "target"),
    "to_other.pipe": view("SELECT id FROM source WHERE extra != ''", "other"),
}


class Killed(BaseException):
    """As if the process had ended here."""


class MortalGate(WriteGate):
    """Ends after a number of statements, and runs none any more, not even those that would undo."""

    def __init__(self, engine: Engine, statements: int) -> None:
        super().__init__(engine)
        self._left = statements

    async def execute(self, statement: str, /, **options: Any) -> Statistics:
        if self._left <= 0:
            raise Killed
        self._left -= 1
        return await super().execute(statement, **options)


class Home:
    def __init__(self, engine: Engine, database: Database) -> None:
        self.engine = engine
        self.database = database
        self.clock = ManualClock(datetime(2024, 5, 1, tzinfo=UTC))

    async def opened(self) -> tuple[Catalog, Workspace]:
        """As a start does it."""
        catalog = Catalog(self.database, self.clock)
        await catalog.load()
        workspace = catalog.named("w") or await catalog.create_workspace("w")
        await drop_scratch_databases(self.engine)
        await finish_interrupted(self.engine, catalog, workspace)
        await reconcile(self.engine, workspace)
        return catalog, workspace

    async def deploy(self, files: Mapping[str, str], *, statements: int = 1_000) -> bool:
        """Whether it came to its end."""
        catalog, workspace = await self.opened()
        deployer = Deployer(MortalGate(self.engine, statements), catalog, self.clock)
        definitions = {path: parse_datafile(text, file=path) for path, text in files.items()}
        desired = [
            Desired(each, files[path], path)
            for path, each in definitions.items()
            if isinstance(each, DataSourceDefinition | PipeDefinition)
        ]
        try:
            await deployer.deploy(workspace.id, desired)
        except Killed:
            return False
        return True

    async def tables(self) -> list[tuple[str, str]]:
        """Each table and view with what makes it, in the order of names."""
        _, workspace = await self.opened()
        sql = (
            f"SELECT name, create_table_query FROM system.tables WHERE database = '{workspace.database}' ORDER BY name"
        )
        result = await self.engine.select(Query(sql, "JSONCompactEachRow"))
        return [tuple(orjson.loads(line)) for line in result.body.splitlines()]


@pytest_asyncio.fixture
async def home(engine: Engine) -> AsyncIterator[Home]:
    database = Database.open("sqlite://")
    migrate(database)
    home = Home(engine, database)
    _, workspace = await home.opened()
    yield home
    await engine.execute(f"DROP DATABASE {workspace.database} SYNC")
    database.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_deployment_cut_off_after_any_statement_is_undone_and_can_be_made_again(home: Home) -> None:
    assert await home.deploy(FIRST)
    before = await home.tables()
    cut_off = 0
    while not await home.deploy(SECOND, statements=cut_off):
        assert await home.tables() == before, f"after {cut_off} statements"
        cut_off += 1
    assert cut_off > 10
    after = await home.tables()
    assert len(after) == len(before) + 3
    assert any("id + 1" in statement for _, statement in after)
    catalog, workspace = await home.opened()
    assert await catalog.unfinished(workspace.id) == ()


async def test_a_deletion_cut_off_before_its_tables_are_dropped_drops_them_at_the_next_start(home: Home) -> None:
    assert await home.deploy(FIRST)
    catalog, workspace = await home.opened()
    await home.engine.execute(f"INSERT INTO {workspace.datasource('target').table} SELECT number FROM numbers(3)")
    deployer = Deployer(MortalGate(home.engine, 1), catalog, home.clock)  # one statement: the view is dropped
    with pytest.raises(Killed):
        await deployer.delete_datasource(workspace.id, "target", force=True, dry_run=False)
    found = [name for name, _ in await home.tables()]
    assert len(found) == 2  # the source and its quarantine
    _, workspace = await home.opened()
    assert "target" not in workspace.resources

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from deploy_home import Home
from workspaces import NOW

from birdhouse.catalog.catalog import Catalog
from birdhouse.clock import ManualClock
from birdhouse.deploy import ddl
from birdhouse.engine.protocol import Engine
from birdhouse.metadata.database import Database
from birdhouse.metadata.migrate import migrate


@pytest.fixture
async def home(engine: Engine, tmp_path: Path) -> AsyncIterator[Home]:
    database = Database.open(f"sqlite:///{tmp_path / 'metadata.sqlite'}")
    migrate(database)
    catalog = Catalog(database, ManualClock(NOW))
    workspace = await catalog.create_workspace("local")
    await engine.execute(ddl.create_database(workspace.database))
    yield Home(engine, catalog, workspace)
    await engine.execute(ddl.drop_database(workspace.database))
    database.close()

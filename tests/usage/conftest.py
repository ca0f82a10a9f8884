from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from usage_home import Home, deploy_services, open_home

from birdhouse.catalog.catalog import Catalog
from birdhouse.deploy import ddl
from birdhouse.engine.protocol import Engine
from birdhouse.jobs.gate import WriteGate


@pytest.fixture(scope="session")
def services(shared_engine: Engine) -> Iterator[Catalog]:
    """Made once: each home has a workspace of its own and sees its rows only."""
    gate = WriteGate(shared_engine)
    database, catalog = asyncio.run(deploy_services(gate))
    yield catalog
    for workspace in catalog.workspaces():
        asyncio.run(gate.execute(ddl.drop_database(workspace.database)))
    database.close()


@pytest.fixture
async def home(engine: Engine, services: Catalog) -> AsyncIterator[Home]:
    home = await open_home(engine, services)
    yield home
    await home.close()

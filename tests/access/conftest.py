from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from birdhouse.access.store import TokenStore
from birdhouse.clock import ManualClock
from birdhouse.metadata import schema
from birdhouse.metadata.database import Database
from birdhouse.metadata.migrate import migrate

START = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def database() -> Iterator[Database]:
    """Two workspaces, `one` and `two`, each with the data source `events` and the pipe `ep`."""
    opened = Database.open("sqlite://")
    migrate(opened)
    with opened.begin() as connection:
        for name in ("one", "two"):
            workspace = {"id": f"ws_{name}", "name": name, "database": name, "signing_key": f"key of {name}"}
            connection.execute(insert(schema.workspaces).values(**workspace, created_at=START))
            for kind, resource in (("datasource", "events"), ("pipe", "ep")):
                row = {"id": f"t_{name}_{resource}", "workspace_id": f"ws_{name}", "kind": kind}
                row |= {"name": resource, "datafile": ""}
                connection.execute(insert(schema.resources).values(**row, extra={}, created_at=START, updated_at=START))
    yield opened
    opened.close()


@pytest.fixture
def tokens(database: Database, clock: ManualClock) -> TokenStore:
    return TokenStore(database, clock)

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence

import pytest
from ingest_tables import DATABASE, MakeTarget, create

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import TableName
from birdhouse.ingest.quarantine import quarantine_columns
from birdhouse.ingest.target import Target
from birdhouse.language.datafile.model import Column


@pytest.fixture
async def make_target(engine: Engine) -> AsyncIterator[MakeTarget]:
    made: list[TableName] = []
    await engine.execute(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")

    async def make(columns: Sequence[Column]) -> Target:
        name = f"t_{uuid.uuid4().hex[:12]}"
        target = Target(TableName(DATABASE, name), TableName(DATABASE, f"{name}_q"), tuple(columns), name)
        made.extend((target.table, target.quarantine))
        await create(engine, target.table, columns)
        await create(engine, target.quarantine, quarantine_columns(columns))
        return target

    yield make
    for table in made:
        await engine.execute(f"DROP TABLE IF EXISTS {table} SYNC")

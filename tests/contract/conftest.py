"""Every engine there is, opened once: the embedded one cannot open a second directory in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from birdhouse.engine.chdb import ChdbConfig
from birdhouse.engine.connect import open_engine
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Limits

MEMORY_BYTES_MAX = 1_500_000_000
READ_SECONDS_MAX = 20.0


@pytest.fixture(scope="session", params=["chdb"])
def shared_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_engine(
        tmp_path_factory.mktemp(request.param) / "engine",
        embedded=ChdbConfig(
            memory_bytes_max=MEMORY_BYTES_MAX,
            read_workers=2,
            stream_connections_max=2,
            waiting_statements_max=50,
            read_limits=Limits(seconds=READ_SECONDS_MAX),
        ),
    )
    yield engine
    asyncio.run(engine.close())


@pytest_asyncio.fixture
async def engine(shared_engine: Engine) -> AsyncIterator[Engine]:
    """An engine whose database `w` is empty."""
    await shared_engine.execute("CREATE DATABASE w")
    yield shared_engine
    await shared_engine.execute("DROP DATABASE w SYNC")

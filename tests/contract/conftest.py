"""The contract is the same for every engine; a second one becomes a parameter of `shared_engine`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from birdhouse.engine.protocol import Engine


@pytest_asyncio.fixture
async def engine(shared_engine: Engine) -> AsyncIterator[Engine]:
    """An engine whose database `w` is empty."""
    await shared_engine.execute("CREATE DATABASE w")
    yield shared_engine
    await shared_engine.execute("DROP DATABASE w SYNC")

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from jobs.jobs_home import Home, open_home

from birdhouse.engine.protocol import Engine


@pytest.fixture
async def home(engine: Engine) -> AsyncIterator[Home]:
    home = await open_home(engine)
    yield home
    await home.close()

"""One engine for the whole run: the embedded engine opens one directory per process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import settings
from s3_server import S3Server, running_s3

from birdhouse.engine.chdb import ChdbConfig
from birdhouse.engine.connect import open_engine
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Limits

# How long an example takes says something about the machine, and nothing about what is tested.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

LONG = (
    "tests/tb/test_insights.py",
    "tests/flows/test_demo.py",
    "tests/tb/test_push.py",
    "tests/tb/test_documents_run.py",
    "tests/tb/test_workspace_commands.py",
    "tests/cli/test_project_workflow.py",
    "tests/workspaces/test_backups.py",
    "tests/tb/test_options.py",
    "tests/test_wheel.py",
    "tests/deploy/test_evolve.py",
)
"""Files that take longest. They begin first, so that no worker is left alone with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONG)))


MEMORY_BYTES_MAX = 1_500_000_000
READ_SECONDS_MAX = 20.0


@pytest.fixture(scope="session")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = tmp_path_factory.mktemp("chdb")
    (directory / "backups").mkdir()
    engine = open_engine(
        directory / "engine",
        embedded=ChdbConfig(
            memory_bytes_max=MEMORY_BYTES_MAX,
            backups_path=directory / "backups",
            read_workers=2,
            stream_connections_max=2,
            waiting_statements_max=50,
            read_limits=Limits(seconds=READ_SECONDS_MAX),
            stream_limits=Limits(seconds=READ_SECONDS_MAX),
        ),
    )
    yield engine
    asyncio.run(engine.close())


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with running_s3() as server:
        yield server


@pytest.fixture(scope="session")
def engine(shared_engine: Engine) -> Engine:
    return shared_engine

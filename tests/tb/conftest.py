"""Servers for the official client, and the client itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from flows.flow_server import Server, running_server
from tb_client import CLIENT, Tb


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests of a file: what one makes, the others can see."""
    with running_server(tmp_path_factory.mktemp("server") / "data") as server:
        yield server


@pytest.fixture
def empty_server(tmp_path: Path) -> Iterator[Server]:
    """A server of this test alone, for what looks at the workspace as a whole: nothing in it runs by itself."""
    with running_server(tmp_path / "data", follow_schedules=False) as server:
        yield server


@pytest.fixture
def signed_out_tb(tmp_path: Path) -> Tb:
    """The client without a host or token."""
    if not CLIENT.exists():
        pytest.fail(f"The official client is missing ({CLIENT}): `make test` installs it.", pytrace=False)
    folder, home = tmp_path / "project", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    environment = {
        "PATH": f"{CLIENT.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TB_VERSION_WARNING": "0",
        "TB_CLI_TELEMETRY_OPTOUT": "1",
    }
    client = Tb(folder, environment)
    return client.with_lru() if os.environ.get("BIRDHOUSE_TB_WITH_LRU") else client


@pytest.fixture
def tb(signed_out_tb: Tb, server: Server) -> Tb:
    return signed_out_tb.signed_in(server)

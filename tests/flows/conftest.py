"""One server process for all flows. Tests use names of their own: what one makes, the others can see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flow_server import UPLOAD_BYTES_MAX, Server, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # The limit is small so that tests can go beyond it.
    with running_server(tmp_path_factory.mktemp("server") / "data", upload_bytes_max=UPLOAD_BYTES_MAX) as server:
        yield server


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for the resource of this test alone."""
    return "ds_" + "".join(sign if sign.isalnum() else "_" for sign in request.node.name)[:150].lower()

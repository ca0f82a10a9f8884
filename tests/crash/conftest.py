from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crash_server import Make, ServerProcess


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Make]:
    """Servers that end with the test, whatever happens in it."""
    made: list[ServerProcess] = []

    def make(data_dir: Path | None = None, **options: Any) -> ServerProcess:
        made.append(ServerProcess(data_dir or tmp_path / "data", **options))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def server(make_server: Make) -> ServerProcess:
    """A server on a new data directory."""
    return make_server().start()

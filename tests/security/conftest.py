"""One server with a workspace that has something to hide: rows of tenant `b`, and the data source `passwords`."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from flows.flow_server import Server, running_server
from hidden_rows import FILES, HIDDEN, VISITS


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server") / "data") as server:
        server.deploy({path: text for path, text in FILES.items() if path.startswith("datasources/")})
        server.deploy(FILES)
        _append(server, "visits", [*VISITS, {"id": "none", "tenant": "b", "note": HIDDEN}])
        _append(server, "passwords", [{"id": 1, "password": HIDDEN}])
        yield server


def _append(server: Server, name: str, rows: list[dict[str, object]]) -> None:
    answer = server.post("/v0/events", params={"name": name, "wait": "true"}, content="\n".join(map(json.dumps, rows)))
    assert answer.status_code == 200, answer.text

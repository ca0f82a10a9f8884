"""A kill while resources change: the catalog and the engine agree afterwards, and the change can be made again."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

import httpx
import pytest
from crash_server import ServerProcess, datasource, pipe, view

COUNT = 6


def project(version: int) -> dict[str, str]:
    """The second version has one more column in each source, and other views, endpoints and an index."""
    files = {}
    for number in range(COUNT):
        columns = ["id UInt64", "value UInt64"] + (["extra String"] if version == 2 else [])
        files[f"datasources/source_{number}.datasource"] = datasource(*columns)
        files[f"datasources/total_{number}.datasource"] = datasource("id UInt64", "value UInt64")
        files[f"pipes/view_{number}.pipe"] = view(
            f"SELECT id, value * {version} AS value FROM source_{number}", f"total_{number}"
        )
        files[f"pipes/endpoint_{number}.pipe"] = pipe(
            f"SELECT {version} AS version, count() AS n, sum(value) AS total FROM total_{number}"
        )
    return files


def answers(server: ServerProcess, number: int) -> dict[str, int]:
    answer = server.http.get(f"/v0/pipes/endpoint_{number}.json")
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, int]] = answer.json()["data"]
    return rows[0]


def version_of(server: ServerProcess) -> int:
    """0 when nothing is deployed; fails when only a part is."""
    found = {each["name"] for each in server.http.get("/v0/pipes").json()["pipes"]}
    if not found:
        assert server.http.get("/v0/datasources").json()["datasources"] == []
        return 0
    assert len(found) == 2 * COUNT
    versions = {answers(server, number)["version"] for number in range(COUNT)}
    assert len(versions) == 1
    return versions.pop()


def check_rows_flow(server: ServerProcess, version: int) -> None:
    for number in range(COUNT):
        before = answers(server, number)
        row = {"id": 1, "value": 10, "extra": "y"}
        answer = server.post_events(f"source_{number}", row)
        assert answer.json() == {"successful_rows": 1, "quarantined_rows": 0}, answer.text
        after = answers(server, number)
        assert after["n"] == before["n"] + 1
        assert int(after["total"]) == int(before["total"]) + 10 * version
        assert ("extra" in server.sql(f"SELECT * FROM source_{number} LIMIT 1")[0]) == (version == 2)


def deploy_in_background(server: ServerProcess, files: Mapping[str, str]) -> threading.Thread:
    def deploy() -> None:
        with suppress(httpx.HTTPError):
            server.http.post("/v0/deployments", json={"files": dict(files)})

    thread = threading.Thread(target=deploy, daemon=True)
    thread.start()
    return thread


def kill_while_deploying(server: ServerProcess, files: Mapping[str, str], seconds: float) -> None:
    thread = deploy_in_background(server, files)
    time.sleep(seconds)
    server.kill()
    thread.join(10)
    server.start()


def check_engine(server: ServerProcess) -> None:
    """Each view and table is there once, and none is there that nobody knows."""
    here = "database IN (SELECT database FROM system.tables WHERE comment = 'source_0')"
    views, tables = server.run_in_engine(
        f"SELECT name FROM system.tables WHERE {here} AND engine = 'MaterializedView'",
        f"SELECT name FROM system.tables WHERE {here} AND engine LIKE '%MergeTree'",
    )
    assert len(views) == COUNT
    assert len(tables) == 4 * COUNT  # sources and totals, each with its quarantine
    assert server.tables_left_over() == []


@pytest.mark.parametrize("seconds", [0.15, 0.4])
def test_a_first_deployment_that_is_killed_is_there_whole_or_not_at_all(server: ServerProcess, seconds: float) -> None:
    kill_while_deploying(server, project(1), seconds)
    if version_of(server) == 1:
        check_rows_flow(server, 1)
    server.deploy(project(1))
    check_rows_flow(server, 1)
    assert server.stop() == 0
    check_engine(server)
    assert "unknown_table_kept" not in server.log()


@pytest.mark.parametrize("seconds", [0.25, 0.5])
def test_a_change_of_views_and_columns_that_is_killed_is_made_or_undone(server: ServerProcess, seconds: float) -> None:
    server.deploy(project(1))
    check_rows_flow(server, 1)
    kill_while_deploying(server, project(2), seconds)
    version = version_of(server)
    assert version in (1, 2)
    check_rows_flow(server, version)
    server.deploy(project(2))
    assert version_of(server) == 2
    check_rows_flow(server, 2)
    assert server.stop() == 0
    check_engine(server)


@pytest.mark.torture
def test_deployments_survive_kills_at_any_moment(server: ServerProcess) -> None:
    server.deploy(project(1))
    for _ in range(40):
        now = version_of(server)
        kill_while_deploying(server, project(3 - now), random.uniform(0.05, 1.2))
        version = version_of(server)
        assert version in (1, 2)
        check_rows_flow(server, version)
        if version == 2:  # back to the first: columns are never dropped, so in a new directory of resources
            for name in [f"{kind}_{number}" for number in range(COUNT) for kind in ("endpoint", "view")]:
                server.http.delete(f"/v0/pipes/{name}")
            for name in [f"{kind}_{number}" for number in range(COUNT) for kind in ("source", "total")]:
                assert server.http.delete(f"/v0/datasources/{name}", params={"force": "true"}).status_code in (200, 204)
            server.deploy(project(1))


def test_rows_sent_while_a_view_is_replaced_reach_its_target(server: ServerProcess) -> None:
    server.deploy(project(1))
    sent = 0
    thread = deploy_in_background(server, project(2))
    while thread.is_alive():
        assert server.post_events("source_0", {"id": sent, "value": 10}).status_code == 200
        sent += 1
    thread.join()
    assert version_of(server) == 2
    assert sent > 1
    assert server.value("SELECT count() FROM total_0") == server.value("SELECT count() FROM source_0") == sent


@pytest.mark.parametrize("seconds", [0.1, 0.5])
def test_a_replace_by_upload_that_is_killed_leaves_old_or_new_rows(server: ServerProcess, seconds: float) -> None:
    old, new = 1_000, 400_000
    server.deploy({"datasources/rows.datasource": datasource("id UInt64", "text String")})
    for first in range(0, old, 500):
        server.post_events("rows", *({"id": each, "text": "old"} for each in range(first, first + 500)))
    body = "id,text\n" + "".join(f"{each},new\n" for each in range(new))

    def replace() -> None:
        with suppress(httpx.HTTPError):
            server.http.post(
                "/v0/datasources", params={"name": "rows", "mode": "replace", "format": "csv"}, content=body
            )

    thread = threading.Thread(target=replace, daemon=True)
    thread.start()
    time.sleep(seconds)
    server.kill()
    thread.join(10)
    server.start()
    assert server.sql("SELECT count() AS n, uniqExact(text) AS texts FROM rows")[0] in (
        {"n": old, "texts": 1},
        {"n": new, "texts": 1},
    )
    thread = threading.Thread(target=replace)
    thread.start()
    thread.join(60)
    assert server.sql("SELECT count() AS n, uniqExact(text) AS texts FROM rows") == [{"n": new, "texts": 1}]
    assert server.stop() == 0
    assert server.tables_left_over() == []
    assert list((server.data_dir / "files").iterdir()) == []

"""A kill while a view is populated, or its source replaced: the data is that of an undisturbed run."""

from __future__ import annotations

import random
import threading
import time
from contextlib import suppress

import httpx
import pytest
from crash_server import ServerProcess, copy, datasource, view, wait_for

ROWS = 300_000
SECONDS_MAX = 1.5

PROJECT = {
    "datasources/source.datasource": datasource("id UInt64", "kind UInt8"),
    "datasources/target.datasource": datasource("id UInt64", "kind UInt8"),
    "datasources/sums.datasource": datasource("kind UInt8", "rows UInt64", engine="SummingMergeTree"),
    "pipes/to_sums.pipe": view("SELECT kind, count() AS rows FROM target GROUP BY kind", "sums"),
    "pipes/fill.pipe": copy(f"SELECT number AS id, number % 5 AS kind FROM numbers({ROWS})", "source", "append"),
    "pipes/refill.pipe": copy(f"SELECT number + 7 AS id, number % 3 AS kind FROM numbers({ROWS})", "source", "replace"),
}
SQL = "SELECT id, kind FROM source WHERE kind != 9"
VIEW = view(SQL, "target")
FACTS = "count() AS rows, uniqExact(id) AS ids, sum(id) AS total"


def prepared(server: ServerProcess, *, with_view: bool) -> None:
    server.deploy(PROJECT)
    assert server.finished(server.post_copy("fill"))["status"] == "done"
    if with_view:
        server.deploy({"pipes/to_target.pipe": VIEW})


def send(server: ServerProcess, number: int) -> None:
    assert server.post_events("source", {"id": 10**9 + number, "kind": number % 5}).status_code == 200


def check(server: ServerProcess) -> None:
    """Source, target and what is below agree, and nothing is left over."""
    expected = server.sql(f"SELECT {FACTS} FROM source")[0]
    assert server.sql(f"SELECT {FACTS} FROM target")[0] == expected
    assert expected["rows"] == expected["ids"]
    sums = "SELECT kind, sum(rows) AS rows FROM sums GROUP BY kind ORDER BY kind"
    assert server.sql(sums) == server.sql("SELECT kind, count() AS rows FROM source GROUP BY kind ORDER BY kind")


def jobs(server: ServerProcess) -> list[str]:
    found = server.http.get("/v0/jobs", params={"pipe_name": "to_target"}).json()["jobs"]
    return [str(job["id"]) for job in found]


def push_populated(server: ServerProcess) -> None:
    node = {
        "name": "n",
        "type": "materialized",
        "sql": "SELECT id, kind FROM source WHERE kind != 9",
        "datasource": "target",
    }
    params = {"force": "true", "populate": "true"}
    server.http.post("/v0/pipes", params=params, json={"name": "to_target", "nodes": [node]})


def kill_while_pushing(server: ServerProcess, seconds: float) -> None:
    """Events come before and after the kill; the push is repeated only if it was not carried out."""
    prepared(server, with_view=False)
    before = jobs(server)

    def push() -> None:
        with suppress(httpx.HTTPError):
            push_populated(server)

    thread = threading.Thread(target=push, daemon=True)
    thread.start()
    stop = time.monotonic() + seconds
    number = 0
    while time.monotonic() < stop:
        send(server, number)
        number += 1
    server.kill()
    thread.join(10)
    server.start()
    if server.http.get("/v0/pipes/to_target").status_code == 404:
        push_populated(server)
    send(server, number)
    (job,) = set(jobs(server)) - set(before)
    assert server.finished(job, seconds=60)["status"] == "done"
    send(server, number + 1)
    check(server)


def kill_while_populating(server: ServerProcess, seconds: float) -> None:
    prepared(server, with_view=True)
    before = jobs(server)
    answer = server.http.post("/v0/pipes/to_target/nodes/n/population", params={"truncate": "true"})
    assert answer.status_code == 200, answer.text
    time.sleep(seconds)
    server.kill()
    server.start()
    send(server, 0)
    (job,) = set(jobs(server)) - set(before)
    assert server.finished(job, seconds=60)["status"] == "done"
    check(server)


def kill_while_replacing(server: ServerProcess, seconds: float) -> None:
    prepared(server, with_view=True)
    before = jobs(server)
    push_populated(server)
    (job,) = set(jobs(server)) - set(before)
    assert server.finished(job, seconds=60)["status"] == "done"
    copied = server.post_copy("refill")
    time.sleep(seconds)
    server.kill()
    server.start()
    assert server.finished(copied, seconds=60)["status"] == "done"
    send(server, 0)
    check(server)
    assert server.value("SELECT min(id) FROM target") == 7


KILLS = [kill_while_pushing, kill_while_populating, kill_while_replacing]


@pytest.mark.parametrize("kill", KILLS)
def test_data_is_whole_after_a_kill(server: ServerProcess, kill: object) -> None:
    assert callable(kill)
    kill(server, random.uniform(0.05, 0.8))
    assert server.stop() == 0
    assert server.tables_left_over() == []


@pytest.mark.torture
@pytest.mark.parametrize("kill", KILLS)
def test_data_is_whole_after_kills_at_any_moment(server: ServerProcess, kill: object) -> None:
    assert callable(kill)
    for _ in range(20):
        kill(server, random.uniform(0, SECONDS_MAX))
        assert server.stop() == 0
        assert server.tables_left_over() == []
        server.start()
        for name in ("to_target", "to_sums", "fill", "refill"):
            server.http.delete(f"/v0/pipes/{name}")
        for name in ("source", "target", "sums"):
            server.http.delete(f"/v0/datasources/{name}", params={"force": "true"})
        wait_for(lambda: server.http.get("/v0/pipes").json()["pipes"] == [], seconds=10)

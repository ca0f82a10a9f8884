"""A kill while a workspace is backed up, restored or cloned: what there is was there before, or is whole."""

from __future__ import annotations

import random
import time
from typing import Any

import httpx
import pytest
from crash_server import ServerProcess, copy, datasource, pipe, view, wait_for

ROWS = 200_000
PROJECT = {
    "datasources/events.datasource": datasource("n UInt64", "text String"),
    "datasources/seen.datasource": datasource("n UInt64"),
    "pipes/to_seen.pipe": view("SELECT n FROM events WHERE n % 100 = 0", "seen"),
    "pipes/fill.pipe": copy(
        f"SELECT number AS n, hex(sipHash128(number)) AS text FROM numbers({ROWS})", "events", "append"
    ),
    "pipes/total.pipe": pipe("SELECT count() AS n FROM events"),
}


def prepared(server: ServerProcess) -> None:
    """A workspace with a backup of a moment when it had other resources and rows than now."""
    server.deploy(PROJECT)
    assert server.finished(server.post_copy("fill"), seconds=60)["status"] == "done"
    assert server.finished(submitted(server, "/v0/backups", name="old"), seconds=60)["status"] == "done"
    server.post_events("events", *({"n": 1_000_000 + each, "text": "new"} for each in range(100)))
    server.deploy({"datasources/later.datasource": datasource("n UInt64")})


def submitted(server: ServerProcess, path: str, **options: str) -> str:
    answer = server.http.post(path, params=options)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["job"]["job_id"])


def rows(server: ServerProcess) -> tuple[Any, ...]:
    """Of both tables by one query, so that a restore which ends meanwhile cannot come between them."""
    of_events = "count() AS rows, uniqExact(n) AS different, sum(cityHash64(text)) AS texts"
    return tuple(server.sql(f"SELECT {of_events}, (SELECT count() FROM seen) AS seen FROM events")[0].values())


def names(server: ServerProcess) -> list[str]:
    return sorted(each["name"] for each in server.http.get("/v0/datasources").json()["datasources"])


def content(server: ServerProcess) -> tuple[Any, ...]:
    """Of one moment: a restore may end between two requests, and then they are asked again."""
    before = names(server)
    found = (rows(server), before)
    return found if names(server) == before else content(server)


def killed_during(server: ServerProcess, job: str, seconds: float) -> dict[str, Any]:
    """The job, once it has ended behind the kill."""
    time.sleep(seconds)
    server.kill()
    server.start()
    ended = server.finished(job, seconds=120)
    assert ended["status"] == "done", ended
    return ended


def nothing_left_over(server: ServerProcess) -> None:
    hidden = [path.name for path in (server.data_dir / "backups").iterdir() if path.name.startswith(".")]
    scratch = [path.name for path in (server.data_dir / "engine" / "metadata").glob("scratch_*.sql")]
    assert hidden == scratch == []


def databases(server: ServerProcess) -> int:
    return len(list((server.data_dir / "engine" / "metadata").glob("w_*.sql")))


def backed_up(server: ServerProcess, seconds: float, name: str) -> None:
    expected = content(server)
    killed_during(server, submitted(server, "/v0/backups", name=name), seconds)
    nothing_left_over(server)
    assert content(server) == expected
    found = server.http.get(f"/v0/backups/{name}").json()
    assert found["verified_at"]
    assert {each["name"]: each["rows"] for each in found["contents"]}["events"] == expected[0][0]


@pytest.mark.parametrize("seconds", [0.4])
def test_a_backup_that_is_killed_is_made_again_from_the_beginning(server: ServerProcess, seconds: float) -> None:
    prepared(server)
    backed_up(server, seconds, "killed")


def restored(server: ServerProcess, seconds: float, old: tuple[Any, ...]) -> None:
    new, there = content(server), databases(server)
    assert new != old
    job = submitted(server, "/v0/backups/old/restore", replace="true")
    time.sleep(seconds)
    server.kill()
    server.start()
    assert content(server) in (old, new)
    ended = server.finished(job, seconds=120)
    assert ended["status"] == "done", ended
    assert content(server) == old
    server.post_events("events", {"n": 2_000_000, "text": "later"})
    assert server.value("SELECT count() FROM seen WHERE n = 2000000") == 1
    nothing_left_over(server)
    assert databases(server) == there


def state_of_backup(server: ServerProcess) -> tuple[Any, ...]:
    """The content that the backup has, as a workspace of its own tells."""
    texts = server.value(f"SELECT sum(cityHash64(text)) FROM events WHERE n < {ROWS}")
    return ((ROWS, ROWS, texts, len(range(0, ROWS, 100))), ["events", "seen"])


@pytest.mark.parametrize("seconds", [0.3, 0.8])
def test_a_restore_that_is_killed_leaves_all_old_or_all_new_and_comes_to_its_end(
    server: ServerProcess, seconds: float
) -> None:
    prepared(server)
    restored(server, seconds, state_of_backup(server))


def cloned(server: ServerProcess, seconds: float, name: str) -> None:
    expected, there = content(server), databases(server)
    killed_during(server, submitted(server, "/v0/workspaces/local/clone", name=name), seconds)
    assert content(server) == expected
    assert databases(server) == there + 1
    user = httpx.get(f"{server.url}/tokens").json()["user_token"]
    found = server.http.get("/v0/user/workspaces", headers={"Authorization": f"Bearer {user}"}).json()["workspaces"]
    token = next(each["token"] for each in found if each["name"] == name)
    sql = {"q": "SELECT count() AS rows, uniqExact(n) AS different FROM events FORMAT JSON"}
    answer = server.http.get("/v0/sql", params=sql, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == [{"rows": expected[0][0], "different": expected[0][1]}]


@pytest.mark.parametrize("seconds", [0.1])
def test_a_clone_that_is_killed_is_whole_in_the_end(server: ServerProcess, seconds: float) -> None:
    prepared(server)
    cloned(server, seconds, "killed")


def test_a_backup_that_is_cancelled_leaves_nothing(server: ServerProcess) -> None:
    prepared(server)
    job = submitted(server, "/v0/backups", name="cancelled")
    wait_for(lambda: server.job(job)["status"] == "working", seconds=30)
    server.http.post(f"/v0/jobs/{job}/cancel")
    if server.finished(job, seconds=60)["status"] == "cancelled":
        assert server.http.get("/v0/backups/cancelled").status_code == 404
    nothing_left_over(server)


@pytest.mark.torture
def test_backups_restores_and_clones_survive_kills_at_any_moment(server: ServerProcess) -> None:
    prepared(server)
    old = state_of_backup(server)
    for number in range(20):
        backed_up(server, random.uniform(0, 1.5), f"killed-{number}")
        restored(server, random.uniform(0, 3.0), old)
        cloned(server, random.uniform(0, 0.6), f"killed_{number}")
        server.http.delete(f"/v0/backups/killed-{number}")
        server.post_events("events", *({"n": 1_000_000 + each, "text": "new"} for each in range(100)))

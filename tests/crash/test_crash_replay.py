"""A kill while a quarantine is replayed: every row is in the data source or in quarantine, once."""

from __future__ import annotations

import random
import time

import pytest
from crash_server import ServerProcess, datasource

ROWS = 60_000
BODY_ROWS = 20_000


def quarantined(server: ServerProcess, name: str) -> None:
    """A data source whose quarantine has rows, of which the odd ones fit once `n` may be large."""
    server.deploy({f"datasources/{name}.datasource": datasource("n UInt16", "word String")})
    for first in range(0, ROWS, BODY_ROWS):
        rows = [
            {"n": each + 65_536 if each % 2 else "odd", "word": str(each)} for each in range(first, first + BODY_ROWS)
        ]
        assert server.post_events(name, *rows).status_code == 200
    wider = datasource("n UInt64", "word String")
    answer = server.http.post(f"/v0/datasources/{name}/evolve", json={"datafile": wider})
    assert answer.status_code == 200, answer.text
    if job := answer.json()["job"]:
        assert server.finished(job["id"])["status"] == "done"
    assert server.value(f"SELECT count() FROM {name}_quarantine") == ROWS


def kill_while_replaying(server: ServerProcess, name: str, kills: list[float]) -> None:
    quarantined(server, name)
    job = server.http.post(f"/v0/datasources/{name}/quarantine/replay").json()["job"]["id"]
    for seconds in kills:
        time.sleep(seconds)
        server.restarted()
    ended = server.finished(job, seconds=60)
    assert (ended["status"], ended["replayed_rows"], ended["left_rows"]) == ("done", ROWS // 2, ROWS // 2), ended
    for table, remainder in ((name, 1), (f"{name}_quarantine", 0)):
        (found,) = server.sql(
            "SELECT count() AS rows, uniqExact(word) AS different, "
            f"countIf(toUInt32(word) % 2 = {remainder}) AS mine FROM {table}"
        )
        assert found == {"rows": ROWS // 2, "different": ROWS // 2, "mine": ROWS // 2}, table


@pytest.mark.parametrize("seconds", [0.05, 0.4, 0.9])
def test_a_replay_that_is_killed_moves_every_row_once(server: ServerProcess, seconds: float) -> None:
    kill_while_replaying(server, "numbers_in", [seconds])
    assert server.stop() == 0
    assert server.tables_left_over() == []


@pytest.mark.torture
def test_replays_survive_kills_at_any_moment(server: ServerProcess) -> None:
    for number in range(20):
        kill_while_replaying(server, f"numbers_{number}", [random.uniform(0, 1.5)])


def test_a_replay_that_is_cancelled_or_fails_puts_the_rows_back(server: ServerProcess) -> None:
    quarantined(server, "numbers_in")
    needed = datasource("n UInt64", "word String", "more UInt8")
    assert server.http.post("/v0/datasources/numbers_in/evolve", json={"datafile": needed}).status_code == 200
    job = server.http.post("/v0/datasources/numbers_in/quarantine/replay").json()["job"]["id"]
    ended = server.finished(job, seconds=60)
    left = server.value("SELECT count() FROM numbers_in_quarantine") + server.value("SELECT count() FROM numbers_in")
    assert (ended["status"] in ("done", "error"), left) == (True, ROWS), ended

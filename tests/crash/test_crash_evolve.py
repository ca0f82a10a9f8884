"""A kill while a data source evolves under traffic: it comes to its end, and every acknowledged row is there once."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from crash_server import ServerProcess, copy, datasource, pipe, view

ROWS = 200_000
FIRST = datasource("n UInt64", "text String")
SECOND = datasource("n UInt64", "text String", "size UInt64", key="text, n")
PROJECT = {
    "datasources/events.datasource": FIRST,
    "datasources/seen.datasource": datasource("n UInt64"),
    "pipes/to_seen.pipe": view("SELECT n FROM events WHERE n % 10 = 0", "seen"),
    "pipes/fill.pipe": copy(
        f"SELECT number AS n, hex(sipHash128(number)) AS text FROM numbers({ROWS})", "events", "append"
    ),
    "pipes/total.pipe": pipe("SELECT count() AS n FROM events"),
}


class Sender:
    """Sends rows until it is told to end, also to a server that is away for a while."""

    def __init__(self, server: ServerProcess, first: int) -> None:
        self._server = server
        self._numbers = itertools.count(first)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged: list[int] = []
        self.doubtful: list[int] = []
        """Sent when the server died: they may be there."""

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            number = next(self._numbers)
            try:
                answer = self._server.post_events("events", {"n": number, "text": "live", "size": 1})
            except (httpx.HTTPError, RuntimeError):  # a client that is closed says so with the second
                self.doubtful.append(number)
                time.sleep(0.02)
            else:
                assert answer.status_code == 200, answer.text
                self.acknowledged.append(number)


def evolve(server: ServerProcess, text: str, **more: Any) -> str:
    answer = server.http.post("/v0/datasources/events/evolve", json={"datafile": text, **more})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["job"]["job_id"])


def prepared(server: ServerProcess) -> None:
    server.deploy(PROJECT)
    assert server.finished(server.post_copy("fill"), seconds=120)["status"] == "done"


@contextmanager
def sending(server: ServerProcess, first: int) -> Iterator[Sender]:
    with Sender(server, first) as sender:
        yield sender


def killed(server: ServerProcess, text: str, seconds: float, first: int, **more: Any) -> tuple[int, int]:
    """How many live rows there have to be, and how many there may be in addition."""
    with sending(server, first) as sender:
        job = evolve(server, text, **more)
        time.sleep(seconds)
        server.kill()
        server.start()
        ended = server.finished(job, seconds=180)
        assert ended["status"] == "done", ended
        time.sleep(0.2)
    stored = {row["n"] for row in server.sql(f"SELECT n FROM events WHERE n >= {first}")}
    assert set(sender.acknowledged) <= stored <= {*sender.acknowledged, *sender.doubtful}
    return len(sender.acknowledged), len(sender.doubtful)


def rows(server: ServerProcess, name: str) -> dict[str, int]:
    return server.sql(f"SELECT count() AS rows, uniqExact(n) AS different FROM {name}")[0]


def nothing_is_lost_or_doubled(server: ServerProcess, least: int, doubtful: int) -> None:
    found = rows(server, "events")
    assert found["rows"] == found["different"]
    assert least <= found["rows"] <= least + doubtful
    seen, tenth = rows(server, "seen"), server.value("SELECT count() FROM events WHERE n % 10 = 0")
    assert seen["rows"] == seen["different"]
    # Of a row that was not acknowledged a kill can leave the source without the view.
    assert tenth - doubtful <= seen["rows"] <= tenth
    server.stop()
    assert server.tables_left_over() == []
    server.start()


@pytest.mark.parametrize("seconds", [0.2, 0.8])
def test_an_evolution_that_is_killed_is_done_after_the_next_start(server: ServerProcess, seconds: float) -> None:
    prepared(server)
    sent, doubtful = killed(server, SECOND, seconds, 10_000_000, fill={"size": "length(text)"})
    nothing_is_lost_or_doubled(server, ROWS + sent, doubtful)
    assert server.value("SELECT count() FROM events WHERE size = 32") == ROWS
    assert server.http.get("/v0/datasources/events.datasource").text == SECOND


@pytest.mark.torture
def test_evolutions_there_and_back_survive_kills_at_any_moment(server: ServerProcess) -> None:
    prepared(server)
    least, doubtful = ROWS, 0
    for number in range(20):
        text, more = (FIRST, {"drop": ["size"]}) if number % 2 else (SECOND, {"fill": {"size": "length(text)"}})
        sent, unsure = killed(server, text, random.uniform(0, 2.5), 10_000_000 * (number + 1), **more)
        least, doubtful = least + sent, doubtful + unsure
        nothing_is_lost_or_doubled(server, least, doubtful)
        assert server.http.get("/v0/datasources/events.datasource").text == text

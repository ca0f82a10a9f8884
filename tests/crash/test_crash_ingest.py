"""A kill while clients send events: every acknowledged row is there, in the source and in what its views feed."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from itertools import count

import httpx
import pytest
from crash_server import ServerProcess, datasource, view

CLIENTS = 4
ROWS_PER_REQUEST = 3

PROJECT = {
    "datasources/events.datasource": datasource("id UInt64", "client UInt8"),
    "datasources/ids.datasource": datasource("id UInt64"),
    "datasources/per_client.datasource": datasource("client UInt8", "n UInt64", engine="SummingMergeTree"),
    "pipes/to_ids.pipe": view("SELECT id FROM events", "ids"),
    "pipes/to_per_client.pipe": view("SELECT client, toUInt64(count()) AS n FROM events GROUP BY client", "per_client"),
}


class Sender(threading.Thread):
    """Posts rows with new ids until the server is gone; every request has one misfit as well."""

    def __init__(self, url: str, token: str, client: int, ids: count[int]) -> None:
        super().__init__(daemon=True)
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        self._client = client
        self._ids = ids
        self.sent: set[int] = set()
        self.acknowledged: set[int] = set()
        self.misfits = 0
        self.refused: list[str] = []

    def run(self) -> None:
        while True:
            ids = [next(self._ids) for _ in range(ROWS_PER_REQUEST)]
            lines = [f'{{"id": {each}, "client": {self._client}}}' for each in ids]
            lines.append(f'{{"id": "misfit {ids[0]}", "client": {self._client}}}')
            self.sent.update(ids)
            try:
                answer = self._http.post(
                    "/v0/events",
                    params={"name": "events", "wait": random.choice(("true", "false"))},
                    content="\n".join(lines),
                )
            except httpx.HTTPError:
                return
            if answer.status_code not in (200, 202):
                self.refused.append(answer.text)
                return
            self.acknowledged.update(ids)
            self.misfits += 1


def send_until_killed(server: ServerProcess, ids: count[int], seconds: float) -> list[Sender]:
    token = server.http.headers["Authorization"].removeprefix("Bearer ")
    senders = [Sender(server.url, token, client, ids) for client in range(CLIENTS)]
    for sender in senders:
        sender.start()
    time.sleep(seconds)
    server.kill()
    for sender in senders:
        sender.join(30)
    return senders


def ids_of(server: ServerProcess, table: str) -> Counter[int]:
    return Counter(row["id"] for row in server.sql(f"SELECT id FROM {table}"))


def check_rounds(server: ServerProcess, rounds: int, seconds_max: float) -> None:
    server.deploy(PROJECT)
    ids = count(1)
    sent: set[int] = set()
    acknowledged: set[int] = set()
    misfits = requests = 0
    for _ in range(rounds):
        senders = send_until_killed(server, ids, random.uniform(0.1, seconds_max))
        assert [text for sender in senders for text in sender.refused] == []
        sent |= {each for sender in senders for each in sender.sent}
        acknowledged |= {each for sender in senders for each in sender.acknowledged}
        misfits += sum(sender.misfits for sender in senders)
        requests += sum(len(sender.sent) // ROWS_PER_REQUEST for sender in senders)
        server.start()

        for table in ("events", "ids"):
            found = ids_of(server, table)
            assert acknowledged - found.keys() == set()
            assert found.keys() - sent == set()
            assert [each for each, times in found.items() if times > 1] == []
        unanswered = len(sent - acknowledged)
        rows = server.value("SELECT count() FROM events")
        assert abs(server.value("SELECT sum(n) FROM per_client") - rows) <= unanswered
        assert server.value("SELECT sum(n) FROM per_client") >= len(acknowledged)
        assert misfits <= server.value("SELECT count() FROM events_quarantine") <= requests
    assert acknowledged, "nothing was acknowledged: the test tested nothing"


def test_acknowledged_events_survive_a_kill(server: ServerProcess) -> None:
    check_rounds(server, rounds=3, seconds_max=0.7)


@pytest.mark.torture
def test_acknowledged_events_survive_forty_kills(server: ServerProcess) -> None:
    check_rounds(server, rounds=40, seconds_max=2.0)


def test_a_request_repeated_after_a_kill_can_double_rows_but_never_lose_them(server: ServerProcess) -> None:
    """At least once: the server keeps no memory of requests, so a client that repeats must have ids to tell by."""
    server.deploy(PROJECT)
    row = {"id": 1, "client": 1}
    assert server.post_events("events", row).status_code == 200
    server.restarted()
    assert server.post_events("events", row).status_code == 200
    assert ids_of(server, "events") == ids_of(server, "ids") == Counter({1: 2})

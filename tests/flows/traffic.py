"""Senders and readers that go on while something is changed, and remember everything that went wrong."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from flows.flow_server import Server

SENDERS = 3

Record = Callable[[str], dict[str, Any]]
"""A row with that id."""


@dataclass
class Traffic:
    """`acknowledged` are the ids of rows that were answered as stored; `failures` what was answered otherwise."""

    acknowledged: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    """What the endpoint has answered, in order."""
    slowest_seconds: float = 0.0

    def wait_for_rows(self, more: int) -> None:
        """Returns when that many rows more have been acknowledged."""
        wanted = len(self.acknowledged) + more
        deadline = time.monotonic() + 60
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, self.failures[:3]
            time.sleep(0.01)


@contextmanager
def traffic(server: Server, datasource: str, record: Record, endpoint: str) -> Iterator[Traffic]:
    """Rows go into the data source, and the endpoint is asked, until the body ends; nothing of it may fail."""
    found, stop, numbers = Traffic(), threading.Event(), itertools.count()

    def client() -> httpx.Client:
        headers = {"Authorization": f"Bearer {server.admin_token}"}
        return httpx.Client(base_url=server.url, headers=headers, timeout=60)

    def send() -> None:
        with client() as http:
            while not stop.is_set():
                identity = f"live-{next(numbers)}"
                began = time.monotonic()
                answer = http.post("/v0/events", params={"name": datasource}, content=json.dumps(record(identity)))
                found.slowest_seconds = max(found.slowest_seconds, time.monotonic() - began)
                if answer.status_code == 202 and answer.json()["successful_rows"] == 1:
                    found.acknowledged.append(identity)
                else:
                    found.failures.append(f"{answer.status_code} {answer.text}")

    def ask() -> None:
        with client() as http:
            while not stop.is_set():
                answer = http.get(f"/v0/pipes/{endpoint}.json")
                if answer.status_code == 200:
                    found.answers.append(answer.json()["data"][0])
                else:
                    found.failures.append(f"{answer.status_code} {answer.text}")

    threads = [threading.Thread(target=send) for _ in range(SENDERS)] + [threading.Thread(target=ask)]
    for thread in threads:
        thread.start()
    try:
        found.wait_for_rows(20)
        yield found
        found.wait_for_rows(20)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert found.failures == []
    assert found.answers

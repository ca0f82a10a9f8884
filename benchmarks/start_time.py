"""How soon an existing workspace answers, and what an idle server holds."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.answer import Answer
from benchmarks.load import Request, alone, send
from benchmarks.server import Server

QUESTION = "How long from the command to the first answer, and how much memory when idle?"

DATASOURCES = (150, 300)
"""Each is two tables: its own and its quarantine."""
STARTS = 3
LIGHT_REQUESTS = 60
SCHEMA = "SCHEMA >\n    `ts` DateTime `json:$.ts`,\n    `name` String `json:$.name`\n\nENGINE_SORTING_KEY ts\n"
ROWS = b"\n".join(b'{"ts": "2024-05-01 10:00:00", "name": "row %d"}' % number for number in range(20))
SELECTS = ("SELECT count() FROM source_1", "SELECT name FROM source_2 LIMIT 3", "SELECT 1")


def run() -> list[Answer]:
    few, many = DATASOURCES
    return [*_answers(few, at_most_seconds=2.0, at_most_mb=450), *_answers(many)]


def _answers(datasources: int, at_most_seconds: float | None = None, at_most_mb: float | None = None) -> list[Answer]:
    with tempfile.TemporaryDirectory(prefix="birdhouse-bench-") as folder:
        data_dir = Path(folder) / "server"
        with Server(data_dir) as server, alone() as client:
            files = {f"datasources/source_{number}.datasource": SCHEMA for number in range(datasources)}
            server.client.deploy(files)
            posts = [Request(f"/v0/events?name=source_{number}&wait=true", ROWS) for number in range(datasources)]
            client.submit(send, server.port, server.token, posts, 4).result()
        seconds, started_mb, used_mb = [], [], []
        with alone() as client:
            for _ in range(STARTS):
                with Server(data_dir) as server:
                    seconds.append(server.start_seconds)
                    started_mb.append(server.resident_mb())
                    light = [_light(number) for number in range(LIGHT_REQUESTS)]
                    client.submit(send, server.port, server.token, light, 4).result()
                    used_mb.append(server.resident_mb())
    about = f"with {2 * datasources} tables"
    return [
        Answer(f"first answer {about}", statistics.median(seconds), "s", at_most=at_most_seconds),
        Answer(f"memory after start {about}", statistics.median(started_mb), "MB", at_most=at_most_mb),
        Answer(f"memory after {LIGHT_REQUESTS} requests {about}", statistics.median(used_mb), "MB", at_most=at_most_mb),
    ]


def _light(number: int) -> Request:
    return Request("/v0/sql", f"{SELECTS[number % len(SELECTS)]} FORMAT JSON".encode())

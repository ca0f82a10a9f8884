"""What it costs an endpoint call to be recorded in the service data sources.

Two servers, of which one records nothing, differ by less than two runs of the same one. So the two parts of the cost
are measured each by itself: what a call notes, in this process, and what a write takes while the server does nothing
else.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from benchmarks.answer import Answer
from benchmarks.endpoint_cpu import FILES
from benchmarks.load import Request, alone, send
from benchmarks.server import Server
from birdhouse.engine.protocol import Engine
from birdhouse.usage.recorder import Recorder
from birdhouse.usage.requests import Requested

QUESTION = "How much of the CPU of an endpoint call goes into its record?"

CONNECTIONS = 4
ROUNDS = 5
NOTED = 20_000
OVERHEAD_PERCENT_MAX = 3.0


@dataclass(frozen=True, slots=True)
class Case:
    """`calls` of a round take about as long as the server waits between two writes under such a load."""

    name: str
    path: str
    calls: int


CASES = (
    Case("constant query", "/v0/pipes/constant.json?add={}", 4_000),
    Case("point query", "/v0/pipes/point.json?segment={}", 1_500),
)


def run() -> list[Answer]:
    noting_ms = statistics.median(_noting_ms() for _ in range(ROUNDS))
    with tempfile.TemporaryDirectory(prefix="birdhouse-bench-") as folder, Server(Path(folder) / "server") as server:
        server.client.deploy(FILES)
        server.copy("fill_visits")
        with alone() as client:
            return [_measure(case, server, client, noting_ms) for case in CASES]


def _measure(case: Case, server: Server, client: ProcessPoolExecutor, noting_ms: float) -> Answer:
    rounds = [_round(case, server, client) for _ in range(ROUNDS + 1)][1:]  # the first one warms up
    calls_ms, writes_ms = (statistics.median(each) for each in zip(*rounds, strict=True))
    record_ms = noting_ms + writes_ms
    rest_ms = calls_ms - noting_ms
    note = (
        f"{noting_ms * 1e3:.1f} µs to note and {writes_ms * 1e3:.1f} µs to write, {rest_ms * 1e3:.0f} µs for the rest"
    )
    return Answer(case.name, 100 * record_ms / rest_ms, "%", at_most=OVERHEAD_PERCENT_MAX, note=note)


def _round(case: Case, server: Server, client: ProcessPoolExecutor) -> tuple[float, float]:
    """CPU per call while the calls were answered, and per row of a write, merges included.

    Some of the rows are written before the end of the calls, and so their cost is in both figures.
    """
    _write(server)
    requests = [Request(case.path.format(each)) for each in range(case.calls)]
    before = server.cpu_seconds()
    client.submit(send, server.port, server.token, requests, CONNECTIONS).result()
    calls_ms = (server.cpu_seconds() - before) / case.calls * 1e3
    rows, before = _rows(server), server.cpu_seconds()
    _write(server)
    writes_ms = (server.cpu_seconds() - before) * 1e3
    return calls_ms, writes_ms / (_rows(server) - rows)


def _write(server: Server) -> None:
    server.post("/v0/service_datasources/refresh")
    time.sleep(0.5)  # for the merges


def _rows(server: Server) -> int:
    answer = server.post("/v0/sql", b"SELECT count() AS rows FROM tinybird.pipe_stats_rt FORMAT JSON")
    return int(answer["data"][0]["rows"])


def _noting_ms() -> float:
    recorder = Recorder(cast(Engine, None), lambda: None)
    started = time.perf_counter()
    for number in range(NOTED):
        recorder.note(_requested(number))
    return (time.perf_counter() - started) / NOTED * 1e3


def _requested(number: int) -> Requested:
    about: dict[str, Any] = {"workspace_id": "0" * 36, "pipe_id": "t_" + "0" * 32, "token": "1" * 36}
    answered = {"duration": 0.0021, "read_bytes": 40_960, "read_rows": 8_192, "result_rows": 20, "status_code": 200}
    return Requested(
        **about,
        **answered,
        start_datetime=datetime.now(UTC),
        pipe_name="point",
        token_name="point_read",
        url=f"/v0/pipes/point.json?segment={number}",
        error_message=None,
        request_id=f"{number:032x}",
        parameters={"segment": str(number)},
        method="GET",
        user_agent="python-httpx/0.28.1",
        client_ip="127.0.0.1",
    )

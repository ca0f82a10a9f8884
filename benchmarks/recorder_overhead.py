"""What it costs an endpoint call to be recorded in the service data sources."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.answer import Answer
from benchmarks.endpoint_cpu import FILES
from benchmarks.load import Request, alone, send
from benchmarks.server import Server

QUESTION = "How much more CPU does an endpoint call use when it is recorded than when nothing is?"

CONNECTIONS = 4
ROUNDS = 3
WARM_UP_CALLS = 500
OVERHEAD_PERCENT_MAX = 3.0


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    path: str
    calls: int
    """Of a round, which has to be long against the pauses between two writes."""


CASES = (
    Case("constant query", "/v0/pipes/constant.json?add={}", 12_000),
    Case("point query", "/v0/pipes/point.json?segment={}", 4_000),
)


def run() -> list[Answer]:
    with tempfile.TemporaryDirectory(prefix="birdhouse-bench-") as folder:
        recording, silent = Path(folder) / "recording", Path(folder) / "silent"
        with Server(recording) as server:
            server.client.deploy(FILES)
            server.copy("fill_visits")
        shutil.copytree(recording, silent, symlinks=True)
        with Server(recording) as on, Server(silent, {"usage_recorded": "false"}) as off, alone() as a, alone() as b:
            return [_measure(case, (on, off), (a, b)) for case in CASES]


def _measure(case: Case, servers: tuple[Server, Server], clients: tuple[ProcessPoolExecutor, ...]) -> Answer:
    """Both servers work at the same time over the same data, so that the machine's mood meets both alike."""
    _cpu_ms(case, WARM_UP_CALLS, servers, clients)
    rounds = [_cpu_ms(case, case.calls, servers, clients) for _ in range(ROUNDS)]
    on_ms, off_ms = (statistics.median(each) for each in zip(*rounds, strict=True))
    ratio = statistics.median(recorded / silent for recorded, silent in rounds)
    note = f"{on_ms:.3f} ms against {off_ms:.3f} ms"
    return Answer(case.name, 100 * (ratio - 1), "%", at_most=OVERHEAD_PERCENT_MAX, note=note)


def _cpu_ms(
    case: Case, calls: int, servers: tuple[Server, Server], clients: tuple[ProcessPoolExecutor, ...]
) -> tuple[float, ...]:
    """Of each server, per call. What still waits to be written at the end is written within the time that counts."""
    requests = [Request(case.path.format(each)) for each in range(calls)]
    used = [server.cpu_seconds() for server in servers]
    pairs = zip(clients, servers, strict=True)
    for done in [client.submit(send, each.port, each.token, requests, CONNECTIONS) for client, each in pairs]:
        done.result()
    for server in servers:
        server.post("/v0/service_datasources/refresh")
    return tuple((each.cpu_seconds() - before) / calls * 1e3 for each, before in zip(servers, used, strict=True))

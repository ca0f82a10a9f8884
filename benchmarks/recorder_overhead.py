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
ROUNDS = 9
OVERHEAD_PERCENT_MAX = 3.0


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    path: str
    calls: int


CASES = (
    Case("constant query", "/v0/pipes/constant.json?add={}", 4000),
    Case("point query", "/v0/pipes/point.json?segment={}", 1000),
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
    on_ms, off_ms = [], []
    for number in range(ROUNDS + 1):
        requests = [Request(case.path.format(number * case.calls + each)) for each in range(case.calls)]
        used = [server.cpu_seconds() for server in servers]
        pairs = zip(clients, servers, strict=True)
        for done in [client.submit(send, each.port, each.token, requests, CONNECTIONS) for client, each in pairs]:
            done.result()
        for server in servers:
            server.post("/v0/service_datasources/refresh")  # what still waits to be written counts
        spent = [(each.cpu_seconds() - before) * 1e3 for each, before in zip(servers, used, strict=True)]
        on_ms.append(spent[0] / case.calls)
        off_ms.append(spent[1] / case.calls)
    del on_ms[0], off_ms[0]  # the first round warms both up
    ratio = statistics.median(recorded / silent for recorded, silent in zip(on_ms, off_ms, strict=True))
    note = f"{statistics.median(on_ms):.3f} ms against {statistics.median(off_ms):.3f} ms"
    return Answer(case.name, 100 * (ratio - 1), "%", at_most=OVERHEAD_PERCENT_MAX, note=note)

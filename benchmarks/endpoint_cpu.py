"""What an endpoint call costs on top of its query."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from benchmarks import bare
from benchmarks.answer import Answer
from benchmarks.load import Request, alone, send
from benchmarks.server import Server
from birdhouse.catalog.catalog import Catalog
from birdhouse.clock import SystemClock
from birdhouse.metadata.database import Database
from birdhouse.query.compose import Composer

QUESTION = "How much CPU does an endpoint call use, compared with its query in the bare engine?"

ROWS = 5_000_000
CONNECTIONS = 4
ROUNDS = 21

FILES = {
    "datasources/visits.datasource": """\
SCHEMA >
    `id` String,
    `segmentId` String,
    `ts` DateTime,
    `v` UInt32,
    `updatedAt` DateTime64(3)

ENGINE ReplacingMergeTree
ENGINE_PARTITION_KEY toYear(ts)
ENGINE_SORTING_KEY segmentId, ts, id
ENGINE_VER updatedAt
""",
    "pipes/fill_visits.pipe": f"""\
NODE rows
SQL >
    SELECT
        toString(number) AS id,
        toString(number % 1000) AS segmentId,
        toDateTime('2020-01-01 00:00:00') + number * 20 AS ts,
        toUInt32(number % 7) AS v,
        toDateTime64('2024-01-01 00:00:00', 3) AS updatedAt
    FROM numbers({ROWS})

TYPE COPY
TARGET_DATASOURCE visits
COPY_SCHEDULE @on-demand
COPY_MODE replace
""",
    "pipes/one.pipe": """\
NODE row
SQL >
    SELECT 1 AS x
""",
    "pipes/constant.pipe": """\
NODE answer
SQL >
    %
    SELECT x + {{Int32(add, 1)}} AS y FROM one

TYPE ENDPOINT
""",
    "pipes/visits_from.pipe": """\
NODE rows
SQL >
    %
    SELECT id, segmentId, ts, v FROM visits WHERE ts >= {{DateTime(since, '2021-01-01 00:00:00')}}
""",
    "pipes/point.pipe": """\
NODE answer
SQL >
    %
    SELECT id, ts, v FROM visits_from WHERE segmentId = {{String(segment, '17')}} LIMIT 20

TYPE ENDPOINT
""",
    "pipes/full_scan.pipe": """\
NODE answer
SQL >
    %
    SELECT v, count() AS c, avg(toUnixTimestamp(ts)) AS m
    FROM visits_from
    WHERE v <= {{Int32(most, 7)}}
    GROUP BY v
    ORDER BY v

TYPE ENDPOINT
""",
}


@dataclass(frozen=True, slots=True)
class Case:
    """`values` gives the parameters of the nth call."""

    name: str
    pipe: str
    calls: int
    at_most: float
    values: Callable[[int], dict[str, str]]


def _since(number: int) -> str:
    return f"2021-{1 + number % 12:02}-{1 + number // 12 % 28:02} {number % 24:02}:{number % 60:02}:{number % 59:02}"


CASES = (
    Case("constant query, same parameters", "constant", 500, 1.5, lambda _: {"add": "2"}),
    Case("constant query, new parameters each time", "constant", 500, 1.5, lambda n: {"add": str(n)}),
    Case("point query, same parameters", "point", 150, 1.15, lambda _: {"segment": "17"}),
    Case(
        "point query, new parameters each time",
        "point",
        150,
        1.15,
        lambda n: {"segment": str(n % 1000), "since": _since(n)},
    ),
    Case("full scan, same parameters", "full_scan", 15, 1.02, lambda _: {"since": "2020-01-01 00:00:00"}),
    Case("full scan, new parameters each time", "full_scan", 15, 1.02, lambda n: {"since": f"2020-01-01 {_clock(n)}"}),
)


def _clock(number: int) -> str:
    return f"{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"


def run() -> list[Answer]:
    with tempfile.TemporaryDirectory(prefix="birdhouse-bench-") as folder:
        data_dir, copy_dir = Path(folder) / "server", Path(folder) / "bare"
        _fill(data_dir, copy_dir)
        with Server(data_dir) as server, alone() as client, alone() as engine:
            for settings in (bare.READS, bare.READS_AS_OURS):
                engine.submit(bare.open_connections, copy_dir, settings, CONNECTIONS).result()
            tokens = {pipe: server.token_for(pipe) for pipe in ("constant", "point", "full_scan")}
            return [each for case in CASES for each in _measure(case, server, tokens[case.pipe], client, engine)]


def _fill(data_dir: Path, copy_dir: Path) -> None:
    """The same parts for both: rows are written through the server, merged, and the directory is copied."""
    with Server(data_dir) as server:
        server.client.deploy(FILES)
        server.copy("fill_visits")
        table = asyncio.run(_composed(data_dir, "visits_from", [{}]))[0].partition("FROM ")[2].split()[0]
    with alone() as engine:
        engine.submit(bare.open_connections, data_dir / "engine", bare.WRITES, 1).result()
        engine.submit(bare.execute, f"OPTIMIZE TABLE {table} FINAL").result()
    shutil.copytree(data_dir / "engine", copy_dir, symlinks=True)


async def _composed(data_dir: Path, pipe: str, parameters: Sequence[dict[str, str]]) -> list[str]:
    """The SQL that the server gives to its engine for these calls."""
    database = Database.open(f"sqlite:///{data_dir / 'metadata.sqlite'}")
    catalog = Catalog(database, SystemClock())
    await catalog.load()
    database.close()
    workspace = catalog.named("local")
    assert workspace is not None
    return [Composer(workspace, each).pipe(workspace.pipe(pipe)).sql for each in parameters]


def _measure(
    case: Case, server: Server, token: str, client: ProcessPoolExecutor, engine: ProcessPoolExecutor
) -> list[Answer]:
    """Short rounds in turns, so that a change of the machine's mood meets all. The median ratio of them counts."""
    ours_ms: list[float] = []
    bare_ms: dict[str, list[float]] = {bare.READS: [], bare.READS_AS_OURS: []}
    for number in range(ROUNDS + 1):
        values = [case.values(n) for n in range(number * case.calls, (number + 1) * case.calls)]
        requests = [Request(f"/v0/pipes/{case.pipe}.json?{urlencode(each)}") for each in values]
        statements = asyncio.run(_composed(server.data_dir, case.pipe, values))
        used = server.cpu_seconds()
        client.submit(send, server.port, token, requests, CONNECTIONS).result()
        ours_ms.append((server.cpu_seconds() - used) / case.calls * 1e3)
        for settings, found in bare_ms.items():
            direct = engine.submit(bare.query_all, statements, settings).result()
            found.append(direct.cpu_seconds / case.calls * 1e3)
    return [
        _answer(case.name, ours_ms, bare_ms[bare.READS], case.at_most),
        _answer(f"{case.name}, engine with the server's settings", ours_ms, bare_ms[bare.READS_AS_OURS]),
    ]


def _answer(subject: str, ours_ms: list[float], bare_ms: list[float], at_most: float | None = None) -> Answer:
    ours_ms, bare_ms = ours_ms[1:], bare_ms[1:]  # the first round warms both up
    ratio = statistics.median(ours / direct for ours, direct in zip(ours_ms, bare_ms, strict=True))
    note = f"{statistics.median(ours_ms):.2f} ms against {statistics.median(bare_ms):.2f} ms"
    return Answer(subject, ratio, "×", at_most=at_most, note=note)

"""How many rows a second a copy writes."""

from __future__ import annotations

import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path

from benchmarks import bare
from benchmarks.answer import Answer
from benchmarks.load import alone
from benchmarks.server import Server
from birdhouse.deploy import ddl
from birdhouse.engine.types import TableName
from birdhouse.language.datafile.model import DataSourceDefinition
from birdhouse.language.datafile.parse import parse_datafile

QUESTION = "How many rows a second does a copy write, compared with INSERT … SELECT in the bare engine?"

ROWS = 3_000_000
ROUNDS = 5
SHARDS = 4
JOBS = "async_insert=0&joined_subquery_requires_alias=0&session_timezone=UTC&max_memory_usage=4000000000"

SCHEMA = """\
SCHEMA >
    `id` String,
    `segmentId` String,
    `ts` DateTime,
    `v` UInt32,
    `updatedAt` DateTime64(3)

ENGINE MergeTree
ENGINE_PARTITION_KEY toYear(ts)
ENGINE_SORTING_KEY segmentId, ts, id
"""
FILL = f"""\
SELECT toString(number) AS id, toString(number % 1000) AS segmentId,
    toDateTime('2020-01-01 00:00:00') + number * 20 AS ts, toUInt32(number % 7) AS v,
    toDateTime64('2024-01-01 00:00:00', 3) AS updatedAt
FROM numbers({ROWS})"""
MODES = {
    "replace": "",
    "append": "",
    f"replace in {SHARDS} slices": f'TAGS "shard_key=segmentId&shards={SHARDS}"\n',
}


def run() -> list[Answer]:
    with tempfile.TemporaryDirectory(prefix="birdhouse-bench-") as folder, Server(Path(folder) / "server") as server:
        server.client.deploy(_files())
        server.copy("fill")
        with alone() as engine:
            engine.submit(bare.open_connections, Path(folder) / "bare", JOBS, 1).result()
            engine.submit(prepare).result()
            direct: list[float] = []
            ours: dict[str, list[float]] = {mode: [] for mode in MODES}
            for number in range(ROUNDS + 1):
                seconds = engine.submit(insert_select).result()
                took = {mode: _copy(server, f"copy_{place}") for place, mode in enumerate(MODES)}
                if number:  # the first round warms both up
                    direct.append(ROWS / seconds)
                    for mode, each in took.items():
                        ours[mode].append(ROWS / each)
    return [_answer(mode, ours[mode], direct) for mode in MODES]


def _answer(mode: str, ours: list[float], direct: list[float]) -> Answer:
    ratio = statistics.median(one / other for one, other in zip(ours, direct, strict=True))
    note = f"{statistics.median(ours):,.0f} rows/s against {statistics.median(direct):,.0f}"
    return Answer(mode, ratio, "×", at_least=0.9 if mode in ("replace", "append") else None, note=note)


def _files() -> dict[str, str]:
    names = ("source", *(f"target_{place}" for place in range(len(MODES))))
    pipes = {
        f"pipes/copy_{place}.pipe": _pipe("SELECT * FROM source", f"target_{place}", mode.split()[0], tags)
        for place, (mode, tags) in enumerate(MODES.items())
    }
    sources = {f"datasources/{name}.datasource": SCHEMA for name in names}
    return {**sources, **pipes, "pipes/fill.pipe": _pipe(FILL.replace("\n", " "), "source", "replace", "")}


def _pipe(sql: str, target: str, mode: str, tags: str) -> str:
    return f"NODE n\nSQL >\n    {sql}\n\nTYPE COPY\nTARGET_DATASOURCE {target}\nCOPY_MODE {mode}\n{tags}"


def _copy(server: Server, pipe: str) -> float:
    """The seconds between the start of the job and its end; its target is empty before."""
    server.post(f"/v0/datasources/{pipe.replace('copy', 'target')}/truncate")
    job = server.copy(pipe)
    return (datetime.fromisoformat(job["updated_at"]) - datetime.fromisoformat(job["started_at"])).total_seconds()


def prepare() -> None:
    """In the bare process: the same tables, by the statements that the server writes for them."""
    definition = parse_datafile(SCHEMA, file="source.datasource")
    assert isinstance(definition, DataSourceDefinition)
    bare.execute("CREATE DATABASE bench")
    for name in ("source", "target"):
        bare.execute(ddl.create_table(TableName("bench", name), definition.columns, definition.engine))
    bare.execute(f"INSERT INTO bench.source {FILL}")


def insert_select() -> float:
    """In the bare process; the seconds it took."""
    bare.execute("TRUNCATE TABLE bench.target")
    started = time.perf_counter()
    bare.connections()[0].query("INSERT INTO bench.target SELECT * FROM bench.source", "Null")
    return time.perf_counter() - started

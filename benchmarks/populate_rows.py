"""How many rows a second a populate brings into a view's target."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks import bare
from benchmarks.answer import Answer
from benchmarks.copy_rows import JOBS, SCHEMA
from benchmarks.load import alone
from benchmarks.server import Server
from birdhouse.deploy import ddl
from birdhouse.engine.types import TableName
from birdhouse.language.datafile.model import DataSourceDefinition
from birdhouse.language.datafile.parse import parse_datafile

QUESTION = "How many rows a second does a populate read, compared with INSERT … SELECT in the bare engine?"

ROWS = 5_000_000
ROUNDS = 5
FILL = f"""\
SELECT toString(number) AS id, toString(number % 1000) AS segmentId,
    toDateTime('2020-01-01 00:00:00') + number * 20 AS ts, toUInt32(number % 7) AS v,
    toDateTime64('2024-01-01 00:00:00', 3) AS updatedAt
FROM numbers({ROWS})"""
STATES = """\
SCHEMA >
    `day` Date,
    `segmentId` String,
    `visits` AggregateFunction(count),
    `ids` AggregateFunction(uniq, String),
    `latest` AggregateFunction(argMax, UInt32, DateTime64(3))

ENGINE AggregatingMergeTree
ENGINE_SORTING_KEY segmentId, day
"""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    target: str
    schema: str
    select: str


CASES = (
    Case(
        "rows in another order",
        "by_time",
        SCHEMA.replace("SORTING_KEY segmentId, ts, id", "SORTING_KEY ts, id"),
        "SELECT id, segmentId, ts, v, updatedAt FROM {source}",
    ),
    Case(
        "states per day",
        "per_day",
        STATES,
        "SELECT toDate(ts) AS day, segmentId, countState() AS visits, uniqState(id) AS ids, "
        "argMaxState(v, updatedAt) AS latest FROM {source} GROUP BY day, segmentId",
    ),
)


def run() -> list[Answer]:
    with tempfile.TemporaryDirectory(prefix="birdhouse-bench-") as folder, Server(Path(folder) / "server") as server:
        server.client.deploy(_tables())
        server.copy("fill")
        server.client.deploy({f"pipes/{case.target}_view.pipe": _view(case) for case in CASES})
        with alone() as engine:
            engine.submit(bare.open_connections, Path(folder) / "bare", JOBS, 1).result()
            engine.submit(prepare).result()
            direct: dict[str, list[float]] = {case.name: [] for case in CASES}
            ours: dict[str, list[float]] = {f"{case.name}, {way}": [] for case in CASES for way in ("added", "anew")}
            for number in range(ROUNDS + 1):
                for case in CASES:
                    bare_seconds = engine.submit(insert_select, case.target).result()
                    added, anew = (_populate(server, case, truncate=truncate) for truncate in (False, True))
                    if number:  # the first round warms both up
                        direct[case.name].append(ROWS / bare_seconds)
                        ours[f"{case.name}, added"].append(ROWS / added)
                        ours[f"{case.name}, anew"].append(ROWS / anew)
    return [_answer(name, ours[name], direct[name.rpartition(",")[0]]) for name in ours]


def _answer(name: str, ours: list[float], direct: list[float]) -> Answer:
    ratio = statistics.median(one / other for one, other in zip(ours, direct, strict=True))
    note = f"{statistics.median(ours):,.0f} rows/s against {statistics.median(direct):,.0f}"
    return Answer(name, ratio, "×", at_least=0.85, note=note)


def _tables() -> dict[str, str]:
    targets = {f"datasources/{case.target}.datasource": case.schema for case in CASES}
    fill = f"NODE n\nSQL >\n    {FILL.replace(chr(10), ' ')}\n\nTYPE COPY\nTARGET_DATASOURCE source\n"
    return {"datasources/source.datasource": SCHEMA, **targets, "pipes/fill.pipe": fill}


def _view(case: Case) -> str:
    sql = case.select.format(source="source")
    return f"NODE n\nSQL >\n    {sql}\n\nTYPE materialized\nDATASOURCE {case.target}\n"


def _populate(server: Server, case: Case, *, truncate: bool) -> float:
    """The seconds between the start of the job and its end; without truncate its target is empty before."""
    if not truncate:
        server.post(f"/v0/datasources/{case.target}/truncate")
    job = server.ended(server.client.populate(f"{case.target}_view", {"truncate": truncate})["job_id"])
    return (datetime.fromisoformat(job["updated_at"]) - datetime.fromisoformat(job["started_at"])).total_seconds()


def prepare() -> None:
    """In the bare process: the same tables, by the statements that the server writes for them."""
    bare.execute("CREATE DATABASE bench")
    for name, schema in (("source", SCHEMA), *((case.target, case.schema) for case in CASES)):
        definition = parse_datafile(schema, file=f"{name}.datasource")
        assert isinstance(definition, DataSourceDefinition)
        bare.execute(ddl.create_table(TableName("bench", name), definition.columns, definition.engine))
    bare.execute(f"INSERT INTO bench.source {FILL}")


def insert_select(target: str) -> float:
    """In the bare process; the seconds it took."""
    case = next(each for each in CASES if each.target == target)
    bare.execute(f"TRUNCATE TABLE bench.{target}")
    started = time.perf_counter()
    statement = f"INSERT INTO bench.{target} {case.select.format(source='bench.source')}"
    bare.connections()[0].query(statement, "Null")
    return time.perf_counter() - started

"""How many rows a second the events API takes, and what durability costs."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson

from benchmarks import bare
from benchmarks.answer import Answer
from benchmarks.load import Request, alone, send
from benchmarks.server import Server
from birdhouse.deploy import ddl
from birdhouse.engine.types import TableName
from birdhouse.language.datafile.model import DataSourceDefinition
from birdhouse.language.datafile.parse import parse_datafile

QUESTION = "How many rows a second does POST /v0/events take, compared with encoder and INSERT used directly?"

ROWS_PER_BODY = 10_000
BODIES_PER_ROUND = 12
ROUNDS = 5
EVENT_BYTES = 895
NOT_DURABLE = "fsync_after_insert=0, fsync_part_directory=0"

SCHEMA = """\
SCHEMA >
    `id` String `json:$.record.id`,
    `type` LowCardinality(String) `json:$.record.type`,
    `ts` DateTime `json:$.record.timestamp`,
    `updatedAt` DateTime64(3) `json:$.record.updatedAt`,
    `score` Int8 `json:$.record.score` DEFAULT -1,
    `isBot` Bool `json:$.record.isBot`,
    `n` Nullable(Int32) `json:$.record.n`,
    `memberId` String `json:$.record.memberId`,
    `orgId` Nullable(String) `json:$.record.organizationId`,
    `segmentId` String `json:$.record.segmentId`,
    `platform` LowCardinality(String) `json:$.record.platform`,
    `username` String `json:$.record.user.name`,
    `email` String `json:$.record.user.email`,
    `big` Int64 `json:$.record.big`,
    `tags` Array(String) `json:$.record.tags[:]`,
    `url` String `json:$.record.url`,
    `title` String `json:$.record.title`,
    `body` String `json:$.record.body`

ENGINE MergeTree
ENGINE_SORTING_KEY segmentId, ts, id
"""
WORDS = (
    "each",
    "night",
    "two",
    "quiet",
    "owls",
    "count",
    "late",
    "commits",
    "above",
    "our",
    "old",
    "café",
    "roof",
    "屋根",
)


def run() -> list[Answer]:
    bodies = _bodies()
    with tempfile.TemporaryDirectory(prefix="birdhouse-bench-") as folder, Server(Path(folder) / "server") as server:
        server.client.deploy(
            {
                "datasources/durable.datasource": SCHEMA,
                "datasources/quick.datasource": f'{SCHEMA}ENGINE_SETTINGS "{NOT_DURABLE}"\n',
            }
        )
        with alone() as client, alone() as engine:
            engine.submit(bare.open_connections, Path(folder) / "bare", bare.WRITES, 4).result()
            for name, durable in (("durable", True), ("quick", False)):
                engine.submit(create_table, name, durable).result()
            ours: dict[str, list[float]] = {}
            direct: dict[str, list[float]] = {}
            for number in range(ROUNDS + 1):
                for name, senders in (("durable", 1), ("durable", 4), ("quick", 1)):
                    requests = [Request(f"/v0/events?name={name}&wait=true", body) for body in bodies]
                    seconds = client.submit(send, server.port, server.token, requests, senders).result()
                    bare_seconds = engine.submit(insert_all, name, bodies, senders).result()
                    if number:  # the first round warms both up
                        key = f"{name} {senders}"
                        ours.setdefault(key, []).append(len(bodies) * ROWS_PER_BODY / seconds)
                        direct.setdefault(key, []).append(len(bodies) * ROWS_PER_BODY / bare_seconds)
    return _answers(ours, direct)


def _answers(ours: dict[str, list[float]], direct: dict[str, list[float]]) -> list[Answer]:
    def ratio(above: Sequence[float], below: Sequence[float]) -> float:
        return statistics.median(one / other for one, other in zip(above, below, strict=True))

    def rates(key: str) -> str:
        return f"{statistics.median(ours[key]):,.0f} rows/s against {statistics.median(direct[key]):,.0f}"

    return [
        Answer("one sender", ratio(ours["durable 1"], direct["durable 1"]), "×", at_least=0.8, note=rates("durable 1")),
        Answer(
            "four senders", ratio(ours["durable 4"], direct["durable 4"]), "×", at_least=0.8, note=rates("durable 4")
        ),
        Answer("one sender, both without fsync", ratio(ours["quick 1"], direct["quick 1"]), "×", note=rates("quick 1")),
        Answer("server, fsync against none", ratio(ours["durable 1"], ours["quick 1"]), "×"),
        Answer("engine, fsync against none", ratio(direct["durable 1"], direct["quick 1"]), "×"),
    ]


def _bodies() -> list[bytes]:
    chance = random.Random(1)
    rows = [orjson.dumps(_event(number, chance)) for number in range(BODIES_PER_ROUND * ROWS_PER_BODY)]
    size = sum(map(len, rows)) / len(rows)
    assert abs(size - EVENT_BYTES) < 10, f"an event has {size:.0f} bytes"
    return [b"\n".join(rows[first : first + ROWS_PER_BODY]) for first in range(0, len(rows), ROWS_PER_BODY)]


def _event(number: int, chance: random.Random) -> dict[str, object]:
    day = 1 + number % 28
    record: dict[str, object] = {
        "id": f"{number:032x}",
        "type": chance.choice(["pr-opened", "issue-closed", "authored-commit", "star"]),
        "timestamp": f"2024-{1 + number % 12:02}-{day:02} {number % 24:02}:{number % 60:02}:00",
        "updatedAt": f"2024-05-{day:02} 10:11:12.{number % 1000:03}",
        "score": number % 100,
        "isBot": number % 9 == 0,
        "n": None if number % 3 == 0 else number % 100_000,
        "memberId": f"{number % 5000:032x}",
        "organizationId": None if number % 4 else f"{number % 300:032x}",
        "segmentId": f"{number % 200:032x}",
        "platform": "github",
        "user": {"name": f"user{number % 5000}", "email": f"user{number % 5000}@example.org"},
        "big": 2**53 + number,
        "tags": [chance.choice(WORDS) for _ in range(number % 4)],
        "url": f"https://example.org/acme/repo{number % 300}/pull/{number}",
        "title": " ".join(chance.choices(WORDS, k=6)),
        "body": " ".join(chance.choices(WORDS, k=40)),
    }
    event: dict[str, object] = {"op": "u", "table": "activities", "record": record}
    record["body"] = f"{record['body']} {'.' * max(0, EVENT_BYTES - 1 - len(orjson.dumps(event)))}"
    return event


def definition() -> DataSourceDefinition:
    found = parse_datafile(SCHEMA, file="durable.datasource")
    assert isinstance(found, DataSourceDefinition)
    return found


def create_table(name: str, durable: bool) -> None:
    """In the bare process, by the statement that the server writes for such a data source."""
    bare.execute("CREATE DATABASE IF NOT EXISTS bench")
    table = TableName("bench", name)
    bare.execute(ddl.create_table(table, definition().columns, definition().engine, durable=durable))


def insert_all(name: str, bodies: Sequence[bytes], threads_count: int) -> float:
    """In the bare process: the toolset's encoder and an INSERT for each body; the seconds it took."""
    columns = definition().columns
    into = f"bench.{name} ({', '.join(f'`{column.name}`' for column in columns)})"

    def work(number: int) -> None:
        encoder = bare.encoder(columns)
        for body in bodies[number::threads_count]:
            good, _, good_rows, _ = encoder.encode_bytes(body)
            assert good_rows == ROWS_PER_BODY
            bare.insert(bare.connections()[number], into, good, uuid.uuid4().hex)

    started = time.perf_counter()
    with ThreadPoolExecutor(threads_count) as threads:
        list(threads.map(work, range(threads_count)))
    return time.perf_counter() - started

"""What it costs to take rows that all views of the data project are about."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from benchmarks import bare
from benchmarks.answer import Answer
from benchmarks.load import Request, alone, send
from benchmarks.server import Server
from birdhouse.cli.project import bundled_insights, read_project
from birdhouse.language.datafile.model import Column, DataSourceDefinition
from birdhouse.language.datafile.parse import parse_datafile

QUESTION = "How many activity relations a second go in, with all views of insights, compared with the bare engine?"

ACTIVITIES = 150_000
ROWS_PER_BODY = 5_000
BODIES_PER_ROUND = 3
ROUNDS = 5
RELATIONS = "activityRelations"
LOOKED_UP = ("organizations", "members", "repositories", "segments", "insightsProjects")
"""What the views join; sent before."""


def run() -> list[Answer]:
    with tempfile.TemporaryDirectory(prefix="birdhouse-bench-") as name:
        folder = Path(name)
        bodies = _simulated(folder / "community")
        table = _prepared(folder)
        with Server(folder / "server") as server, alone() as client, alone() as engine:
            views = sum(each["type"] == "materialized" for each in server.client.pipes())
            engine.submit(bare.open_connections, folder / "bare", bare.WRITES, 1).result()
            ours: list[float] = []
            direct: list[float] = []
            for number in range(ROUNDS + 1):
                some = bodies[number * BODIES_PER_ROUND : (number + 1) * BODIES_PER_ROUND]
                requests = [Request(f"/v0/events?name={RELATIONS}&wait=true", body) for body in some]
                seconds = client.submit(send, server.port, server.token, requests, 1).result()
                bare_seconds = engine.submit(insert_all, table, some).result()
                if number:  # the first round warms both up
                    ours.append(len(some) * ROWS_PER_BODY / seconds)
                    direct.append(len(some) * ROWS_PER_BODY / bare_seconds)
    ratio = statistics.median(one / other for one, other in zip(ours, direct, strict=True))
    note = f"{views} views; {statistics.median(ours):,.0f} rows/s against {statistics.median(direct):,.0f}"
    return [Answer("one sender", ratio, "×", at_least=0.9, note=note)]


def _simulated(folder: Path) -> list[bytes]:
    """Bodies of relations; the files of the other data sources are beside."""
    command = [sys.executable, "-m", "cdp.simulate", "--seed", "1", "--activities", str(ACTIVITIES)]
    subprocess.run([*command, "--output", str(folder)], check=True, capture_output=True)
    lines = (folder / f"{RELATIONS}.ndjson").read_bytes().splitlines()
    wanted = (ROUNDS + 1) * BODIES_PER_ROUND * ROWS_PER_BODY
    if len(lines) < wanted:
        raise SystemExit(f"{ACTIVITIES} activities give {len(lines)} relations, and {wanted} are needed")
    return [b"\n".join(lines[first : first + ROWS_PER_BODY]) for first in range(0, wanted, ROWS_PER_BODY)]


def _prepared(folder: Path) -> str:
    """The project with what is looked up, in two directories; the physical name of the relations."""
    with Server(folder / "server") as server:
        server.client.deploy(read_project(bundled_insights()))
        for name in LOOKED_UP:
            if (file := folder / "community" / f"{name}.ndjson").exists():
                server.post(f"/v0/datasources?name={name}&mode=append&format=ndjson", file.read_bytes())
        (found,) = (each for each in server.client.datasources() if each["name"] == RELATIONS)
    shutil.copytree(folder / "server" / "engine", folder / "bare", symlinks=True)
    return str(found["id"])


def insert_all(table: str, bodies: Sequence[bytes]) -> float:
    """In the bare process: the toolset's encoder and an INSERT for each body; the seconds it took."""
    columns = _columns()
    encoder = bare.encoder(columns)
    connection = bare.connections()[0]
    sql = f"SELECT database FROM system.tables WHERE name = '{table}'"
    database = connection.query(sql, "TSVRaw").bytes().decode().strip()
    into = f"{database}.{table} ({', '.join(f'`{column.name}`' for column in columns)})"
    started = time.perf_counter()
    for body in bodies:
        good, _, good_rows, _ = encoder.encode_bytes(body)
        assert good_rows == ROWS_PER_BODY
        bare.insert(connection, into, good, uuid.uuid4().hex)
    return time.perf_counter() - started


def _columns() -> Sequence[Column]:
    text = read_project(bundled_insights())[f"datasources/{RELATIONS}.datasource"]
    definition = parse_datafile(text, file=f"{RELATIONS}.datasource")
    assert isinstance(definition, DataSourceDefinition)
    return definition.columns

"""The bare engine: chDB used directly, in a process of its own, with the settings that our server's answers need."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chdb

from birdhouse.language.datafile.model import Column

READS = (
    "async_insert=0&joined_subquery_requires_alias=0&output_format_json_quote_64bit_integers=0&session_timezone=UTC"
    "&readonly=1&max_threads=1&max_execution_time=10&max_memory_usage=2000000000"
)
READS_AS_OURS = f"{READS}&output_format_parallel_formatting=0&log_queries=0"
"""With what the server sets for the sake of speed, too."""

WRITES = (
    "async_insert=0&joined_subquery_requires_alias=0&output_format_json_quote_64bit_integers=0&session_timezone=UTC"
    "&max_threads=1&max_insert_threads=1&input_format_parallel_parsing=0"
)

_keeper: list[Any] = []
_opened: dict[str, list[Any]] = {}


@dataclass(frozen=True, slots=True)
class Used:
    cpu_seconds: float
    seconds: float


def open_connections(data_dir: Path, settings: str, count: int) -> None:
    """Always of one directory; the first connection of the process starts the engine and fixes its limit of memory."""
    if not _keeper:
        _keeper.append(_connect(f"{data_dir}?max_server_memory_usage=8000000000"))
    _opened[settings] = [_connect(f"{data_dir}?{settings}") for _ in range(count)]


def _connect(address: str) -> Any:
    return chdb.connect(address)  # type: ignore[no-untyped-call]


def query_all(statements: Sequence[str], settings: str) -> Used:
    """Runs the statements in FORMAT JSON, shared out evenly over the connections, each in a thread of its own."""
    connections = _opened[settings]

    def work(number: int) -> None:
        for statement in statements[number :: len(connections)]:
            connections[number].query(statement, "JSON").bytes()

    started, cpu_started = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(len(connections)) as threads:
        list(threads.map(work, range(len(connections))))
    return Used(time.process_time() - cpu_started, time.perf_counter() - started)


def execute(statement: str) -> None:
    """On the first connection, which has no limits."""
    _keeper[0].query(statement, "Null")


def encoder(columns: Iterable[Column]) -> Any:
    """The toolset's encoder of NDJSON, as our server uses it."""
    from chtoolset.query import RowBinaryEncoder

    schema = [
        {
            "name": column.name,
            "type": column.type,
            "jsonpath": column.jsonpath,
            "has_default": column.default is not None,
        }
        for column in columns
    ]
    return RowBinaryEncoder(json.dumps(schema), legacy_conversion_mode=False)


def insert(connection: Any, into: str, data: bytes, token: str) -> None:
    """`into` is the table with its columns. In this form failures of the write side raise."""
    descriptor = os.memfd_create("rows")
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        connection.query(
            f"INSERT INTO {into} FROM INFILE '/proc/self/fd/{descriptor}' COMPRESSION 'none' "
            f"SETTINGS insert_deduplication_token = '{token}' FORMAT RowBinaryWithDefaults",
            "Null",
        )
    finally:
        os.close(descriptor)


def connections() -> Sequence[Any]:
    """Those that were opened first."""
    return next(iter(_opened.values()))

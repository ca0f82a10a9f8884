"""Tables of the real engine for rows to go to."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query, TableName
from birdhouse.ingest.target import Target
from birdhouse.language.datafile.model import Column

DATABASE = "ingest_tests"
MakeTarget = Callable[[Sequence[Column]], Awaitable[Target]]


def clause(column: Column) -> str:
    default = f" {column.default_kind} {column.default}" if column.default_kind else ""
    return f"`{column.name}` {column.type}{default}"


async def create(engine: Engine, table: TableName, columns: Sequence[Column]) -> None:
    await engine.execute(
        f"CREATE TABLE {table} ({', '.join(map(clause, columns))}) ENGINE = MergeTree ORDER BY tuple() "
        "SETTINGS non_replicated_deduplication_window = 100, allow_nullable_key = 1"
    )


async def read(engine: Engine, table: TableName, columns: str = "*", order: str = "tuple()") -> list[Any]:
    """Rows as lists."""
    sql = f"SELECT {columns} FROM {table} ORDER BY {order}"
    body = (await engine.select(Query(sql, "JSONCompactEachRow"))).body
    return [json.loads(line) for line in body.splitlines()]

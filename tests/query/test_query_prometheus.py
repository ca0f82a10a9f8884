"""A result as Prometheus metrics, on the real engine."""

from __future__ import annotations

import json

import pytest

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query
from birdhouse.errors import SqlError
from birdhouse.query.prometheus import as_gauges

CASES = {
    "a number is a gauge, a text its label": (
        "SELECT 'top' AS pipe_name, 1.5 AS pct",
        ['ep_pct{pipe_name="top"} 1.5'],
    ),
    "each number of each row": (
        "SELECT ['a', 'b'][n] AS t, n, -n AS minus FROM (SELECT arrayJoin([1, 2]) AS n)",
        ['ep_minus{t="a"} -1', 'ep_minus{t="b"} -2', 'ep_n{t="a"} 1', 'ep_n{t="b"} 2'],
    ),
    "without labels": ("SELECT count() AS rows FROM numbers(3)", ["ep_rows 3"]),
    "NULL gives none, and is an empty label": (
        "SELECT toNullable(3) AS there, CAST(NULL, 'Nullable(Int8)') AS missing, CAST(NULL, 'Nullable(String)') AS t",
        ['ep_there{t=""} 3'],
    ),
    "other types": (
        "SELECT true AS bool, toDecimal32(1.5, 2) AS money, toLowCardinality('q') AS low, toDate('2024-01-01') AS day, "
        "toDateTime('2024-01-01 10:00:00') AS at, ['x'] AS list, map('a', 1) AS pairs",
        [
            'ep_bool{at="2024-01-01 10:00:00",day="2024-01-01",low="q"} 1',
            'ep_money{at="2024-01-01 10:00:00",day="2024-01-01",low="q"} 1.5',
        ],
    ),
    "names that Prometheus does not take": ("SELECT 1 AS `a.b`, 'x' AS `c d`", ['ep_a_b{c_d="x"} 1']),
    "quotes in names and texts": (
        "SELECT 1 AS `it's`, 'a\"b' AS `t\\\\`",
        ['ep_it_s{t_="a\\"b"} 1'],
    ),
    "no row": ("SELECT 1 AS n, 'x' AS t WHERE 0", []),
    "name and value are what they are": (
        "SELECT 'm' AS name, 2 AS value, map('l', 'x') AS labels, 7 AS more",
        ['m{l="x"} 2'],
    ),
    "one of them is a column like others": ("SELECT 'm' AS name, 2 AS n", ['ep_n{name="m"} 2']),
}


async def columns(engine: Engine, sql: str) -> list[tuple[str, str]]:
    result = await engine.select(Query(f"DESCRIBE TABLE ({sql})", "JSONCompactEachRow"))
    return [(row[0], row[1]) for row in map(json.loads, result.body.splitlines())]


@pytest.mark.parametrize("case", CASES)
async def test_a_result_is_metrics(engine: Engine, case: str) -> None:
    sql, lines = CASES[case]
    body = (await engine.select(Query(as_gauges(sql, await columns(engine, sql), "ep"), "Prometheus"))).body.decode()
    assert [line for line in body.splitlines() if line and not line.startswith("#")] == lines
    named = [line for line in body.splitlines() if line.startswith("# TYPE")]
    assert len(named) == len(set(named)), "the metrics of one name stand together"


async def test_a_result_without_numbers_is_refused(engine: Engine) -> None:
    sql = "SELECT 'x' AS a, [1] AS b"
    with pytest.raises(SqlError, match="There is no number to show as a Prometheus metric among a, b"):
        as_gauges(sql, await columns(engine, sql), "ep")

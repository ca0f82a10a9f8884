"""What a copy may use, and copies that run in slices."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jobs_home import Home, copy_pipe, numbers_table
from workspaces import workspace_of

from birdhouse.catalog.resources import Pipe
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query, quote_string
from birdhouse.errors import SqlError
from birdhouse.jobs.copy import slices
from birdhouse.jobs.job import JobStatus

MANY_GROUPS = "SELECT number % 800000 AS a, count() AS b FROM numbers(800000) GROUP BY a"
"""Needs more memory than FITS_A_SLICE as a whole, and less for a quarter of the groups."""
FITS_A_SLICE = 45_000_000


def tagged(pipe: str, tags: str) -> str:
    return f'{pipe}TAGS "{tags}"\n'


async def _push(home: Home, sql: str, mode: str, tags: str) -> None:
    await home.push(
        source=numbers_table("a"), target=numbers_table("a", "b"), p=tagged(copy_pipe(sql, mode=mode), tags)
    )
    await home.append("target", "a", [77])


@pytest.mark.parametrize("mode", ["append", "replace"])
@pytest.mark.parametrize(
    ("sql", "tags", "told"),
    [
        (MANY_GROUPS, f"job_memory_bytes_max={FITS_A_SLICE}", ["more memory", "'p'", str(FITS_A_SLICE), "shard_key"]),
        (MANY_GROUPS, "job_memory_bytes_max=9000000&shard_key=a&shards=2", ["9000000 bytes", "more shards"]),
        ("SELECT sum(sipHash64(number)) AS a FROM numbers(100000000000)", "job_seconds_max=0.3", ["0.3 s", "longer"]),
    ],
)
async def test_a_copy_that_is_too_big_for_its_budget_leaves_its_target_as_it_was(
    home: Home, mode: str, sql: str, tags: str, told: list[str]
) -> None:
    await _push(home, sql, mode, tags)
    job = await home.queue.finished((await home.copy("p")).id)
    assert job.status is JobStatus.ERROR
    assert [text for text in told if text not in (job.error or "")] == []
    assert await home.ask("groupArray(a)", "target") == "[77]"
    assert await home.staging_tables() == []


@pytest.mark.parametrize(("mode", "rows"), [("append", 800_001), ("replace", 800_000)])
async def test_in_slices_it_fits(home: Home, mode: str, rows: int) -> None:
    await _push(home, MANY_GROUPS, mode, f"job_memory_bytes_max={FITS_A_SLICE}&shard_key=a&shards=8")
    job = await home.queue.finished((await home.copy("p")).id)
    assert job.status is JobStatus.DONE, job.error
    assert job.statistics["row_count"] == 800_000
    assert job.statistics["rows_read"] >= 800_000
    assert await home.ask("count(), sum(b)", "target") == f"{rows}\t800000"
    assert await home.staging_tables() == []


@pytest.mark.parametrize(
    ("key", "named"), [("c", "`c`"), ("a)", "Unmatched"), ("(SELECT 1 FROM source)", "source"), ("a +", "")]
)
async def test_a_shard_key_that_is_no_expression_over_the_result_is_refused(home: Home, key: str, named: str) -> None:
    pipe = tagged(copy_pipe("SELECT a FROM source"), f"shard_key={key.replace('+', '%2B')}&shards=2")
    with pytest.raises(SqlError, match="shard_key") as refused:
        await home.push(source=numbers_table("a"), target=numbers_table("a"), p=pipe)
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("rows", "sql", "refused"),
    [
        ([1, 2], "SELECT a FROM source WHERE a > 10", True),
        ([1, 2], "SELECT a FROM (SELECT a FROM source) JOIN target USING a", True),
        ([], "SELECT a FROM source", False),
        ([], "SELECT source.a AS a FROM source JOIN target ON source.a = target.a", False),
        ([11], "SELECT a FROM source WHERE a > 10", False),
    ],
)
async def test_an_empty_result_of_a_source_that_has_rows_can_be_refused(
    home: Home, rows: list[int], sql: str, refused: bool
) -> None:
    await _push(home, sql, "replace", "refuse_empty=true")
    if rows:
        await home.append("source", "a", rows)
    job = await home.queue.finished((await home.copy("p")).id)
    if refused:
        assert job.status is JobStatus.ERROR and "'source' has 2 rows" in (job.error or "")
        assert await home.ask("groupArray(a)", "target") == "[77]"
    else:
        assert job.status is JobStatus.DONE, job.error
        assert await home.ask("groupArray(a)", "target") == str(rows)
    assert await home.staging_tables() == []


async def test_without_the_guard_an_empty_result_empties_the_target(home: Home) -> None:
    await _push(home, "SELECT a FROM source WHERE a > 10", "replace", "refuse_empty=false")
    await home.append("source", "a", [1])
    job = await home.queue.finished((await home.copy("p")).id)
    assert job.status is JobStatus.DONE, job.error
    assert await home.ask("count()", "target") == "0"


ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-5, 40), st.none() | st.sampled_from(["", "x", "y", "ä", "%"]), st.integers(0, 9)
    ),
    max_size=25,
)
KEYS = ["a", "s", "a, s", "cityHash64(a) % 3", "ifNull(a, 1) * -1", "tuple(a, s)", "n", "1"]
QUERIES = [
    "SELECT * FROM ({rows})",
    "SELECT a, s, max(n) AS n FROM ({rows}) GROUP BY a, s",
    "SELECT a, s, row_number() OVER (PARTITION BY s ORDER BY a, n) AS n FROM ({rows})",
    "SELECT l.a AS a, r.s AS s, l.n AS n FROM ({rows}) AS l LEFT JOIN ({rows}) AS r ON l.a = r.a",
    "SELECT * FROM ({rows}) ORDER BY n, a, s LIMIT 5",
    "SELECT DISTINCT a, s, n FROM ({rows})",
]


def _pipe(key: str, shards: int) -> Pipe:
    text = tagged(
        copy_pipe("SELECT 1 AS a"), f"shard_key={key.replace('%', '%25').replace(',', '%2C')}&shards={shards}"
    )
    return workspace_of({"target.datasource": numbers_table("a"), "p.pipe": text}).pipe("p")


def _values(rows: list[tuple[int | None, str | None, int]]) -> str:
    shape = "a Nullable(Int32), s Nullable(String), n UInt64"
    if not rows:
        return f"SELECT * FROM null({quote_string(shape)})"
    lines = [f"({'NULL' if a is None else a}, {'NULL' if s is None else quote_string(s)}, {n})" for a, s, n in rows]
    return f"SELECT * FROM values({quote_string(shape)}, {', '.join(lines)})"


async def _answer(engine: Engine, sql: str) -> Counter[str]:
    result = await engine.select(Query(f"SELECT toString(tuple(*)) AS row FROM (\n{sql}\n)", "JSONCompactEachRow"))
    return Counter(orjson.loads(line)[0] for line in result.body.splitlines())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, query=st.sampled_from(QUERIES), key=st.sampled_from(KEYS), shards=st.integers(1, 7))
async def test_the_slices_together_give_the_rows_of_the_whole(
    engine: Engine, rows: list[tuple[int | None, str | None, int]], query: str, key: str, shards: int
) -> None:
    sql = query.format(rows=_values(rows))
    parts = slices(_pipe(key, shards), sql)
    assert len(parts) == shards
    together = "\nUNION ALL\n".join(parts)
    assert await _answer(engine, together) == await _answer(engine, sql)

"""Streams: one document whatever the size, flat memory, early leaving and late errors."""

from __future__ import annotations

import asyncio
import json
import time

import psutil
import pytest

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Limits, Query
from birdhouse.errors import QueryTimeout, SqlError

ROWS = 200_000  # more than three blocks of the engine


async def read(engine: Engine, sql: str, format_name: str, limits: Limits | None = None) -> list[bytes]:
    async with engine.stream(Query(sql, format=format_name, limits=limits or Limits())) as chunks:
        return [chunk async for chunk in chunks]


@pytest.mark.parametrize("format_name", ["JSONEachRow", "CSV", "TSV", "RowBinary", "JSONCompactEachRow"])
async def test_a_large_stream_is_what_a_select_answers(engine: Engine, format_name: str) -> None:
    sql = f"SELECT number AS n, toString(number) AS text FROM numbers({ROWS})"
    chunks = await read(engine, sql, format_name)
    assert len(chunks) > 1
    whole = await engine.select(Query(sql, format=format_name))
    assert b"".join(chunks) == whole.body


@pytest.mark.parametrize("format_name", ["CSVWithNames", "TSVWithNames", "TabSeparatedWithNames"])
@pytest.mark.parametrize("rows", [0, 1, ROWS])
async def test_a_header_comes_once_whatever_stands_in_it(engine: Engine, format_name: str, rows: int) -> None:
    names = r"""number AS `a"",b`, toString(number) AS `line\nend`, number % 7 AS `"`"""
    sql = f"SELECT {names} FROM numbers({rows})"
    chunks = await read(engine, sql, format_name)
    whole = await engine.select(Query(sql, format=format_name))
    assert b"".join(chunks) == whole.body
    assert chunks[0] and (len(chunks) > 1 or rows <= 1)


@pytest.mark.parametrize("format_name", ["JSON", "Parquet", "Arrow", "JSONCompact"])
async def test_a_format_with_an_envelope_is_not_streamed(engine: Engine, format_name: str) -> None:
    with pytest.raises(SqlError, match="cannot be streamed"):
        await read(engine, "SELECT 1", format_name)


async def test_an_empty_result_yields_nothing(engine: Engine) -> None:
    assert await read(engine, "SELECT 1 WHERE 0", "JSONEachRow") == []


async def test_streams_take_parameters_and_their_64_bit_integers_are_not_quoted(engine: Engine) -> None:
    query = Query("SELECT {n:UInt64} AS n", format="JSONEachRow", parameters={"n": str(2**64 - 1)})
    async with engine.stream(query) as chunks:
        (chunk,) = [chunk async for chunk in chunks]
    assert json.loads(chunk) == {"n": 2**64 - 1}


async def test_an_error_from_the_start_raises_on_entering(engine: Engine) -> None:
    with pytest.raises(SqlError) as failure:
        async with engine.stream(Query("SELECT nope", format="CSV")):
            pytest.fail("entered")
    assert failure.value.name == "UNKNOWN_IDENTIFIER"


async def test_a_late_error_raises_after_chunks_came(engine: Engine) -> None:
    received = 0
    with pytest.raises(SqlError) as failure:
        sql = "SELECT throwIf(number = 900000) FROM numbers(1000000)"
        async with engine.stream(Query(sql, format="CSV")) as chunks:
            async for _ in chunks:
                received += 1
    assert received > 1
    assert failure.value.name == "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"
    assert await read(engine, "SELECT 2", "CSV") == [b"2\n"]


async def test_limits_hold_in_streams(engine: Engine) -> None:
    with pytest.raises(QueryTimeout):
        await read(engine, "SELECT count() FROM numbers(1000000000000)", "CSV", Limits(seconds=0.25))


async def test_a_stream_cannot_write(engine: Engine) -> None:
    for statement in ("DROP DATABASE w", "INSERT INTO w.t SELECT 1"):
        with pytest.raises(SqlError):
            await read(engine, statement, "CSV")


async def test_a_consumer_that_leaves_early_frees_its_place(engine: Engine) -> None:
    started = time.monotonic()
    for _ in range(6):
        async with engine.stream(Query("SELECT number FROM numbers(1000000000000)", format="CSV")) as chunks:
            async for _ in chunks:
                break
    assert time.monotonic() - started < 6
    assert await read(engine, "SELECT 2", "CSV") == [b"2\n"]


async def test_a_consumer_that_fails_frees_its_place(engine: Engine) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with engine.stream(Query("SELECT number FROM numbers(1000000000000)", format="CSV")):
                raise ZeroDivisionError
    assert await read(engine, "SELECT 2", "CSV") == [b"2\n"]


async def test_a_cancelled_consumer_frees_its_place(engine: Engine) -> None:
    for sql in ("SELECT number FROM numbers(1000000000000)", "SELECT count() FROM numbers(1000000000000)"):
        task = asyncio.create_task(read(engine, sql, "CSV"))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - started < 1
    assert await read(engine, "SELECT 2", "CSV") == [b"2\n"]


async def test_a_slow_consumer_holds_the_engine_back(engine: Engine) -> None:
    before = psutil.Process().memory_info().rss
    sql = "SELECT repeat('x', 1000) FROM numbers(1000000000)"
    async with engine.stream(Query(sql, format="CSV")) as chunks:
        await anext(chunks)
        await asyncio.sleep(1)
        assert psutil.Process().memory_info().rss - before < 1_000_000_000


async def test_more_streams_than_connections_wait_their_turn(engine: Engine) -> None:
    sql = f"SELECT number FROM numbers({ROWS})"
    answers = await asyncio.gather(*(read(engine, sql, "RowBinary") for _ in range(6)))
    assert {sum(map(len, chunks)) for chunks in answers} == {8 * ROWS}


async def test_selects_run_while_all_streams_are_open(engine: Engine) -> None:
    endless = Query("SELECT number FROM numbers(1000000000000)", format="CSV")
    async with engine.stream(endless) as first, engine.stream(endless) as second:
        await anext(first)
        await anext(second)
        assert (await engine.select(Query("SELECT 1", format="CSV"))).body == b"1\n"
        assert await anext(first)
        assert await anext(second)

"""SELECT: answers, statistics, parameters, limits, and what must never leak from one query into the next."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Lane, Limits, Query
from birdhouse.errors import (
    BirdhouseError,
    Busy,
    InvalidInput,
    MemoryLimit,
    QueryTimeout,
    RowLimit,
    SqlError,
)

RUNAWAY = "SELECT count() FROM numbers(1000000000000)"


async def rows(engine: Engine, sql: str, **options: Any) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = json.loads((await engine.select(Query(sql, **options))).body)["data"]
    return data


async def value(engine: Engine, sql: str, **options: Any) -> Any:
    (row,) = await rows(engine, f"SELECT ({sql}) AS value", **options)
    return row["value"]


async def test_the_answer_comes_in_the_format_asked_for(engine: Engine) -> None:
    for name, body in {"CSV": b"1\n", "CSVWithNames": b'"x"\n1\n', "JSONEachRow": b'{"x":1}\n'}.items():
        assert (await engine.select(Query("SELECT 1 AS x", format=name))).body == body


async def test_64_bit_integers_are_not_quoted_unless_asked(engine: Engine) -> None:
    sql = "SELECT toUInt64(18446744073709551615) AS x"
    assert await rows(engine, sql) == [{"x": 18446744073709551615}]
    quoted = await rows(engine, sql, settings={"output_format_json_quote_64bit_integers": 1})
    assert quoted == [{"x": "18446744073709551615"}]


async def test_time_is_utc(engine: Engine) -> None:
    assert await value(engine, "timezone()") == "UTC"
    assert await value(engine, "toString(toDateTime(0))") == "1970-01-01 00:00:00"


async def test_joined_subqueries_need_no_alias(engine: Engine) -> None:
    assert await rows(engine, "SELECT count() AS n FROM (SELECT 1 AS x) JOIN (SELECT 1 AS x) USING x") == [{"n": 1}]


async def test_statistics_tell_what_was_read_from_storage(engine: Engine) -> None:
    await engine.execute("CREATE TABLE w.t (id UInt64) ENGINE = MergeTree ORDER BY id")
    await engine.execute("INSERT INTO w.t SELECT number FROM numbers(1000)")
    statistics = (await engine.select(Query("SELECT count() FROM w.t WHERE id % 2 = 0"))).statistics
    assert (statistics.rows_read, statistics.bytes_read, statistics.result_rows) == (1000, 8000, 1)
    assert 0 < statistics.elapsed_seconds < 10


@pytest.mark.parametrize(
    "text", ["a", "", "it's", "a\\b", "tab\there", "line\nend", "\\N", "\r", "é 🐦", "{x}", "nul\0"]
)
@pytest.mark.parametrize("type_name", ["String", "Nullable(String)", "LowCardinality(String)"])
async def test_text_parameters_arrive_unchanged(engine: Engine, type_name: str, text: str) -> None:
    assert await value(engine, f"{{p:{type_name}}}", parameters={"p": text}) == text


async def test_parameters_of_other_types_are_bound(engine: Engine) -> None:
    sql = "SELECT {n:UInt64} AS n, {day:Date} AS day, {list:Array(String)} AS list, {map:Map(String, UInt8)} AS map"
    values = {"n": "18446744073709551615", "day": "2024-05-01", "list": r"['it\'s','a\\b']", "map": "{'a':1}"}
    (row,) = await rows(engine, sql, parameters=values)
    assert row == {"n": 2**64 - 1, "day": "2024-05-01", "list": ["it's", "a\\b"], "map": {"a": 1}}


async def test_a_parameter_does_not_outlive_its_query(engine: Engine) -> None:
    for _ in range(4):
        await value(engine, "{p:String}", parameters={"p": "x"})
    for _ in range(4):
        with pytest.raises(SqlError, match="`p` is not set"):
            await value(engine, "{p:String}")


async def test_an_error_carries_the_engines_code_and_name_and_the_cause(engine: Engine) -> None:
    with pytest.raises(SqlError, match="nope") as failure:
        await engine.select(Query("SELECT nope"))
    assert (failure.value.code, failure.value.name) == (47, "UNKNOWN_IDENTIFIER")
    assert failure.value.__cause__ is not None
    assert "DB::Exception" not in str(failure.value)


@pytest.mark.parametrize("sql", ["SELECT '\ud800'", "SELECT", "SELECT 1 FORMAT Nope"])
async def test_text_that_cannot_run_raises_our_error(engine: Engine, sql: str) -> None:
    with pytest.raises(BirdhouseError):
        await engine.select(Query(sql))


@pytest.mark.parametrize("name", ["no_such_setting", "readonly", "log_comment", "path", "config-file"])
async def test_a_setting_that_would_be_ignored_or_is_ours_is_refused(engine: Engine, name: str) -> None:
    with pytest.raises(SqlError, match=name):
        await engine.select(Query("SELECT 1", settings={name: 0}))


@pytest.mark.parametrize("text", ["", "a&readonly=0", "a%26", "a?b", "a#b"])
async def test_a_setting_cannot_bring_others_along(engine: Engine, text: str) -> None:
    with pytest.raises(InvalidInput):
        await engine.select(Query("SELECT 1", settings={"format_csv_delimiter": text}))


@pytest.mark.parametrize("text", ["+", " ", ";", "'", "="])
async def test_a_setting_arrives_unchanged(engine: Engine, text: str) -> None:
    query = Query("SELECT 1, 2", format="CSV", settings={"format_csv_delimiter": text})
    assert (await engine.select(query)).body == f"1{text}2\n".encode()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE w.x (a Int8) ENGINE = Memory",
        "INSERT INTO w.t SELECT 1",
        "DROP DATABASE w",
        "SELECT 1; DROP DATABASE w",
        "SELECT 1 SETTINGS readonly = 0",
        "SET readonly = 0",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    ],
)
@pytest.mark.parametrize("limits", [Limits(), Limits(seconds=5)], ids=["default", "own"])
async def test_a_read_cannot_write(engine: Engine, statement: str, limits: Limits) -> None:
    with pytest.raises(SqlError):
        await engine.select(Query(statement, limits=limits))
    assert await value(engine, "SELECT count() FROM system.databases WHERE name = 'w'") == 1


async def test_a_time_limit_takes_fractions_of_a_second(engine: Engine) -> None:
    started = time.monotonic()
    with pytest.raises(QueryTimeout):
        await engine.select(Query(RUNAWAY, limits=Limits(seconds=0.25)))
    assert 0.2 < time.monotonic() - started < 1.5


@pytest.mark.parametrize(
    "sql",
    [
        f"{RUNAWAY} UNION ALL SELECT 1",
        f"SELECT 1 UNION ALL {RUNAWAY}",
        f"({RUNAWAY}) UNION ALL (SELECT 1)",
        f"SELECT * FROM ({RUNAWAY} SETTINGS max_execution_time = 0)",
        f"{RUNAWAY} -- comment",
    ],
)
async def test_limits_hold_for_every_shape_of_select(engine: Engine, sql: str) -> None:
    with pytest.raises(QueryTimeout):
        await engine.select(Query(sql, limits=Limits(seconds=0.2)))


async def test_a_query_is_held_to_its_memory(engine: Engine) -> None:
    with pytest.raises(MemoryLimit):
        sql = "SELECT length(groupArray(number)) FROM numbers(1000000000)"
        await engine.select(Query(sql, limits=Limits(memory_bytes=100_000_000)))


async def test_the_process_is_held_to_its_memory(engine: Engine) -> None:
    with pytest.raises(Busy, match="out of memory"):
        await engine.select(Query("SELECT length(groupArray(number)) FROM numbers(1000000000)"))
    assert await value(engine, "1") == 1


@pytest.mark.parametrize(
    "limits", [Limits(result_rows=100), Limits(result_bytes=1000), Limits(rows_to_read=1000)], ids=str
)
async def test_a_query_is_held_to_its_rows_and_bytes(engine: Engine, limits: Limits) -> None:
    with pytest.raises(RowLimit):
        await engine.select(Query("SELECT number FROM numbers(100000)", limits=limits))


async def test_limits_and_settings_do_not_leak_into_the_next_query(engine: Engine) -> None:
    names = ("max_execution_time", "max_memory_usage", "max_threads", "join_use_nulls")
    shown = "SELECT " + ", ".join(f"getSetting('{name}') AS {name}" for name in names)
    before = await rows(engine, shown)
    limits = Limits(seconds=3, memory_bytes=10**9, threads=2)
    for _ in range(6):
        (own,) = await rows(engine, shown, limits=limits, settings={"join_use_nulls": 1})
        assert (own["max_execution_time"], own["max_memory_usage"], own["max_threads"]) == (3, 10**9, 2)
        assert await rows(engine, shown) == before


async def test_many_different_settings_are_served(engine: Engine) -> None:
    for seconds in range(1, 40):
        assert await value(engine, "getSetting('max_execution_time')", limits=Limits(seconds=seconds)) == seconds


@pytest.mark.parametrize("format_name", ["TSV", "JSON"])
async def test_output_of_a_failed_query_does_not_appear_in_the_next(engine: Engine, format_name: str) -> None:
    fails = "SELECT 'secret' UNION ALL SELECT toString(throwIf(number = 900000)) FROM numbers(1000000)"
    for _ in range(3):
        with pytest.raises(SqlError):
            await engine.select(Query(fails, format=format_name))
        results = await asyncio.gather(*(engine.select(Query("SELECT 2", format="TSV")) for _ in range(4)))
        assert {result.body for result in results} == {b"2\n"}


async def test_output_of_an_ended_query_does_not_appear_in_the_next(engine: Engine) -> None:
    task = asyncio.create_task(engine.select(Query(f"SELECT 'secret' UNION ALL SELECT toString(({RUNAWAY}))")))
    slow = asyncio.create_task(engine.select(Query(f"SELECT 'x' UNION ALL SELECT toString(count()) FROM ({RUNAWAY})")))
    await asyncio.sleep(0.3)
    for running in (task, slow):
        running.cancel()
    await asyncio.wait((task, slow))
    results = await asyncio.gather(*(engine.select(Query("SELECT 2", format="TSV")) for _ in range(4)))
    assert {result.body for result in results} == {b"2\n"}


async def test_queries_run_side_by_side(engine: Engine) -> None:
    answers = await asyncio.gather(*(value(engine, f"SELECT {n} + sum(number) FROM numbers(1000)") for n in range(40)))
    assert answers == [n + 499500 for n in range(40)]


async def test_the_queue_has_an_end(engine: Engine) -> None:
    tasks = [asyncio.create_task(engine.select(Query(RUNAWAY))) for _ in range(2 + 50)]
    await asyncio.sleep(0.3)
    with pytest.raises(Busy):
        await asyncio.gather(*(engine.select(Query("SELECT 1")) for _ in range(3)))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert await value(engine, "1") == 1


async def test_a_statement_takes_bound_values_and_its_errors_do_not_tell_them(engine: Engine) -> None:
    table = "`default`.`bound_values`"
    await engine.execute(f"CREATE OR REPLACE TABLE {table} (a String) ENGINE = Memory")
    value_given = "it's a 'hush'\\ \t{b: String}"
    statement = f"INSERT INTO {table} SELECT {{a: String}} FROM numbers(2)"
    await engine.execute(statement, lane=Lane.JOB, parameters={"a": value_given})
    stored = await engine.select(Query(f"SELECT DISTINCT a = {{a: String}} FROM {table}", "TSV", {"a": value_given}))
    assert stored.body == b"1\n"
    for run in (
        engine.execute(f"INSERT INTO {table} SELECT toUInt8({{a: String}})", parameters={"a": "hush-hush"}),
        engine.select(Query("SELECT toUInt8({a: String})", parameters={"a": "hush-hush"})),
        engine.select(Query("SELECT throwIf(1, {a: String})", parameters={"a": "prefix hush-hush"})),
    ):
        with pytest.raises(SqlError) as refused:
            await run
        assert "hush" not in str(refused.value) and "secret" in str(refused.value) and refused.value.code
    await engine.execute(f"DROP TABLE {table}")

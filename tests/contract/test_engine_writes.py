"""INSERT and statements of ours: what failed raises, what is repeated with its token fills only what is missing."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Insert, Lane, Limits, Progress, Query, TableName
from birdhouse.errors import InvalidRows, PartialWrite, QueryTimeout, SqlError

DEDUPLICATED = "ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 1000"
THREE = b'{"id":1}\n{"id":2}\n{"id":3}\n'


def block(table: str, data: bytes, token: str | None = None, format_name: str = "JSONEachRow") -> Insert:
    return Insert(
        table=TableName("w", table),
        columns=("id",),
        format=format_name,
        data=data,
        token=uuid.uuid4().hex if token is None else token,
    )


async def count(engine: Engine, *tables: str) -> list[int]:
    queries = (Query(f"SELECT count() FROM w.{table}", format="TSV") for table in tables)
    return [int((await engine.select(query)).body) for query in queries]


async def create(engine: Engine, *tables: str) -> None:
    for table in tables:
        await engine.execute(f"CREATE TABLE w.{table} (id UInt64) {DEDUPLICATED}")


async def source_with_two_views(engine: Engine, second: str) -> None:
    await create(engine, "source", "first", "second")
    await engine.execute("CREATE MATERIALIZED VIEW w.view_1 TO w.first AS SELECT id FROM w.source")
    await engine.execute(f"CREATE MATERIALIZED VIEW w.view_2 TO w.second AS SELECT {second} AS id FROM w.source")


@pytest.mark.parametrize("kind", [bytes, memoryview])
async def test_a_block_is_written(engine: Engine, kind: type) -> None:
    await create(engine, "t")
    insert = Insert(TableName("w", "t"), ("id",), "JSONEachRow", kind(THREE), token="x")
    await engine.insert(insert)
    assert await count(engine, "t") == [3]


async def test_names_are_quoted_and_missing_columns_get_their_default(engine: Engine) -> None:
    await engine.execute("CREATE TABLE w.`a``b c` (`x y` UInt8, d UInt8 DEFAULT 7) ENGINE = MergeTree ORDER BY d")
    await engine.insert(Insert(TableName("w", "a`b c"), ("x y",), "CSV", b"1\n2\n", token="x'y"))
    result = await engine.select(Query("SELECT * FROM w.`a``b c` ORDER BY 1", format="CSV"))
    assert result.body == b"1,7\n2,7\n"


async def test_large_blocks_are_written_whole(engine: Engine) -> None:
    await create(engine, "t")
    data = b"".join(number.to_bytes(8, "little") for number in range(1_500_000))
    for _ in range(2):
        await engine.insert(block("t", data, "large", "RowBinary"))
    assert await count(engine, "t") == [1_500_000]


async def test_the_same_token_is_written_once(engine: Engine) -> None:
    await create(engine, "t")
    for data in (THREE, THREE, b'{"id":9}\n'):
        await engine.insert(block("t", data, "same"))
    assert await count(engine, "t") == [3]


@pytest.mark.parametrize("tokens", [("a", "b"), ("", "")], ids=["different tokens", "no token"])
async def test_equal_blocks_are_both_kept(engine: Engine, tokens: tuple[str, str]) -> None:
    await create(engine, "t")
    for token in tokens:
        await engine.insert(block("t", THREE, token))
    assert await count(engine, "t") == [6]


async def test_a_failing_view_raises_and_a_repeat_fills_only_the_missing_side(engine: Engine) -> None:
    await source_with_two_views(engine, second="throwIf(id = 2, 'bad') + id")
    with pytest.raises(PartialWrite, match="bad"):
        await engine.insert(block("source", THREE, "token"))
    assert await count(engine, "source", "first", "second") == [3, 3, 0]
    await engine.execute("DROP VIEW w.view_2")
    await engine.execute("CREATE MATERIALIZED VIEW w.view_2 TO w.second AS SELECT id FROM w.source")
    for _ in range(2):
        await engine.insert(block("source", THREE, "token"))
        assert await count(engine, "source", "first", "second") == [3, 3, 3]


async def test_a_view_without_its_target_raises(engine: Engine) -> None:
    await source_with_two_views(engine, second="id")
    await engine.execute("DROP TABLE w.second")
    with pytest.raises(SqlError):
        await engine.insert(block("source", THREE))


async def test_too_many_partitions_raise(engine: Engine) -> None:
    await engine.execute("CREATE TABLE w.t (id UInt64) ENGINE = MergeTree ORDER BY id PARTITION BY id")
    data = b"".join(b'{"id":%d}\n' % number for number in range(200))
    with pytest.raises(InvalidRows, match="partitions"):
        await engine.insert(block("t", data))
    assert await count(engine, "t") == [0]


async def test_a_violated_constraint_raises(engine: Engine) -> None:
    await engine.execute("CREATE TABLE w.t (id UInt64, CONSTRAINT c CHECK id < 2) ENGINE = MergeTree ORDER BY id")
    with pytest.raises(InvalidRows, match="violated"):
        await engine.insert(block("t", THREE))
    assert await count(engine, "t") == [0]


UNREADABLE = {
    "JSONEachRow": [b'{"id":"x"}\n', b"{broken\n", b'{"id":1}\n{"id":'],
    "CSV": [b"1,2,3\n", b"x\n"],
    "RowBinary": [b"\1\2\3"],
    "Parquet": [b"not parquet"],
}


@pytest.mark.parametrize(("format_name", "data"), [(name, data) for name, all in UNREADABLE.items() for data in all])
async def test_rows_that_cannot_be_read_raise_and_none_is_stored(engine: Engine, format_name: str, data: bytes) -> None:
    await create(engine, "t")
    with pytest.raises(InvalidRows) as failure:
        await engine.insert(block("t", data, format_name=format_name))
    assert "/proc" not in str(failure.value)
    assert await count(engine, "t") == [0]


async def test_unknown_tables_columns_and_settings_raise(engine: Engine) -> None:
    await create(engine, "t")
    with pytest.raises(SqlError):
        await engine.insert(block("nowhere", THREE))
    with pytest.raises(SqlError):
        await engine.insert(Insert(TableName("w", "t"), ("nope",), "JSONEachRow", THREE, "x"))
    with pytest.raises(SqlError):
        await engine.insert(Insert(TableName("w", "t"), ("id",), "JSONEachRow", THREE, "x", {"no_such": 1}))


async def test_settings_of_one_insert_do_not_hold_for_the_next(engine: Engine) -> None:
    await create(engine, "t")
    lenient = {"input_format_allow_errors_num": 10}
    broken = b'{"id":1}\n{"id":"x"}\n'
    await engine.insert(Insert(TableName("w", "t"), ("id",), "JSONEachRow", broken, "x", lenient))
    for _ in range(3):
        with pytest.raises(InvalidRows):
            await engine.insert(block("t", broken))


async def test_readers_of_a_swapped_table_never_see_a_wrong_state(engine: Engine) -> None:
    await create(engine, "live", "staging")
    await engine.execute("INSERT INTO w.live SELECT number FROM numbers(1000)")
    seen: set[int] = set()
    done = asyncio.Event()

    async def reader() -> None:
        while not done.is_set():
            seen.update(await count(engine, "live"))

    readers = [asyncio.create_task(reader()) for _ in range(2)]
    for _ in range(30):
        await engine.execute("TRUNCATE TABLE w.staging")
        await engine.execute("INSERT INTO w.staging SELECT number FROM numbers(1000)", lane=Lane.JOB)
        await engine.execute("EXCHANGE TABLES w.live AND w.staging")
    done.set()
    await asyncio.gather(*readers)
    assert seen == {1000}


async def test_progress_is_reported_in_the_event_loop(engine: Engine) -> None:
    await create(engine, "t")
    reports: list[Progress] = []
    loop = asyncio.get_running_loop()

    def report(progress: Progress) -> None:
        assert asyncio.get_running_loop() is loop
        reports.append(progress)

    statement = "INSERT INTO w.t SELECT number FROM numbers(10000000)"
    statistics = await engine.execute(statement, lane=Lane.JOB, on_progress=report)
    await asyncio.sleep(0)
    assert statistics.rows_read == 10_000_000
    assert [report.rows_read for report in reports] == sorted(report.rows_read for report in reports)
    assert 0 < reports[-1].rows_read <= reports[-1].total_rows == 10_000_000
    reported = len(reports)
    await engine.execute("INSERT INTO w.t SELECT number FROM numbers(10000000)", lane=Lane.JOB)
    assert len(reports) == reported


async def test_statements_are_held_to_their_limits_and_later_ones_are_not(engine: Engine) -> None:
    await create(engine, "t")
    slow = "INSERT INTO w.t SELECT count() FROM numbers(1000000000000)"
    with pytest.raises(QueryTimeout):
        await engine.execute(slow, lane=Lane.JOB, limits=Limits(seconds=0.2))
    await engine.execute("INSERT INTO w.t SELECT sleepEachRow(0.1) FROM numbers(4)", lane=Lane.JOB)
    assert await count(engine, "t") == [4]


async def test_lanes_do_not_wait_for_each_other(engine: Engine) -> None:
    await create(engine, "t")
    job = asyncio.create_task(
        engine.execute("INSERT INTO w.t SELECT count() FROM numbers(1000000000000)", lane=Lane.JOB)
    )
    await asyncio.sleep(0.1)
    async with asyncio.timeout(5):
        await engine.insert(block("t", THREE))
        await engine.execute("CREATE TABLE w.other (id UInt8) ENGINE = Memory")
        assert await count(engine, "t") == [3]
    job.cancel()
    await asyncio.wait((job,))

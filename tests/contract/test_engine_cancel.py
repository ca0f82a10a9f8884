"""Cancelling the task that waits ends the statement, and the worker is free when the task is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import pytest

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Lane, Query

RUNAWAYS = {
    "count": "SELECT count() FROM numbers(1000000000000)",
    "cross join": "SELECT count() FROM numbers(10000000) AS a CROSS JOIN numbers(10000000) AS b",
    "aggregate": "SELECT uniqExact(number % 1000000) FROM numbers(1000000000000)",
    "sort": "SELECT number FROM numbers(1000000000000) ORDER BY cityHash64(number) LIMIT 1",
}


async def seconds_to_cancel(work: Awaitable[object], after_seconds: float = 0.2) -> float:
    task = asyncio.ensure_future(work)
    await asyncio.sleep(after_seconds)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return time.monotonic() - started


async def running(engine: Engine) -> int:
    """Statements in the engine, this question not counted."""
    body = (await engine.select(Query("SELECT count() FROM system.processes", format="TSV"))).body
    return int(body) - 1


@pytest.mark.parametrize("sql", RUNAWAYS.values(), ids=RUNAWAYS.keys())
async def test_a_cancelled_query_ends_within_a_second(engine: Engine, sql: str) -> None:
    assert await seconds_to_cancel(engine.select(Query(sql))) < 1
    assert await running(engine) == 0


@pytest.mark.parametrize("delay_seconds", [0, 0.0005, 0.001, 0.002, 0.005])
async def test_a_query_cancelled_while_it_starts_ends_too(engine: Engine, delay_seconds: float) -> None:
    for _ in range(5):
        assert await seconds_to_cancel(engine.select(Query(RUNAWAYS["count"])), delay_seconds) < 1
    assert await running(engine) == 0


@pytest.mark.parametrize("lane", Lane)
async def test_statements_of_every_lane_can_be_cancelled(engine: Engine, lane: Lane) -> None:
    statement = RUNAWAYS["count"]
    if lane is not Lane.READ:
        await engine.execute("CREATE TABLE w.t (id UInt64) ENGINE = MergeTree ORDER BY id")
        statement = f"INSERT INTO w.t {statement}"
    assert await seconds_to_cancel(engine.execute(statement, lane=lane)) < 1
    assert await running(engine) == 0


async def test_a_query_that_still_waits_never_starts(engine: Engine) -> None:
    busy = [asyncio.create_task(engine.select(Query(RUNAWAYS["count"]))) for _ in range(2)]
    await asyncio.sleep(0.1)
    assert await seconds_to_cancel(engine.select(Query("SELECT 'waits', count() FROM numbers(1e12)"))) < 0.1
    for task in busy:
        task.cancel()
    await asyncio.wait(busy)
    assert await running(engine) == 0


async def test_cancelling_one_query_leaves_the_others_alone(engine: Engine) -> None:
    for _ in range(10):
        victim = asyncio.create_task(engine.select(Query(RUNAWAYS["count"])))
        await asyncio.sleep(0.02)
        others = [
            asyncio.create_task(engine.select(Query("SELECT sum(number) FROM numbers(1000000)", format="TSV")))
            for _ in range(8)
        ]
        victim.cancel()
        assert {result.body for result in await asyncio.gather(*others)} == {b"499999500000\n"}
        assert victim.cancelled()


async def test_a_task_cancelled_twice_still_waits_for_the_worker(engine: Engine) -> None:
    task = asyncio.create_task(engine.select(Query(RUNAWAYS["aggregate"])))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await running(engine) == 0


async def test_a_timeout_of_asyncio_is_a_cancellation(engine: Engine) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await engine.select(Query(RUNAWAYS["count"]))
    assert await running(engine) == 0

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from ingest_tables import MakeTarget, read

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Insert, TableName
from birdhouse.errors import BirdhouseError, Busy, InvalidRows, PartialWrite
from birdhouse.ingest.batch import Batches, Rows
from birdhouse.ingest.events import Encoders, Events
from birdhouse.language.datafile.model import Column

TABLE = TableName("d", "t")


class SlowEngine:
    """Notes what it is given, and gives what it is told: the seam for failures that cannot be had on demand."""

    def __init__(self, *failures: BirdhouseError | None, poison: bytes = b"") -> None:
        self.inserts: list[Insert] = []
        self.failures = list(failures)
        self.poison = poison
        self.gate = asyncio.Event()
        self.gate.set()

    async def insert(self, insert: Insert) -> None:
        await self.gate.wait()
        self.inserts.append(insert)
        await asyncio.sleep(0)
        if self.poison and self.poison in bytes(insert.data):
            raise InvalidRows("poison")
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure


def batches(engine: SlowEngine, *, rows: int = 100, size: int = 1000, queued: int = 1000) -> Batches:
    return Batches(cast(Engine, engine), batch_rows_max=rows, batch_bytes_max=size, queued_bytes_max=queued)


def rows(data: bytes, count: int = 1, table: TableName = TABLE) -> Rows:
    return Rows(table, ("a",), data, count)


async def started(engine: SlowEngine, queue: Batches, *parts: bytes) -> list[asyncio.Task[None]]:
    """One call for each part; the insert of the first waits at the gate."""
    engine.gate.clear()
    calls = []
    for part in parts:
        calls.append(asyncio.create_task(queue.write(rows(part))))
        await asyncio.sleep(0.005)
    return calls


async def test_while_one_insert_runs_the_next_batch_fills() -> None:
    engine = SlowEngine()
    queue = batches(engine)
    calls = await started(engine, queue, *(b"%d" % number for number in range(9)))
    engine.gate.set()
    await asyncio.gather(*calls)
    assert [bytes(insert.data) for insert in engine.inserts] == [b"0", b"12345678"]
    assert len({insert.token for insert in engine.inserts}) == 2


async def test_a_batch_has_a_limit_in_rows_and_bytes() -> None:
    engine = SlowEngine()
    queue = batches(engine, rows=3, size=4)
    calls = await started(engine, queue, b"a", b"b", b"c", b"d", b"eeee", b"f")
    engine.gate.set()
    await asyncio.gather(*calls)
    assert [bytes(insert.data) for insert in engine.inserts] == [b"a", b"bcd", b"eeee", b"f"]


async def test_a_full_queue_says_busy_and_takes_rows_again_later() -> None:
    engine = SlowEngine()
    queue = batches(engine, queued=10)
    engine.gate.clear()
    first = asyncio.create_task(queue.write(rows(b"12345678")))
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await queue.write(rows(b"123"))
    engine.gate.set()
    await first
    await queue.write(rows(b"123"))
    assert [bytes(insert.data) for insert in engine.inserts] == [b"12345678", b"123"]


async def test_a_view_that_fails_is_reported_and_its_rows_are_not_sent_again() -> None:
    engine = SlowEngine(PartialWrite())
    with pytest.raises(PartialWrite):
        await batches(engine).write(rows(b"a"))
    assert len(engine.inserts) == 1


async def test_refused_rows_do_not_take_others_along() -> None:
    engine = SlowEngine(poison=b"!")
    queue = batches(engine)
    calls = await started(engine, queue, b"a", b"b", b"!", b"c")
    engine.gate.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), InvalidRows, type(None)]
    assert [bytes(insert.data) for insert in engine.inserts] == [b"a", b"b!c", b"b", b"!", b"c"]


async def test_rows_of_a_cancelled_caller_and_of_its_neighbours_are_written() -> None:
    engine = SlowEngine()
    queue = batches(engine)
    calls = await started(engine, queue, b"a", b"b", b"c")
    calls[0].cancel()
    calls[1].cancel()
    engine.gate.set()
    await calls[2]
    await queue.close()
    assert b"".join(bytes(insert.data) for insert in engine.inserts) == b"abc"


async def test_close_waits_for_what_is_queued() -> None:
    engine = SlowEngine()
    queue = batches(engine)
    call = asyncio.create_task(queue.write(rows(b"a"), rows(b"q", table=TableName("d", "q"))))
    await asyncio.sleep(0)
    await queue.close()
    assert len(engine.inserts) == 2
    await call


async def test_good_rows_and_quarantine_are_there_when_append_returns(engine: Engine, make_target: MakeTarget) -> None:
    target = await make_target([Column("id", "UInt32", "$.id"), Column("v", "String", "$.v")])
    queue = Batches(engine, batch_rows_max=1000, batch_bytes_max=10**6, queued_bytes_max=10**7)
    events = Events(queue, Encoders(), body_bytes_max=10**6)
    bodies = [b'{"id":%d,"v":"a"}\n{"id":"x%d","v":"b"}\nbroken' % (number, number) for number in range(50)]
    answers = await asyncio.gather(*(events.append(target, body) for body in bodies))
    assert {(answer.successful_rows, answer.quarantined_rows) for answer in answers} == {(1, 2)}
    assert await read(engine, target.table, "id", "id") == [[number] for number in range(50)]
    assert await read(engine, target.quarantine, "count(), countIf(empty(c__error_column)), countIf(id LIKE 'x%')") == [
        [100, 50, 50]
    ]
    assert await read(engine, target.quarantine, "countIf(insertion_date > now() - 60)") == [[100]]


async def test_equal_bodies_are_not_taken_for_one(engine: Engine, make_target: MakeTarget) -> None:
    target = await make_target([Column("id", "UInt32", "$.id")])
    queue = Batches(engine, batch_rows_max=1000, batch_bytes_max=10**6, queued_bytes_max=10**7)
    events = Events(queue, Encoders(), body_bytes_max=10**6)
    for _ in range(3):
        await events.append(target, b'{"id":1}')
    assert await read(engine, target.table, "count()") == [[3]]

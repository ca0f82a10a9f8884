"""Gathers rows for a table without a timer: while one insert of the table runs, the next batch fills up."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from birdhouse.engine.types import Insert, TableName
from birdhouse.errors import BirdhouseError, Busy, InvalidInput

ROW_FORMAT = "RowBinaryWithDefaults"


@dataclass(frozen=True, slots=True)
class Rows:
    """`data` is RowBinaryWithDefaults with the values in the order of `columns`."""

    table: TableName
    columns: tuple[str, ...]
    data: bytes
    count: int


class Inserts(Protocol):
    """What takes a block of rows: an engine, or a delivery that also looks after views."""

    async def insert(self, insert: Insert, /) -> None: ...


async def insert_rows(inserts: Inserts, rows: Rows) -> None:
    """Durable when it returns."""
    await inserts.insert(Insert(rows.table, rows.columns, ROW_FORMAT, rows.data, uuid.uuid4().hex))


@dataclass(slots=True)
class _Waiting:
    rows: Rows
    done: asyncio.Future[None]


_Key = tuple[TableName, tuple[str, ...]]


@dataclass(slots=True)
class _Queue:
    waiting: deque[_Waiting] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None


class Batches:
    """One insert at a time for each table. A batch takes what waits, up to the given rows and bytes."""

    def __init__(self, inserts: Inserts, *, batch_rows_max: int, batch_bytes_max: int, queued_bytes_max: int) -> None:
        self._inserts = inserts
        self._batch_rows_max = batch_rows_max
        self._batch_bytes_max = batch_bytes_max
        self._queued_bytes_max = queued_bytes_max
        self._queued_bytes = 0
        self._queues: dict[_Key, _Queue] = {}

    async def write(self, *rows: Rows) -> None:
        """All rows are durable when it returns. Raises Busy, with nothing queued, when the queue is full.

        A caller that is cancelled while it waits leaves its rows behind: they are written with the others.
        """
        rows = tuple(part for part in rows if part.count)
        size_bytes = sum(len(part.data) for part in rows)
        if self._queued_bytes and self._queued_bytes + size_bytes > self._queued_bytes_max:
            raise Busy(
                detail=f"({self._queued_bytes} bytes of rows wait to be written)",
                hint="Send the request again in a second.",
            )
        waiting = [self._enqueue(part) for part in rows]
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def close(self) -> None:
        """Returns when everything that was queued is written."""
        while tasks := [queue.task for queue in self._queues.values() if queue.task is not None]:
            await asyncio.gather(*tasks)

    def _enqueue(self, rows: Rows) -> asyncio.Future[None]:
        self._queued_bytes += len(rows.data)
        key = (rows.table, rows.columns)
        queue = self._queues.setdefault(key, _Queue())
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.waiting.append(_Waiting(rows, done))
        if queue.task is None:
            queue.task = asyncio.create_task(self._drain(key, queue))
        return done

    async def _drain(self, key: _Key, queue: _Queue) -> None:
        try:
            while queue.waiting:
                batch = self._take(queue.waiting)
                try:
                    await self._write_batch(batch)
                finally:
                    self._queued_bytes -= sum(len(part.rows.data) for part in batch)
        finally:
            del self._queues[key]
            for part in queue.waiting:
                self._queued_bytes -= len(part.rows.data)
                part.done.cancel()

    def _take(self, waiting: deque[_Waiting]) -> list[_Waiting]:
        batch = [waiting.popleft()]
        rows, size_bytes = batch[0].rows.count, len(batch[0].rows.data)
        while waiting:
            rows += waiting[0].rows.count
            size_bytes += len(waiting[0].rows.data)
            if rows > self._batch_rows_max or size_bytes > self._batch_bytes_max:
                break
            batch.append(waiting.popleft())
        return batch

    async def _write_batch(self, batch: list[_Waiting]) -> None:
        """When the engine refuses rows, each request goes alone, so that one does not take the others with it."""
        try:
            await insert_rows(self._inserts, _joined(batch))
        except InvalidInput as failure:
            if len(batch) == 1:
                return _answer(batch, failure)
            for part in batch:
                await self._write_batch([part])
        except BirdhouseError as failure:
            _answer(batch, failure)
        except BaseException:
            for part in batch:
                part.done.cancel()
            raise
        else:
            _answer(batch, None)


def _joined(batch: list[_Waiting]) -> Rows:
    first = batch[0].rows
    if len(batch) == 1:
        return first
    data = b"".join(part.rows.data for part in batch)
    return Rows(first.table, first.columns, data, sum(part.rows.count for part in batch))


def _answer(batch: list[_Waiting], failure: BirdhouseError | None) -> None:
    for part in batch:
        if part.done.done():  # its caller was cancelled
            continue
        if failure is None:
            part.done.set_result(None)
        else:
            part.done.set_exception(failure)

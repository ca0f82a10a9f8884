"""Fills the service data sources: a row is noted at once and written with others, a second or a few later."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

import structlog

from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Insert
from birdhouse.errors import BirdhouseError
from birdhouse.usage.row import Row

log = structlog.get_logger(__name__)

FLUSH_INTERVAL_SECONDS = 1.0
FLUSH_INTERVAL_SECONDS_MAX = 10.0
FLUSH_SHARE_MAX = 0.01
"""Of the time: after a write that took long, on a busy machine, the next one waits for more rows."""
WAITING_BYTES_MAX = 32_000_000
"""Of each table. When the engine cannot keep up, the oldest rows go first: a record never holds up what it is about."""
ATTEMPTS_MAX = 3
"""How often a batch is sent, with the same token, before it is given up."""

FOLLOWED_ROWS_MAX = 10_000
"""How many rows wait to be followed by others; the oldest go without."""

Kind = TypeVar("Kind", bound=Row)
Source = Callable[[], Iterable[Row]]
"""Rows that something has gathered since it was asked last."""
Follower = Callable[[Kind], Awaitable[Iterable[Row]]]
"""Rows that belong to one, which are cheaper to find later than when it is noted."""


@dataclass(slots=True)
class _Queue:
    """What waits for one table, as JSON, and the batch that could not be written yet."""

    columns: tuple[str, ...]
    waiting: deque[bytes] = field(default_factory=deque)
    size_bytes: int = 0
    dropped_rows: int = 0
    unwritten: Insert | None = None
    attempts: int = 0

    def put(self, row: bytes) -> None:
        self.waiting.append(row)
        self.size_bytes += len(row)
        while self.size_bytes > WAITING_BYTES_MAX:
            self.size_bytes -= len(self.waiting.popleft())
            self.dropped_rows += 1

    def take(self) -> bytes:
        rows = b"\n".join(self.waiting)
        self.waiting.clear()
        self.size_bytes = 0
        return rows


class Recorder:
    """`services` gives the workspace with the tables. With `is_on` false nothing is recorded."""

    def __init__(self, engine: Engine, services: Callable[[], Workspace | None], *, is_on: bool = True) -> None:
        self._engine = engine
        self._services = services
        self.is_on = is_on
        self._queues: dict[str, _Queue] = {}
        self._sources: list[Source] = []
        self._followers: dict[type[Row], Follower[Any]] = {}
        self._followed: deque[Row] = deque(maxlen=FOLLOWED_ROWS_MAX)
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def note(self, row: Row) -> None:
        """Takes some microseconds. Never waits, and never fails the work that the row is about."""
        if not self.is_on:
            return
        self._put(row)
        if type(row) in self._followers:
            self._followed.append(row)

    def _put(self, row: Row) -> None:
        try:
            text = row.encoded()
        except TypeError as error:  # text that is no Unicode
            log.warning("row_not_recorded", table=row.TABLE, error=str(error))
            return
        queue = self._queues.get(row.TABLE)
        if queue is None:
            queue = self._queues[row.TABLE] = _Queue(tuple(row.stored()))
        queue.put(text)

    def ask(self, source: Source) -> None:
        """Asks it for rows before each write from now on."""
        self._sources.append(source)

    def follow(self, kind: type[Kind], follower: Follower[Kind]) -> None:
        """Writes, after each row of that kind, the rows that the follower has for it."""
        self._followers[kind] = follower

    def start(self) -> None:
        self._task = asyncio.create_task(self._flush_forever())

    async def stop(self) -> None:
        """Writes what is still waiting."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self.flush()

    async def _flush_forever(self) -> None:
        seconds = 0.0
        while True:
            await asyncio.sleep(pause_seconds(seconds))
            started = time.perf_counter()
            try:
                await self.flush()
            except Exception:
                log.exception("flush_failed")  # the next one may do better
            seconds = time.perf_counter() - started

    async def flush(self) -> None:
        """Writes everything that was noted before."""
        async with self._turn:
            await self._gather()
            services = self._services()
            if services is None:
                return
            for table, queue in tuple(self._queues.items()):
                target = services.resources.get(table)
                if isinstance(target, DataSource):
                    await self._write(target, queue)

    async def _gather(self) -> None:
        for source in self._sources:
            for row in source():
                self.note(row)
        while self._followed:
            row = self._followed.popleft()
            try:
                following = await self._followers[type(row)](row)
            except BirdhouseError as error:
                log.warning("rows_not_followed", rows=1 + len(self._followed), error=str(error))
                self._followed.clear()
                return
            for each in following:
                self._put(each)

    async def _write(self, target: DataSource, queue: _Queue) -> None:
        if queue.dropped_rows:
            log.warning("rows_not_recorded", table=target.name, rows=queue.dropped_rows)
            queue.dropped_rows = 0
        if queue.unwritten is None:
            if not queue.waiting:
                return
            queue.unwritten = Insert(target.table, queue.columns, "JSONCompactEachRow", queue.take(), uuid4().hex)
            queue.attempts = 0
        queue.attempts += 1
        try:
            await self._engine.insert(queue.unwritten)
        except BirdhouseError as error:
            log.warning("rows_not_written", table=target.name, attempt=queue.attempts, error=str(error))
            if queue.attempts < ATTEMPTS_MAX:
                return
        queue.unwritten = None


def pause_seconds(write_seconds: float) -> float:
    """How long to wait after a write that took so long."""
    return min(max(FLUSH_INTERVAL_SECONDS, write_seconds / FLUSH_SHARE_MAX), FLUSH_INTERVAL_SECONDS_MAX)

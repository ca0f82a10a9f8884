"""Worker threads that run blocking work for async callers; cancelling a caller ends its work."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar, cast

from birdhouse.errors import Busy, Cancelled, CannotStart

END_AGAIN_SECONDS = 0.005
END_AGAIN_SECONDS_MAX = 0.25


class Closable(Protocol):
    def close(self) -> None: ...


Seat = TypeVar("Seat", bound=Closable)
T = TypeVar("T")


class Job(Generic[Seat]):
    """One piece of work and the place in the event loop where its outcome is awaited."""

    def __init__(self, work: Callable[[Seat], object]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self.outcome: asyncio.Future[object] = self._loop.create_future()
        self.worker: Worker[Seat] | None = None

    def run(self, seat: Seat) -> None:
        try:
            result = self._work(seat)
        except BaseException as failure:
            self._tell(self.fail, failure)
        else:
            self._tell(self._succeed, result)

    def refuse(self) -> None:
        self._tell(self.fail, Cancelled("The engine is closing."))

    def fail(self, failure: BaseException) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(failure)

    def _succeed(self, result: object) -> None:
        if not self.outcome.done():
            self.outcome.set_result(result)

    def _tell(self, how: Callable[..., None], what: object) -> None:
        # The loop is gone when the program ends while work still runs: nobody is left to be told.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(how, what)


class Worker(Generic[Seat]):
    """A thread and its seat: connections to the engine that no other thread uses."""

    def __init__(self, pool: Pool[Seat], seat: Seat, name: str) -> None:
        self._pool = pool
        self._seat = seat
        self.inbox: SimpleQueue[Job[Seat] | None] = SimpleQueue()
        self._gate = threading.Lock()
        self._running: Job[Seat] | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (job := self._pool.next_for(self)) is not None:
            self._set_running(job)
            job.run(self._seat)
            self._set_running(None)
            del job
        self._seat.close()

    def _set_running(self, job: Job[Seat] | None) -> None:
        with self._gate:
            self._running = job

    def end(self, job: Job[Seat] | None, end: Callable[[Seat], None]) -> None:
        """Ends that job, or whatever runs for None; the gate keeps the worker from its next job meanwhile."""
        with self._gate:
            if self._running is not None and job in (None, self._running):
                end(self._seat)

    def join(self, end: Callable[[Seat], None]) -> None:
        while self._thread.is_alive():
            self.end(None, end)
            self._thread.join(END_AGAIN_SECONDS_MAX)


class Pool(Generic[Seat]):
    """A fixed number of workers behind one bounded queue.

    Of the idle workers the one that was busy last goes first: what it needs is still in the processor's caches.
    `end` stops what a seat is running. It blocks, so it is called on the `enders` threads; it may come just
    before the statement has begun, so it is called until the worker is free.
    """

    def __init__(
        self,
        name: str,
        *,
        workers: int,
        waiting_max: int,
        waiting_seconds_max: float | None = None,
        open_seat: Callable[[], Seat],
        end: Callable[[Seat], None],
        enders: Executor,
    ) -> None:
        self._name = name
        self._end = end
        self._enders = enders
        self._waiting: deque[Job[Seat]] = deque()
        self._waiting_max = waiting_max
        self._waiting_seconds_max = waiting_seconds_max
        self._idle: list[Worker[Seat]] = []
        self._gate = threading.Lock()
        self._closed = False
        self._process = os.getpid()
        self._workers = [Worker(self, open_seat(), f"engine-{name}-{number}") for number in range(workers)]

    async def run(self, work: Callable[[Seat], T]) -> T:
        """Runs `work(seat)` on a free worker. A cancelled caller goes on once the work has ended."""
        job: Job[Seat] = Job(work)
        self._submit(job)
        if job.worker is None and self._waiting_seconds_max is not None:
            expiry = asyncio.get_running_loop().call_later(self._waiting_seconds_max, self._expire, job)
            job.outcome.add_done_callback(lambda _: expiry.cancel())
        try:
            return cast(T, await asyncio.shield(job.outcome))
        except asyncio.CancelledError:
            await uninterrupted(self._stop(job))
            raise

    def next_for(self, worker: Worker[Seat]) -> Job[Seat] | None:
        """Blocks until there is a job; None when the pool is closed."""
        with self._gate:
            if self._closed:
                return None
            if self._waiting:
                job = self._waiting.popleft()
                job.worker = worker
                return job
            self._idle.append(worker)
        return worker.inbox.get()

    def close(self) -> None:
        """Refuses what waits, ends what runs, and returns when all threads are gone. Blocks."""
        with self._gate:
            self._closed = True
            for job in self._waiting:
                job.refuse()
            self._waiting.clear()
            for worker in self._idle:
                worker.inbox.put(None)
        for worker in self._workers:
            worker.join(self._end)

    def _submit(self, job: Job[Seat]) -> None:
        if os.getpid() != self._process:
            raise CannotStart("The engine does not survive a fork.", hint="Start new processes instead of forking.")
        with self._gate:
            if self._closed:
                raise Cancelled("The engine is closed.")
            if self._idle:
                job.worker = self._idle.pop()
                job.worker.inbox.put(job)
            elif len(self._waiting) < self._waiting_max:
                self._waiting.append(job)
            else:
                raise Busy(detail=f"{self._waiting_max} statements wait on the {self._name} lane.")

    def _expire(self, job: Job[Seat]) -> None:
        if self._drop(job):
            job.fail(Busy(detail=f"No worker of the {self._name} lane was free for {self._waiting_seconds_max:g} s."))

    def _drop(self, job: Job[Seat]) -> bool:
        """True when the job was still waiting and will never run."""
        with self._gate:
            if job.worker is None and job in self._waiting:
                self._waiting.remove(job)
                return True
            return False

    async def _stop(self, job: Job[Seat]) -> None:
        if self._drop(job) or job.worker is None:
            return
        job.outcome.add_done_callback(ignore_outcome)
        loop = asyncio.get_running_loop()
        pause_seconds = END_AGAIN_SECONDS
        while not job.outcome.done():
            await loop.run_in_executor(self._enders, job.worker.end, job, self._end)
            await asyncio.wait((job.outcome,), timeout=pause_seconds)
            pause_seconds = min(2 * pause_seconds, END_AGAIN_SECONDS_MAX)


def ignore_outcome(future: asyncio.Future[Any]) -> None:
    """Looks at an outcome nobody asks for any more; asyncio complains about failures that nobody has seen."""
    if not future.cancelled():
        future.exception()


async def uninterrupted(work: Awaitable[object]) -> None:
    """Waits until the work is done, whatever its outcome; a cancellation meanwhile is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as later:
            cancellation = later
    if cancellation is not None:
        raise cancellation


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """What the work gives. A caller that is cancelled goes on once the work has ended."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(ignore_outcome)
    await uninterrupted(task)
    return task.result()

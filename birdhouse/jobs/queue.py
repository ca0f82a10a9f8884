"""The queue of jobs: first come, first served, a bounded number at a time, and nothing lost by a crash.

Every change of a job is in the metadata database before anybody sees it. A job that a crash or a stop
interrupted runs again at the next start; its runner knows from `Run.resumed` and from what it has kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Protocol

import structlog

from birdhouse.clock import Clock
from birdhouse.engine.types import Progress
from birdhouse.errors import BirdhouseError, Busy, Cancelled, Conflict, NotFound
from birdhouse.jobs import store
from birdhouse.jobs.job import CANCELLABLE, Job, JobFilter, JobStatus, Wait, WaitKind
from birdhouse.metadata.database import Database
from birdhouse.metadata.identifiers import new_id

log = structlog.get_logger(__name__)

WAITING_JOBS_MAX = 1000
JOBS_KEPT_HOURS = 48
NO_FILTER = JobFilter()
NO_HOLDS: Mapping[str, Sequence[Wait]] = MappingProxyType({})
NOT_LOOKED_AT = (Wait(WaitKind.UPSTREAM, "The scheduler has not looked at it yet."),)


def unobserved(job: Job) -> None:
    """For a queue that nobody watches."""


class Run:
    """One run of a job, as its runner sees it."""

    def __init__(self, database: Database, job: Job) -> None:
        self.job = job
        self.resumed = job.started_at is not None
        """An earlier run of this job was interrupted; what it had kept is in `job.result`."""
        self.is_final = False
        self.cancel_asked = False
        self._database = database

    async def keep(self, **facts: Any) -> None:
        """Adds to the result, and returns when that survives a crash."""
        self.show(**facts)
        job = self.job
        await self._database.run(lambda connection: store.save(connection, job, only_from=(JobStatus.WORKING,)))

    def show(self, **facts: Any) -> None:
        """Adds to the result that is seen while the job runs; it is stored with the next change."""
        self.job = replace(self.job, result={**self.job.result, **facts})

    def progress(self, state: Progress) -> None:
        """What `on_progress` of a statement reports. 100 % is said by the end of the job alone."""
        self.progress_of(0, 1)(state)

    def progress_of(self, part: int, parts: int) -> Callable[[Progress], None]:
        """For one of several statements that each do a like part of the work; the first is part 0."""

        def progress(state: Progress) -> None:
            if state.total_rows:
                share = min(1, state.rows_read / state.total_rows)
                self.job = replace(self.job, progress_percentage=min(99, int(100 * (part + share) / parts)))

        return progress

    def finalize(self) -> None:
        """From here on the job changes what others see, and cannot be cancelled.

        Raises CancelledError when a cancellation was asked for before.
        """
        if self.cancel_asked:
            raise asyncio.CancelledError
        self.is_final = True


class Runner(Protocol):
    """Does the jobs of one kind."""

    def touches(self, job: Job) -> frozenset[str]:
        """Ids of what the job works on. Jobs that touch the same thing run one after the other."""
        ...

    async def run(self, run: Run) -> Mapping[str, Any]:
        """Adds its result to what the run has shown. Cancelling the task ends it; a failure is raised."""
        ...

    async def clean(self, job: Job) -> None:
        """Removes what a run that did not end well has left behind; there may be nothing."""
        ...


@dataclass(slots=True)
class _Running:
    run: Run
    runner: Runner
    touches: frozenset[str]
    task: asyncio.Task[None] | None = None


class JobQueue:
    """`kinds` has the runner of each kind; `workers` is how many jobs run at the same time.

    `observe` is told of a job when it is added, starts and ends; it must return at once.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        kinds: Mapping[str, Runner],
        *,
        workers: int,
        kept_hours: int = JOBS_KEPT_HOURS,
        waiting_max: int = WAITING_JOBS_MAX,
        observe: Callable[[Job], None] = unobserved,
    ) -> None:
        self._database = database
        self._clock = clock
        self._kinds = kinds
        self._workers = workers
        self._kept = timedelta(hours=kept_hours)
        self._waiting_max = waiting_max
        self._observe = observe
        self._arriving = 0
        self._waiting: dict[str, Job] = {}
        self._running: dict[str, _Running] = {}
        self._ends: dict[str, asyncio.Event] = {}
        self._holds = NO_HOLDS
        self._when_ended: Callable[[], None] = lambda: None
        self._open = False

    def when_ended(self, call: Callable[[], None]) -> None:
        """`call` is called after the end of a job is stored."""
        self._when_ended = call

    async def start(self) -> None:
        """Takes up every job that had not finished when the last process ended."""
        self._open = True
        for job in await self._database.run(store.unfinished):
            if job.kind in self._kinds:
                self._enqueue(job)
            else:
                await self._finish(job, JobStatus.ERROR, error=f"There is no kind of job '{job.kind}' any more.")
        self._dispatch()

    async def stop(self, *, seconds: float = 0) -> None:
        """Waits that long for the jobs that run, then interrupts them; they are taken up at the next start."""
        self._open = False
        tasks = [each.task for each in self._running.values() if each.task is not None]
        if tasks and seconds:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()  # a task that had not begun yet has not removed itself
        self._waiting.clear()
        for end in self._ends.values():
            end.set()
        self._ends.clear()

    @property
    def room(self) -> int:
        """How many more jobs may wait."""
        return self._waiting_max - self._arriving - len(self._waiting)

    async def submit(self, workspace_id: str, kind: str, payload: Mapping[str, Any], *, asked_by: str = "") -> Job:
        """Raises Busy when too many jobs wait."""
        job = self.new(workspace_id, kind, payload, asked_by=asked_by)
        await self.add(job, lambda: self._database.run(lambda connection: store.add(connection, job)))
        return job

    def new(self, workspace_id: str, kind: str, payload: Mapping[str, Any], *, asked_by: str = "") -> Job:
        """A job to `add`; it is stored nowhere yet."""
        if kind not in self._kinds:
            raise NotFound(f"There is no kind of job '{kind}'")
        now = self._clock.now()
        return Job(new_id(), workspace_id, kind, JobStatus.WAITING, now, now, payload, asked_by=asked_by)

    async def add(self, job: Job, store_it: Callable[[], Awaitable[object]]) -> None:
        """Stores a job and queues it. Raises Busy when too many jobs wait."""
        if self.room <= 0:
            raise Busy(f"{self._waiting_max} jobs wait already.", hint="Wait until some are done, or cancel some.")
        # A caller that goes away must not leave a stored job that nobody runs.
        await asyncio.shield(asyncio.ensure_future(self._add(job, store_it())))

    async def _add(self, job: Job, stored: Awaitable[object]) -> None:
        self._arriving += 1
        try:
            await stored
        finally:
            self._arriving -= 1
        self._enqueue(job)
        self._dispatch()

    def take_up(
        self, queued: Iterable[Job], changed: Iterable[Job] = (), holds: Mapping[str, Sequence[Wait]] = NO_HOLDS
    ) -> None:
        """Queues jobs that are stored already, and puts others, changed, in the place they have in the queue.

        `holds` says of each job that is held what it waits for.
        """
        for job in queued:
            if job.is_finished:
                self._ended(job)
            else:
                self._enqueue(job)
        for job in changed:
            if job.id not in self._waiting:
                continue
            if job.is_finished:
                del self._waiting[job.id]
                self._ended(job)
            else:
                self._waiting[job.id] = job
        self._holds = holds
        self._dispatch()

    async def cancel(self, job_id: str) -> Job:
        """The job, cancelled or cancelling. Raises NotFound, or Conflict when it is too late."""
        waiting = self._waiting.pop(job_id, None)
        if waiting is not None:
            return await asyncio.shield(self._cancel_waiting(waiting))
        running = self._running.get(job_id)
        if running is None:
            raise _too_late(await self.get(job_id))
        if running.run.cancel_asked:
            return replace(running.run.job, status=JobStatus.CANCELLING)
        if running.run.is_final:
            raise Conflict("The job is already writing its result and can no longer be cancelled.")
        running.run.cancel_asked = True
        return await asyncio.shield(self._cancel_running(running))

    async def end_all(self, workspace_id: str) -> None:
        """Cancels the jobs of a workspace, and returns when none is left: what writes its result comes to its end."""
        while mine := [job for job in self._unfinished() if job.workspace_id == workspace_id]:
            for job in mine:
                with suppress(Conflict, NotFound):
                    await self.cancel(job.id)
            for job in mine:
                await self.finished(job.id)

    def _unfinished(self) -> list[Job]:
        return [*self._waiting.values(), *(each.run.job for each in self._running.values())]

    async def _cancel_waiting(self, job: Job) -> Job:
        try:
            await self._clean(self._kinds[job.kind], job)
            return await self._finish(job, JobStatus.CANCELLED)
        except BirdhouseError:
            self._waiting[job.id] = job
            raise

    async def _cancel_running(self, running: _Running) -> Job:
        run = running.run
        job = replace(run.job, status=JobStatus.CANCELLING, updated_at=self._clock.now())
        stored = await self._database.run(lambda connection: store.save(connection, job, only_from=CANCELLABLE))
        if not stored or run.is_final:  # it has ended meanwhile
            raise _too_late(await self._stored(job.id))
        run.job = job
        if running.task is not None:
            running.task.cancel()
        return job

    async def get(self, job_id: str) -> Job:
        running = self._running.get(job_id)
        if running is not None and running.run.job.status is not JobStatus.WAITING:
            return running.run.job
        return self._as_seen([await self._stored(job_id)])[0]

    async def _stored(self, job_id: str) -> Job:
        job = await self._database.run(lambda connection: store.get(connection, job_id))
        if job is None:
            raise NotFound(f"Job '{job_id}' not found")
        return job

    async def list(self, workspace_id: str, wanted: JobFilter = NO_FILTER) -> list[Job]:
        """The last 100 jobs of the workspace that are still kept, newest first."""
        since = self._clock.now() - self._kept
        found = await self._database.run(lambda connection: store.recent(connection, workspace_id, since, wanted))
        return [*self._as_seen(found)]

    def _as_seen(self, jobs: Iterable[Job]) -> tuple[Job, ...]:
        """With what is not stored: the progress of those that run, and what the others wait for."""
        waits = {job.id: waits for job, waits in self._turns()}
        now = self._clock.now()
        return tuple(
            running.run.job
            if (running := self._running.get(job.id)) and not job.is_finished
            else replace(job, waits=waits.get(job.id, ()), waiting_seconds=(now - job.created_at).total_seconds())
            if job.id in waits
            else job
            for job in jobs
        )

    def _turns(self) -> Iterator[tuple[Job, tuple[Wait, ...]]]:
        """The jobs that wait, in the order in which they may begin, each with what keeps it from it now."""
        taken = {name: each.run.job for each in self._running.values() for name in each.touches}
        for job in tuple(self._waiting.values()):
            if job.is_held:
                # It takes no place: what comes later may go before it.
                yield job, tuple(self._holds.get(job.id, NOT_LOOKED_AT))
                continue
            touches = self._touched(job)
            before = {other.id: other for name in sorted(touches) if (other := taken.get(name)) is not None}
            yield job, tuple(map(_wait_for, before.values())) or self._wait_for_worker()
            taken |= {name: job for name in touches if name not in taken}

    def _touched(self, job: Job) -> frozenset[str]:
        """Nothing, for a job whose workspace is gone: it begins, and fails with the reason."""
        with suppress(NotFound):
            return self._kinds[job.kind].touches(job)
        return frozenset()

    def _wait_for_worker(self) -> tuple[Wait, ...]:
        if len(self._running) < self._workers:
            return ()
        return (Wait(WaitKind.WORKER, f"{self._workers} jobs run already (job_workers)."),)

    async def finished(self, job_id: str) -> Job:
        """The job once it has ended, or as it is when the queue stops."""
        end = self._ends.get(job_id)
        if end is not None:
            await end.wait()
        return await self.get(job_id)

    def _enqueue(self, job: Job) -> None:
        self._waiting[job.id] = job
        self._ends.setdefault(job.id, asyncio.Event())
        self._observe(job)

    def _dispatch(self) -> None:
        """Starts what may start. A job that has to wait for another keeps its place before later ones like it."""
        for job, waits in self._turns():
            if not self._open or len(self._running) >= self._workers:
                return
            if not waits:
                self._begin(job)

    def _begin(self, job: Job) -> None:
        del self._waiting[job.id]
        runner = self._kinds[job.kind]
        running = _Running(Run(self._database, job), runner, self._touched(job))
        self._running[job.id] = running
        running.task = asyncio.create_task(self._work(running))

    async def _work(self, running: _Running) -> None:
        try:
            await self._run_to_end(running)
        except asyncio.CancelledError:
            # Only a stop comes here: the stored job is unfinished, and the next start takes it up.
            log.info("job_interrupted", job=running.run.job.id, kind=running.run.job.kind)
        except BirdhouseError as error:
            # The engine or the metadata database is gone; what is stored says that the job is unfinished.
            log.error("job_interrupted", job=running.run.job.id, kind=running.run.job.kind, error=str(error))
        finally:
            self._running.pop(running.run.job.id, None)
            self._dispatch()

    async def _run_to_end(self, running: _Running) -> None:
        run = running.run
        try:
            if run.job.status is JobStatus.CANCELLING:
                raise asyncio.CancelledError
            await self._set_working(run)
            run.show(**await running.runner.run(run))
        except asyncio.CancelledError:
            if not run.cancel_asked and run.job.status is not JobStatus.CANCELLING:
                raise
            await self._give_up(running, JobStatus.CANCELLED, None)
        except BirdhouseError as error:
            if not self._open and isinstance(error, Cancelled):
                raise  # the engine was closed under the job
            await self._give_up(running, JobStatus.ERROR, str(error))
        except Exception as error:
            log.exception("job_failed", job=run.job.id, kind=run.job.kind)
            await self._give_up(running, JobStatus.ERROR, f"The job failed unexpectedly: {error!r}")
        else:
            run.is_final = True
            await self._finish(run.job, JobStatus.DONE)

    async def _give_up(self, running: _Running, status: JobStatus, error: str | None) -> None:
        running.run.is_final = True
        await self._clean(running.runner, running.run.job)
        await self._finish(running.run.job, status, error=error)

    async def _set_working(self, run: Run) -> None:
        now = self._clock.now()
        job = replace(run.job, status=JobStatus.WORKING, started_at=run.job.started_at or now, updated_at=now)
        if await self._database.run(lambda connection: store.save(connection, job, only_from=CANCELLABLE)):
            run.job = job
            self._observe(job)

    async def _clean(self, runner: Runner, job: Job) -> None:
        try:
            await runner.clean(job)
        except BirdhouseError as error:
            log.warning("job_not_cleaned", job=job.id, kind=job.kind, error=str(error))

    async def _finish(self, job: Job, status: JobStatus, *, error: str | None = None) -> Job:
        now = self._clock.now()
        percentage = 100 if status is JobStatus.DONE else job.progress_percentage
        ended = replace(job, status=status, updated_at=now, error=error, progress_percentage=percentage)
        await self._database.run(lambda connection: store.finish(connection, ended, forget_before=now - self._kept))
        if running := self._running.get(job.id):
            running.run.job = ended
        self._ended(ended)
        return ended

    def _ended(self, job: Job) -> None:
        """After its end is stored."""
        if end := self._ends.pop(job.id, None):
            end.set()
        self._observe(job)
        self._when_ended()


def _wait_for(other: Job) -> Wait:
    name = other.payload.get("pipe_name") or other.payload.get("datasource", {}).get("name", "")
    return Wait(WaitKind.JOB, f"A job that came before it is {other.status}.", name=name, job_id=other.id)


def _too_late(job: Job) -> Conflict:
    return Conflict(f"The job is {job.status.value} and cannot be cancelled.")

"""Starts copies and sinks by themselves: at the ticks of their schedule, or when what they read has new data.

The schedule is in the datafile; how far it has come is in the metadata database. A look compares the two with the
time, and does in one transaction what is due: so a kill leaves whole looks, and of two schedulers on one database each
tick is taken by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.resources import Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import Clock
from birdhouse.errors import BirdhouseError, Conflict
from birdhouse.jobs import store
from birdhouse.jobs.job import Job, JobStatus, Wait
from birdhouse.jobs.look import Due, Found, Look
from birdhouse.jobs.queue import JobQueue
from birdhouse.jobs.rounds import NEVER, Member, Progress, Rounds
from birdhouse.jobs.schedule import members_of, written
from birdhouse.language.cron import cron
from birdhouse.language.datafile.model import NodeKind
from birdhouse.metadata.database import Database
from birdhouse.metadata.identifiers import new_id

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
"""How often it is asked whether a look is due."""
LOOK_AGAIN_SECONDS_MAX = 60.0
"""A look is due after that time in any case: the clock of the machine may have been set."""


@dataclass(frozen=True, slots=True)
class ScheduledKind:
    """How the pipes of one kind run by themselves: `payload(workspace, pipe, at)` is what their job is asked to do.

    It raises when the pipe cannot run; the job then exists and has failed.
    """

    job: str
    payload: Callable[[Workspace, Pipe, datetime], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """What the schedule of a pipe is doing."""

    is_paused: bool = False
    next_at: datetime | None = None
    """The next tick; None when it has no ticks or is paused."""
    waits_for: tuple[str, ...] = ()
    """Names of the copies that it waits for before each run."""
    waits: tuple[Wait, ...] = ()
    """What keeps its queued run from beginning."""
    last_job_id: str | None = None


class Scheduler:
    """`kinds` has what to do for each kind of pipe that runs by itself. With `is_on` false nothing does."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        catalog: Catalog,
        queue: JobQueue,
        kinds: Mapping[NodeKind, ScheduledKind],
        *,
        is_on: bool = True,
    ) -> None:
        self._database = database
        self._clock = clock
        self._catalog = catalog
        self._queue = queue
        self._kinds = kinds
        self._is_on = is_on
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._members: dict[str, tuple[int, tuple[Member, ...]]] = {}
        self._progress: Mapping[str, Progress] = {}
        self._holds: Mapping[str, tuple[Wait, ...]] = {}
        self._held: Mapping[str, str] = {}
        self._next_tick: datetime | None = None
        self._looked_at: datetime | None = None
        self._woken = asyncio.Event()
        # Something that a run waits for may have ended.
        queue.when_ended(self._woken.set)

    def start(self) -> None:
        """From now on it looks by itself, unless it is off."""
        if self._is_on:
            self._task = asyncio.create_task(self._look_for_ever())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look_for_ever(self) -> None:
        while True:
            if self._is_due():
                try:
                    await self.look()
                except BirdhouseError as error:
                    # The metadata database was busy, or another scheduler was faster: the next look does it.
                    log.warning("schedules_not_looked_at", error=str(error))
                except Exception:
                    log.exception("schedules_not_looked_at")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_SECONDS)

    def _is_due(self) -> bool:
        now = self._clock.now()
        return (
            self._woken.is_set()
            or self._looked_at is None
            or abs((now - self._looked_at).total_seconds()) >= LOOK_AGAIN_SECONDS_MAX
            or (self._next_tick is not None and self._next_tick <= now)
            or any(self._version(each) != each.version for each in self._catalog.workspaces())
        )

    async def look(self) -> None:
        """Queues what is due, and lets go what has waited long enough."""
        async with self._turn:
            await self._look()

    async def _look(self) -> None:
        if not self._is_on:
            return
        self._woken.clear()
        now = self._clock.now()
        looks = [self._look_at(workspace, now) for workspace in self._catalog.workspaces()]
        room = self._queue.room
        found = await self._database.run(lambda transaction: [each.run(transaction, room) for each in looks])
        self._looked_at = now
        self._next_tick = min((each.next_tick for each in found if each.next_tick), default=None)
        self._progress = {pipe: progress for each in found for pipe, progress in each.progress.items()}
        self._held = {pipe: job for each in found for pipe, job in each.held.items()}
        await self._tell_queue(found)

    async def _tell_queue(self, found: Sequence[Found]) -> None:
        before, self._holds = self._holds, {job: waits for each in found for job, waits in each.holds.items()}
        queued = [job for each in found for job in each.queued]
        changed = [job for each in found for job in each.changed]
        for job in (*queued, *(job for job in changed if job.id in before)):
            log.info("run_queued", pipe=job.payload.get("pipe_name"), job=job.id, held=job.is_held)
        for job_id, waits in self._holds.items():
            for wait in set(waits) - set(before.get(job_id, ())):
                log.info("run_held", job=job_id, waits_for=wait.name, reason=wait.reason)
        self._queue.take_up(queued, changed, self._holds)
        for job_id in (job_id for each in found for job_id in each.dropped):
            with suppress(BirdhouseError):
                await self._queue.cancel(job_id)

    def _look_at(self, workspace: Workspace, now: datetime) -> Look:
        def due(pipe_id: str, at: datetime) -> Due | None:
            pipe = workspace.pipe(pipe_id)
            kind = self._kinds.get(pipe.kind)
            return None if kind is None else Due(kind.job, lambda: kind.payload(workspace, pipe, at))

        members = self._members_of(workspace)
        texts = {each.id: written(workspace.pipe(each.id)) for each in members}
        return Look(workspace, members, texts, due, now)

    def _version(self, workspace: Workspace) -> int | None:
        return self._members[workspace.id][0] if workspace.id in self._members else None

    def _members_of(self, workspace: Workspace) -> tuple[Member, ...]:
        if self._version(workspace) != workspace.version:
            try:
                members = members_of(workspace)
            except BirdhouseError as error:  # a text that was pushed although it cannot be read
                log.warning("schedules_not_read", workspace=workspace.name, error=str(error))
                members = ()
            self._members[workspace.id] = (workspace.version, members)
        return self._members[workspace.id][1]

    def _member(self, workspace: Workspace, pipe: Pipe) -> Member | None:
        return next((each for each in self._members_of(workspace) if each.id == pipe.id), None)

    # What people ask for

    async def run_now(self, workspace: Workspace, pipe: Pipe, payload: Mapping[str, Any], *, asked_by: str) -> Job:
        """Queues a run that counts like one by schedule: what waits for the pipe goes on when it succeeds."""
        kind = self._kinds[pipe.kind]
        async with self._turn:
            await self._look()
            now = self._clock.now()
            member = self._member(workspace, pipe)
            of = None
            if member is not None:
                rounds = Rounds(self._members_of(workspace), self._progress)
                of = {pipe.id: now} if member.is_root else rounds.available(pipe.id)
            job = Job(
                new_id(), workspace.id, kind.job, JobStatus.WAITING, now, now, payload, asked_by=asked_by, round=of
            )

            def save(transaction: store.Transaction) -> None:
                store.add(transaction, job)
                progress = store.progress(transaction).get(pipe.id)
                if progress is not None and of is not None:
                    begun = {**progress.begun, **of}
                    store.save_progress(transaction, pipe.id, replace(progress, begun=begun, last_job_id=job.id))

            await self._queue.add(job, lambda: self._database.run(save))
        self._woken.set()
        return job

    async def pause(self, workspace: Workspace, pipe: Pipe) -> None:
        """No tick and no new data queues it any more; a run that is held is dropped. Raises Conflict."""
        await self._switch(workspace, pipe, is_paused=True)

    async def resume(self, workspace: Workspace, pipe: Pipe) -> None:
        """Ticks that passed meanwhile are not made up for; new data that came meanwhile is. Raises Conflict."""
        await self._switch(workspace, pipe, is_paused=False)

    async def _switch(self, workspace: Workspace, pipe: Pipe, *, is_paused: bool) -> None:
        if not written(pipe):
            raise Conflict(
                f"The pipe '{pipe.name}' has no schedule.",
                hint="It runs on demand only: give it a COPY_SCHEDULE or EXPORT_SCHEDULE.",
            )
        async with self._turn:
            await self._look()
            now = self._clock.now()

            def switch(transaction: store.Transaction) -> None:
                progress = store.progress(transaction).get(pipe.id, Progress(now, written=written(pipe)))
                until = now if progress.is_paused and not is_paused and pipe.output.schedule else progress.handled_until
                store.save_progress(transaction, pipe.id, replace(progress, is_paused=is_paused, handled_until=until))

            await self._database.run(switch)
            await self._look()

    def status(self, workspace: Workspace, pipe: Pipe) -> ScheduleStatus | None:
        """None for a pipe that runs on demand only."""
        if not written(pipe):
            return None
        member = self._member(workspace, pipe)
        if member is None:
            return None
        progress = self._progress.get(pipe.id, Progress(NEVER))
        has_ticks = member.cron is not None and not progress.is_paused
        return ScheduleStatus(
            is_paused=progress.is_paused,
            next_at=cron(member.cron or "").next_after(self._clock.now()) if has_ticks else None,
            waits_for=tuple(workspace.pipe(each).name for each in member.upstream),
            waits=self._holds.get(self._held.get(pipe.id, ""), ()),
            last_job_id=progress.last_job_id,
        )

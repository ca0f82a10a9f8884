"""One look at the schedules of a workspace, in one transaction: what is due at this moment, and what it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import short_time
from birdhouse.errors import BirdhouseError
from birdhouse.jobs import store
from birdhouse.jobs.job import BY_SCHEDULE, Job, JobStatus, Round, Wait, WaitKind
from birdhouse.jobs.rounds import NEVER, Member, Progress, Rounds
from birdhouse.language.cron import ONCE, cron
from birdhouse.metadata.identifiers import new_id

REASON_CHARACTERS_MAX = 300
CLOCK_AHEAD_MAX = timedelta(hours=1)
"""What is handled until later than that was noted while the clock of the machine was wrong."""


@dataclass(frozen=True, slots=True)
class Due:
    """What to do for one pipe: a job of that kind, asked for what `payload` says, which may raise."""

    job: str
    payload: Callable[[], dict[str, Any]]


@dataclass(slots=True)
class Found:
    """What came of a look, for the queue; everything is stored already."""

    progress: dict[str, Progress]
    queued: list[Job] = field(default_factory=list)
    """New jobs; one that could not even be asked for has failed."""
    changed: list[Job] = field(default_factory=list)
    """Jobs that wait, as they are now."""
    dropped: list[str] = field(default_factory=list)
    """Ids of jobs that nobody waits for any more."""
    holds: dict[str, tuple[Wait, ...]] = field(default_factory=dict)
    """What each job waits for that is held."""
    held: dict[str, str] = field(default_factory=dict)
    """The held job of each pipe that has one."""
    next_tick: datetime | None = None


class Look:
    """`due(pipe_id, at)` says what a run of the pipe does; None when its kind does not run here.

    `texts` are the schedules of the members as their datafiles have them.
    """

    def __init__(
        self,
        workspace: Workspace,
        members: Sequence[Member],
        texts: Mapping[str, str],
        due: Callable[[str, datetime], Due | None],
        now: datetime,
    ) -> None:
        self._workspace = workspace
        self._members = {member.id: member for member in members}
        self._texts = texts
        self._due = due
        self._now = now
        self._latest = now + CLOCK_AHEAD_MAX

    def run(self, connection: store.Transaction, room: int) -> Found:
        """`room` is for how many more jobs the queue has room; a tick that finds none is taken by a later look."""
        self._connection = connection
        self._room = room
        mine = self._workspace.by_id
        self._found = Found({pipe: each for pipe, each in store.progress(connection).items() if pipe in mine})
        self._fall_in_step()
        running = [each for each in self._members.values() if not self._progress[each.id].is_paused]
        for member in running:
            tick = self._tick(member)
            if tick is not None and tick > self._progress[member.id].handled_until:
                self._take_tick(member, tick)
        held = {job.pipe_id: job for job in store.held(connection) if job.workspace_id == self._workspace.id}
        for member in running:
            if member.follows and member.id not in held:
                self._take_news(member)
        for job in store.held(connection):
            if job.workspace_id == self._workspace.id:
                self._look_at_held(job)
        self._found.next_tick = min(
            (cron(each.cron).next_after(self._now) for each in running if each.cron), default=None
        )
        return self._found

    @property
    def _progress(self) -> dict[str, Progress]:
        return self._found.progress

    def _rounds(self) -> Rounds:
        return Rounds(self._members.values(), self._progress)

    # Schedules that were made, changed or taken away

    def _fall_in_step(self) -> None:
        for pipe_id in [each for each in self._progress if each not in self._members]:
            store.forget_progress(self._connection, pipe_id)
            del self._progress[pipe_id]
        for member in sorted(self._members.values(), key=lambda each: each.follows):
            before = self._progress.get(member.id)
            if before is None or before.written != self._texts[member.id]:
                self._restart(member, before or Progress(NEVER))
            elif max((before.handled_until, *before.begun.values(), *before.done.values())) > self._latest:
                self._set(member, self._not_ahead(before))

    def _restart(self, member: Member, before: Progress) -> None:
        """What was due before the schedule was written is not made up for."""
        text = self._texts[member.id]
        # A schedule of one tick has not had it; one that follows others has what they have brought so far.
        handled_until = NEVER if text == ONCE or member.follows else self._now
        begun = {**before.begun, **self._rounds().available(member.id)} if member.follows else before.begun
        self._set(member, replace(before, written=text, handled_until=handled_until, begun=begun))

    def _not_ahead(self, progress: Progress) -> Progress:
        """As if what was noted for times that have not come yet had been noted now."""

        def of(times: Round) -> Round:
            return {root: self._now if time > self._latest else time for root, time in times.items()}

        is_ahead = progress.handled_until > self._latest
        handled_until = self._now if is_ahead else progress.handled_until
        return replace(progress, handled_until=handled_until, begun=of(progress.begun), done=of(progress.done))

    def _set(self, member: Member, progress: Progress) -> None:
        self._progress[member.id] = progress
        store.save_progress(self._connection, member.id, progress)

    # What is due

    def _tick(self, member: Member) -> datetime | None:
        if self._texts[member.id] == ONCE:
            return self._now if self._progress[member.id].handled_until == NEVER else None
        return None if member.cron is None else cron(member.cron).latest_until(self._now)

    def _take_tick(self, member: Member, tick: datetime) -> None:
        """Queues a run, unless one is queued that has not begun: that one then stands for both ticks."""
        due = self._due(member.id, tick)
        if due is None or self._room <= 0 or not store.claim(self._connection, member.id, tick):
            return
        is_held = bool(member.upstream)
        earlier = store.not_begun(self._connection, member.id)
        if earlier is None:
            self._queue(member, due, tick, is_held=is_held, of=None if is_held else {member.id: tick})
        elif not earlier.is_held:
            self._change(replace(earlier, scheduled_for=tick, round={member.id: tick}), due)
        progress = self._progress[member.id]
        self._set(member, replace(progress, handled_until=tick, begun={member.id: tick}))

    def _take_news(self, member: Member) -> None:
        news = self._rounds().news(member.id)
        due = None if news is None else self._due(member.id, news)
        if news is None or due is None or self._room <= 0 or not store.claim(self._connection, member.id, news):
            return
        self._queue(member, due, news, is_held=True, of=None)
        self._set(member, replace(self._progress[member.id], handled_until=news))

    def _queue(self, member: Member, due: Due, at: datetime, *, is_held: bool, of: Round | None) -> None:
        if store.has_tick(self._connection, member.id, at):
            return  # the clock was set back, or the schedule was taken away and written again
        job = Job(
            new_id(),
            self._workspace.id,
            due.job,
            JobStatus.WAITING,
            self._now,
            self._now,
            {"pipe_id": member.id, "pipe_name": member.name},
            asked_by=BY_SCHEDULE,
            scheduled_for=at,
            is_held=is_held,
            round=of,
        )
        job = self._with_payload(job, due)
        store.add(self._connection, job)
        self._progress[member.id] = replace(self._progress[member.id], last_job_id=job.id)
        self._found.queued.append(job)
        self._room -= 1

    def _change(self, job: Job, due: Due) -> None:
        job = self._with_payload(job, due)
        if store.change_waiting(self._connection, job):
            self._found.changed.append(job)

    def _with_payload(self, job: Job, due: Due) -> Job:
        """A job that cannot even be asked for is there as one that failed."""
        try:
            return replace(job, payload=due.payload())
        except BirdhouseError as error:
            return replace(job, status=JobStatus.ERROR, error=str(error), is_held=False, updated_at=self._now)

    # What is held

    def _look_at_held(self, job: Job) -> None:
        member = self._members.get(job.pipe_id or "")
        runs = member is not None and (member.waits or member.cron is not None)
        if member is None or not runs or self._progress[member.id].is_paused:
            self._found.dropped.append(job.id)
            return
        blocking = self._rounds().held_by(member.id, job.scheduled_for or self._now)
        if not blocking:
            self._let_go(member, job)
        else:
            self._found.held[member.id] = job.id
            self._found.holds[job.id] = tuple(self._wait_for(each) for each in blocking)

    def _let_go(self, member: Member, job: Job) -> None:
        progress = self._progress[member.id]
        of = self._rounds().available(member.id) if member.follows else {member.id: progress.handled_until}
        due = self._due(member.id, max(of.values(), default=self._now))
        if due is not None:
            self._change(replace(job, is_held=False, round=of), due)
            self._set(member, replace(progress, begun={**progress.begun, **of}))

    def _wait_for(self, member: Member) -> Wait:
        progress = self._progress.get(member.id, Progress(NEVER))
        job = store.get(self._connection, progress.last_job_id) if progress.last_job_id else None
        return Wait(
            WaitKind.UPSTREAM, self._reason(member, progress, job), name=member.name, job_id=job.id if job else None
        )

    def _reason(self, member: Member, progress: Progress, job: Job | None) -> str:
        if job is not None and not job.is_finished:
            return f"Its run is {job.status}."
        following = ""
        if progress.is_paused:
            following = " It is paused."
        elif member.cron is not None:
            following = f" Its next run is at {short_time(cron(member.cron).next_after(self._now))}."
        if job is not None and job.status is JobStatus.ERROR:
            return f"Its run failed: {(job.error or '')[:REASON_CHARACTERS_MAX]}{following}"
        if job is not None and job.status is JobStatus.CANCELLED:
            return f"Its run was cancelled.{following}"
        return following.strip() or "It has not run again yet."

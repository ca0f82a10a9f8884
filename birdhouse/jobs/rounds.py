"""Rounds: which copies have to succeed before one that reads from them may start.

A *root* starts by its own schedule or by hand, and its run is known by its time. What starts after others has in its
data certain runs of certain roots: its *round*. In a diamond, where a slow copy and a quick one feed a third, the
rounds tell whether both bring the same run of the root; times of success alone could not.

    a (every hour) ──► b ──► d        d starts when b has the run of 10:00, not when a has that of 11:00
           └─────────────────┘
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from birdhouse.jobs.job import Round
from birdhouse.language.cron import cron

NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Member:
    """A pipe that runs by itself, or that one which does waits for."""

    id: str
    name: str
    cron: str | None = None
    """Its ticks; None when it has none, also for `@once`."""
    waits: bool = False
    """It starts after its upstream: at once when it has no ticks, else for each tick."""
    upstream: tuple[str, ...] = ()
    """Ids of the members it waits for."""

    @property
    def follows(self) -> bool:
        """Nothing but new data upstream starts it."""
        return self.waits and self.cron is None

    @property
    def is_root(self) -> bool:
        return not self.follows


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one member is. `begun` and `done` are the rounds of the last run that began and that succeeded.

    The ticks until `handled_until` are taken care of; for one that follows it is the latest run of a root that it was
    queued for.
    """

    handled_until: datetime
    is_paused: bool = False
    begun: Round = field(default_factory=dict)
    done: Round = field(default_factory=dict)
    last_job_id: str | None = None
    written: str = ""
    """What the datafile said about the schedule when it was last looked at."""


NO_PROGRESS = Progress(NEVER)


class Rounds:
    """All members of a workspace and their progress at one moment. It decides, and changes nothing."""

    def __init__(self, members: Iterable[Member], progress: Mapping[str, Progress]) -> None:
        self._members = {member.id: member for member in members}
        self._progress = progress
        self._roots: dict[str, frozenset[str]] = {}

    def roots(self, member_id: str) -> frozenset[str]:
        """The roots whose runs are in its data: itself, or those above what it waits for."""
        if member_id not in self._roots:
            self._roots[member_id] = frozenset()  # what a cycle sees, were there one
            member = self._members[member_id]
            above = [self.roots(each) for each in member.upstream]
            self._roots[member_id] = frozenset((member_id,)) if member.is_root else frozenset().union(*above)
        return self._roots[member_id]

    def available(self, member_id: str) -> Round:
        """The round that a run would have if it began now: of each root the oldest of the runs that come together."""
        return self._oldest(member_id, {each: self._of(each).done for each in self._members[member_id].upstream})

    def news(self, member_id: str) -> datetime | None:
        """The latest run of a root that a member which follows should be queued for, if there is a new one."""
        progress = self._of(member_id)
        begun = {root: self._of(root).begun.get(root, NEVER) for root in self._leading(member_id)}
        if not any(time > progress.begun.get(root, NEVER) for root, time in begun.items()):
            return None
        latest = max(begun.values())
        return latest if latest > progress.handled_until else None

    def held_by(self, member_id: str, queued_for: datetime) -> tuple[Member, ...]:
        """What it has to wait for, directly, when it is queued for that tick, or for that run of a root."""
        member = self._members[member_id]
        if member.follows:
            return self._named(self._without_news(member, queued_for))
        return self._named(each for each in member.upstream if self._is_behind(each, queued_for))

    def _without_news(self, member: Member, queued_for: datetime) -> tuple[str, ...]:
        """Which of its upstream lack something new, or the run that it was queued for."""
        leading, begun, available = self._leading(member.id), self._of(member.id).begun, self.available(member.id)
        new = {root for root in leading if available.get(root, NEVER) > begun.get(root, NEVER)}
        missing = leading - new
        if missing and not (new and self._needs_one(member.id)):
            return tuple(
                each
                for each in member.upstream
                if any(
                    self._of(each).done.get(root, NEVER) <= begun.get(root, NEVER)
                    for root in missing & self.roots(each)
                )
            )
        if not any(available.get(root, NEVER) >= queued_for for root in leading):
            return tuple(
                each
                for each in member.upstream
                if all(self._of(each).done.get(root, NEVER) < queued_for for root in leading & self.roots(each))
            )
        return ()

    def _leading(self, member_id: str) -> frozenset[str]:
        """The roots that set the pace: those with ticks; those that are run by hand where there are no others."""
        roots = self.roots(member_id)
        return frozenset(each for each in roots if self._members[each].cron is not None) or roots

    def _needs_one(self, member_id: str) -> bool:
        """Runs by hand may never come again: one is enough, where runs by schedule have to be complete."""
        return all(self._members[each].cron is None for each in self.roots(member_id))

    def _oldest(self, member_id: str, rounds: Mapping[str, Round]) -> Round:
        found: dict[str, datetime] = {}
        for root in self.roots(member_id):
            times = [times.get(root) for each, times in rounds.items() if root in self.roots(each)]
            known = [time for time in times if time is not None]
            if known and len(known) == len(times):
                found[root] = min(known)
        return found

    def _is_behind(self, member_id: str, until: datetime) -> bool:
        """Whether a run of it was due by then that has not succeeded."""
        expected, done = self._expected(member_id, until), self._of(member_id).done
        return any(done.get(root, NEVER) < time for root, time in expected.items())

    def _expected(self, member_id: str, until: datetime) -> Round:
        """The round its data should have by then, if everything went well."""
        member, progress = self._members[member_id], self._of(member_id)
        if member.is_root:
            return {} if member.cron is None else {member_id: _expected_tick(member, progress, until)}
        if progress.is_paused or self._needs_one(member_id):
            return progress.done
        above = self._oldest(member_id, {each: self._expected(each, until) for each in member.upstream})
        is_due = all(above.get(root, NEVER) > progress.done.get(root, NEVER) for root in self._leading(member_id))
        return {root: above[root] for root in self._leading(member_id)} if is_due else progress.done

    def _of(self, member_id: str) -> Progress:
        return self._progress.get(member_id, NO_PROGRESS)

    def _named(self, ids: Iterable[str]) -> tuple[Member, ...]:
        return tuple(self._members[each] for each in ids)


def _expected_tick(member: Member, progress: Progress, until: datetime) -> datetime:
    """A tick that passed before the schedule was made, or while it was paused, is not expected."""
    tick = cron(member.cron or "").latest_until(until)
    begun = progress.begun.get(member.id, NEVER)
    is_coming = tick > progress.handled_until and not progress.is_paused
    return tick if is_coming or begun >= tick else begun

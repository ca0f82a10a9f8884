"""A community told day by day. The same arguments tell the same story, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import accumulate, islice
from typing import Any

from cdp.moments import iso
from cdp.records import activity_type_rows, message, stable_id
from cdp.simulate.chance import stream
from cdp.simulate.delivery import Batch, Delivery, Tally
from cdp.simulate.entity import Entity, Version, entity
from cdp.simulate.members import FOUNDERS, Members
from cdp.simulate.organizations import Organizations
from cdp.simulate.population import Population
from cdp.simulate.projects import Project, group_record
from cdp.simulate.report import Identities, Reporter, Shares
from cdp.simulate.rhythm import WEEKDAYS
from cdp.simulate.scale import DAY, MEMBERS_PER_PROJECT, Scale
from cdp.simulate.stories import STORIES, Scene

START = date(2021, 1, 1)
YEARS = 5
_MAINTAINED_REPOSITORIES = 2


class Community:
    def __init__(
        self, seed: int, activities: int, *, years: int = YEARS, start: date = START, shares: Shares | None = None
    ) -> None:
        """`activities` counts different activities, those included that are deleted later; more than that many rows
        are delivered. Members, organizations and projects grow with it: a larger community of the same seed, time and
        shares has the same first ones."""
        self.scale = Scale.of(seed, activities, years, start)
        self.shares = shares or Shares()

    def batches(self, tally: Tally | None = None) -> Iterator[Batch]:
        """Rows in the order of delivery, counted in `tally`. What a row refers to comes before it, unless it is one of
        the disordered."""
        rng = stream(self.scale.seed, "delivery", self.scale.activities)
        delivery = Delivery(rng, self.shares, tally or Tally())
        for midnight, entities in self._days():
            for one in entities:
                delivery.put(one)
            yield from delivery.batches_until(midnight + DAY)
        yield from delivery.rest()

    def final_state(self, *, tombstones: bool = True) -> Iterator[tuple[str, bytes]]:
        """(data source, row): the row that counts for every key once everything is delivered, in no particular order.
        `tombstones` false answers what a reader finds who takes a delete for one more version."""
        for _, entities in self._days():
            for one in entities:
                if not (tombstones and one.tombstone):
                    yield one.datasource, one.versions[-1].row

    def _days(self) -> Iterator[tuple[int, Iterator[Entity]]]:
        """Midnights and what begins on that day; a day must be read before the next one."""
        history = _History(self.scale, self.shares)
        yield self.scale.start, history.prologue()
        for day in range(self.scale.days):
            yield self.scale.start + day * DAY, history.day(day)


class _History:
    def __init__(self, scale: Scale, shares: Shares) -> None:
        self._scale = scale
        self._rng = stream(scale.seed, "stories", scale.activities)
        self._organizations = Organizations(scale)
        self._members = Members(scale, self._organizations)
        self._projects = [Project(scale, index) for index in range(scale.projects)]
        self._people = Population(scale, self._members, self._projects)
        self._identities = Identities(self._members, scale.members)
        reports = stream(scale.seed, "reports", scale.activities)
        self._reporter = Reporter(reports, shares, self._people, self._identities)
        self._targets = self._plan()
        self._told = 0
        self._groups: set[int] = set()

    def _plan(self) -> list[int]:
        """How many activities there have been by the end of each day."""
        scale = self._scale
        weekday = (scale.start // DAY + 3) % 7
        weeks = [self._people.week_weight(week) for week in range(scale.weeks)]
        days = list(accumulate(weeks[day // 7] * WEEKDAYS[(weekday + day) % 7] for day in range(scale.days)))
        targets = [int(scale.activities * done / days[-1]) for done in days]
        targets[-1] = scale.activities
        return targets

    def prologue(self) -> Iterator[Entity]:
        for row in activity_type_rows():
            since = self._scale.start
            yield Entity("activityTypes", [Version(since, message("activityTypes", row, iso(since)))])
        yield from self._organizations.entities()

    def day(self, day: int) -> Iterator[Entity]:
        midnight = self._scale.start + day * DAY
        if day % 7 == 0:
            yield from self._week(day // 7, midnight)
        while self._told < self._targets[day]:
            project = self._people.project(self._rng)
            if project is None:
                return
            yield from self._story(Scene(self._rng, project, self._people, midnight), self._targets[-1])

    def _week(self, week: int, midnight: int) -> Iterator[Entity]:
        for project in self._projects:
            if project.start == midnight:
                yield from self._found(project)
        for index in self._people.advance(week):
            yield from self._members.entities(index)

    def _story(self, scene: Scene, most: int) -> Iterator[Entity]:
        """As much of a story as happened before the end."""
        events = STORIES[scene.project.host].draw(self._rng)(scene)
        happened = (event for event in events if event.seconds < self._scale.end)
        for event in islice(happened, most - self._told):
            self._told += 1
            yield from self._reporter.entities(event)

    def _found(self, project: Project) -> Iterator[Entity]:
        if project.group not in self._groups:
            self._groups.add(project.group)
            yield entity("segments", group_record(str(self._scale.seed), project.group), project.start)
        yield from project.entities()
        yield from self._maintainers(project)

    def _maintainers(self, project: Project) -> Iterator[Entity]:
        first = FOUNDERS * project.index if project.index < 3 else MEMBERS_PER_PROJECT * (project.index - 2)
        for index in range(first, min(first + FOUNDERS, self._scale.members)):
            member = self._members[index]
            if identity := self._identities.meet(member, project.host, member.joined):
                yield identity
            for repository in project.repositories[:_MAINTAINED_REPOSITORIES]:
                record: dict[str, Any] = {
                    "id": project.id("maintainer", str(index), repository.id),
                    "role": "maintainer" if index % 2 else "reviewer",
                    "originalRole": "Lead" if index == first else "Committer",
                    "repoUrl": repository.url,
                    "repoId": repository.id,
                    "identityId": stable_id("memberIdentity", str(self._scale.seed), str(index), project.host),
                    "startDate": iso(repository.created),
                    "endDate": iso(0),
                }
                retired = [(repository.created + 300 * DAY, {"endDate": iso(repository.created + 300 * DAY)})]
                yield entity("maintainersInternal", record, repository.created, retired if index % 5 == 3 else ())

"""Who is active in a week. A few numbers for every member are all that is held of the whole community."""

from __future__ import annotations

from array import array
from bisect import bisect
from itertools import accumulate
from random import Random

from cdp.simulate.members import Kind, Member, Members
from cdp.simulate.projects import Project
from cdp.simulate.scale import WEEK, Scale

_STRANGERS = 0.04
"""Share of what happens in a project that is done by people of another one."""
_YEAR_END_WEEKS = frozenset({0, 51, 52})


class Population:
    def __init__(self, scale: Scale, members: Members, projects: list[Project]) -> None:
        self._scale = scale
        self._members = members
        self._projects = projects
        count = scale.members
        self._home = array("H", bytes(2 * count))
        self._leaving = array("H", bytes(2 * count))
        self._rate = array("d", bytes(8 * count))
        self._joining: list[array[int]] = [array("I") for _ in range(scale.weeks + 1)]
        self._weights = [[0.0] * (scale.weeks + 1) for _ in projects]
        for index in range(count):
            self._count(index)
        self._settle_weights()
        self._week = -1
        self._active: list[list[int]] = [[] for _ in projects]
        self._bounds: list[list[float]] = [[] for _ in projects]
        self._project_bounds: list[float] = []

    def _count(self, index: int) -> None:
        course = self._members.course(index)
        weeks = self._scale.weeks
        # A member acts from the first week that starts after they joined.
        first = min(weeks, -(-(course.joined - self._scale.start) // WEEK))
        last = min(weeks, -(-(course.left - self._scale.start) // WEEK))
        self._home[index], self._leaving[index], self._rate[index] = course.home, last, course.rate
        self._joining[first].append(index)
        self._weights[course.home][first] += course.rate
        self._weights[course.home][last] -= course.rate

    def _settle_weights(self) -> None:
        """From what members add and take away to what projects weigh, week by week."""
        for project, weights in zip(self._projects, self._weights, strict=True):
            total = 0.0
            for week, change in enumerate(weights):
                total += change
                weights[week] = max(0.0, total) * project.pull * _season(project, week)

    def week_weight(self, week: int) -> float:
        return sum(weights[week] for weights in self._weights)

    def advance(self, week: int) -> list[int]:
        """Moves on to `week`; answers the numbers of the members who joined since the last one."""
        new: list[int] = []
        while self._week < week:
            self._week += 1
            new.extend(self._joining[self._week])
        for index in new:
            self._active[self._home[index]].append(index)
        leaving, rate = self._leaving, self._rate
        for project, active in enumerate(self._active):
            active = self._active[project] = [index for index in active if leaving[index] > week]
            self._bounds[project] = list(accumulate(rate[index] for index in active))
        weights = (self._weights[project][week] if active else 0.0 for project, active in enumerate(self._active))
        self._project_bounds = list(accumulate(weights))
        return new

    def project(self, rng: Random) -> Project | None:
        bounds = self._project_bounds
        if not bounds[-1]:
            return None
        return self._projects[min(bisect(bounds, rng.random() * bounds[-1]), len(bounds) - 1)]

    def actor(self, rng: Random, project: Project) -> Member:
        """Whoever does the next thing in the project, drawn by how much they do."""
        home = project
        if rng.random() < _STRANGERS:
            home = self.project(rng) or project
        bounds = self._bounds[home.index]
        place = min(bisect(bounds, rng.random() * bounds[-1]), len(bounds) - 1)
        return self._members[self._active[home.index][place]]

    def somebody_else(self, rng: Random, project: Project, *but: Member) -> Member | None:
        """A person other than those; None in a project where nobody else is found."""
        for _ in range(4):
            member = self.actor(rng, project)
            if member.kind is not Kind.BOT and all(member.index != other.index for other in but):
                return member
        return None

    def first_account(self, member: Member) -> Member:
        return member if member.merged_into is None else self._members[member.merged_into]


def _season(project: Project, week: int) -> float:
    """Releases gather work in the weeks before and leave quiet behind; the end of the year is slow."""
    place = (week + project.index) % project.release_weeks
    release = 1.6 if place == project.release_weeks - 1 else 0.7 if place == 0 else 1.0
    return release * (0.55 if week % 52 in _YEAR_END_WEEKS else 1.0)

"""Members by number: who they are, when they come and go, for whom they work, what their rows say.

Some are programs, team members or accounts of organizations. Some are people the platform does not recognise at
first: a second account of an earlier member, merged into that one when its time is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from random import Random
from typing import Any

from cdp.moments import iso
from cdp.records import message, stable_id
from cdp.simulate.chance import one_of, stream, waiting
from cdp.simulate.entity import Entity, Version, entity
from cdp.simulate.organizations import Organization, Organizations
from cdp.simulate.places import PLACES, Place
from cdp.simulate.scale import (
    DAY,
    MEMBERS_PER_PROJECT,
    PROJECTS_MAX,
    WEEK,
    Scale,
    organizations_among,
    projects_among,
)
from cdp.simulate.words import FIRST_NAMES, LAST_NAMES, TITLES

FOUNDERS = 4
EXPERIENCES_MAX = 4
_REMEMBERED_MAX = 50_000
_PRODUCTIVITY_TAIL = 1.15
_PRODUCTIVITY_MAX = 500.0
_NOT_AN_AFFILIATION = "Board Member"
_PUBLIC_HOSTS = ("gmail.com", "outlook.com", "proton.me", "qq.com", "gmx.de")
# These platforms know people by e-mail address.
_BY_EMAIL = frozenset({"git", "gerrit", "jira", "confluence", "groupsio"})


class Kind(IntEnum):
    PERSON = 0
    BOT = 1
    TEAM = 2
    ORGANIZATION = 3
    SECOND_ACCOUNT = 4


# By number modulo 100, clear of the numbers of founders.
_KINDS = {
    37: Kind.BOT, 87: Kind.BOT, 13: Kind.TEAM, 63: Kind.TEAM, 67: Kind.ORGANIZATION,
    23: Kind.SECOND_ACCOUNT, 73: Kind.SECOND_ACCOUNT,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Experience:
    id: str
    organization: Organization
    start: int | None
    end: int | None
    title: str

    def holds(self, seconds: int) -> bool:
        """An undated one holds always: a profile with one has no other."""
        if self.title == _NOT_AN_AFFILIATION:
            return False
        return (self.start is None or self.start <= seconds) and (self.end is None or seconds <= self.end)


@dataclass(frozen=True, slots=True)
class Course:
    """The part of a member that the population is counted by."""

    kind: Kind
    home: int
    """Number of the project the member belongs to."""
    joined: int
    left: int
    rate: float
    """How much they do in a week, relative to others."""


@dataclass(frozen=True, slots=True)
class Member:
    index: int
    id: str
    kind: Kind
    joined: int
    left: int
    name: str
    login: str
    email: str
    place: Place
    is_office: bool
    """Works in office hours; the others in evenings and on weekends."""
    experiences: tuple[Experience, ...]
    merged_at: int | None
    """When a second account becomes the first one."""
    merged_into: int | None

    def username(self, platform: str) -> str:
        return self.email if platform in _BY_EMAIL else self.login

    def organization_at(self, seconds: int) -> str:
        """Id of the organization an activity of that time counts for, or an empty text."""
        if self.kind is Kind.BOT:
            return ""
        for experience in self.experiences:
            if experience.holds(seconds):
                return experience.organization.id
        return ""


class Members:
    def __init__(self, scale: Scale, organizations: Organizations) -> None:
        self._scale = scale
        self._organizations = organizations
        self._project_starts = [project_start(scale, project) for project in range(scale.projects)]
        self._of = lru_cache(_REMEMBERED_MAX)(self._make)

    def __getitem__(self, index: int) -> Member:
        return self._of(index)

    def course(self, index: int) -> Course:
        return _course(self._scale, index, self._project_starts[: projects_among(index + 1)])

    def _make(self, index: int) -> Member:
        scale = self._scale
        course = self.course(index)
        rng = stream(scale.seed, "member", index)
        first, last = one_of(rng, FIRST_NAMES), one_of(rng, LAST_NAMES)
        login = f"{_ascii(first)}{_ascii(last)[:8]}{index}"
        place = PLACES.draw(rng)
        is_office = rng.random() < 0.7
        experiences = self._experiences(rng, index, course) if course.kind in _EMPLOYED else ()
        merged_into = self._first_account(rng, index, course.left) if course.kind is Kind.SECOND_ACCOUNT else None
        return Member(
            index=index,
            id=stable_id("member", str(scale.seed), str(index)),
            kind=course.kind,
            joined=course.joined,
            left=course.left,
            name=self._name(rng, index, course.kind, f"{first} {last}"),
            login=f"helper{index}[bot]" if course.kind is Kind.BOT else login,
            email=self._email(rng, index, login, course.kind, experiences),
            place=place,
            is_office=is_office,
            experiences=experiences,
            merged_at=None if merged_into is None else self._merge(rng, course, merged_into),
            merged_into=merged_into,
        )

    def _first_account(self, rng: Random, index: int, left: int) -> int:
        """An earlier number that stands for a person, better one who is there already."""
        for _ in range(8):
            candidate = int(index * rng.random())
            if kind_of(candidate) is Kind.PERSON and self.course(candidate).joined <= left:
                return candidate
        return 0

    def _merge(self, rng: Random, course: Course, first_account: int) -> int:
        known = max(course.left, self.course(first_account).joined)
        return known + DAY + int(rng.random() * 20 * DAY)

    def _name(self, rng: Random, index: int, kind: Kind, name: str) -> str:
        if kind is Kind.BOT:
            return f"helper{index}[bot]"
        if kind is Kind.ORGANIZATION:
            return self._organizations[index % organizations_among(index)].name
        return name.split()[0].lower() if rng.random() < 0.1 else name

    def _email(self, rng: Random, index: int, login: str, kind: Kind, experiences: tuple[Experience, ...]) -> str:
        if kind is Kind.BOT:
            return f"{10_000_000 + index}+helper{index}[bot]@users.noreply.github.com"
        if experiences and rng.random() < 0.5:
            return f"{login}@{experiences[0].organization.domain}"
        if rng.random() < 0.2:
            return f"{10_000_000 + index}+{login}@users.noreply.github.com"
        return f"{login}@{one_of(rng, _PUBLIC_HOSTS)}"

    def _experiences(self, rng: Random, index: int, course: Course) -> tuple[Experience, ...]:
        """Jobs one after the other; the last may last until today. Few profiles have no dates at all."""
        count = int(rng.random() * 4 * rng.random() + 0.75)
        if count and rng.random() < 0.06:
            return (self._experience(rng, index, 0, None, None, one_of(rng, TITLES)),)
        found = []
        start = course.joined - int(rng.random() * 1_200 * DAY)
        for number in range(min(count, EXPERIENCES_MAX - 1)):
            end = start + int((200 + rng.random() * 1_200) * DAY)
            is_open = number == count - 1 and rng.random() < 0.75
            found.append(self._experience(rng, index, number, start, None if is_open else end, one_of(rng, TITLES)))
            start = end + int(1 + rng.random() * 150) * DAY
        if rng.random() < 0.04:
            found.append(self._experience(rng, index, count, course.joined, None, _NOT_AN_AFFILIATION))
        return tuple(found)

    def _experience(
        self, rng: Random, index: int, number: int, start: int | None, end: int | None, title: str
    ) -> Experience:
        rank = int(organizations_among(index) * rng.random() ** 2.2)
        id_ = stable_id("memberOrganization", str(self._scale.seed), str(index), str(number))
        midnights = [None if time is None else max(0, time // DAY * DAY) for time in (start, end)]
        return Experience(id_, self._organizations[rank], midnights[0], midnights[1], title)

    def entities(self, index: int) -> Iterator[Entity]:
        """The rows that are there when the member joins. Identities follow when they are used."""
        member = self[index]
        row = _record(member)
        changes = _changes(self._scale.seed, member, row)
        found = entity("members", row, member.joined, changes)
        if member.merged_at is not None:
            last = {
                **row,
                "createdAt": iso(member.joined),
                "updatedAt": iso(changes[-1][0] if changes else member.joined),
            }
            for _, values in changes:
                last.update(values)
            found.tombstone = Version(member.merged_at, message("members", last, iso(member.merged_at), "delete"))
        yield found
        yield self.identity(member, "email", member.joined)
        for experience in member.experiences:
            yield _experience_entity(self._scale.seed, member, experience)

    def identity(self, member: Member, platform: str, since: int) -> Entity:
        """`platform` email stands for the verified address of the profile. A merge moves it to the first account."""
        is_email = platform == "email"
        record = {
            "id": stable_id("memberIdentity", str(self._scale.seed), str(member.index), platform),
            "memberId": member.id,
            "platform": "github" if is_email else platform,
            "value": member.email if is_email else member.username(platform),
            "sourceId": "",
            "integrationId": "",
            "type": "email" if is_email else "username",
            "verified": True,
            "deletedAt": None,
        }
        if member.merged_at is None or member.merged_into is None:
            return entity("memberIdentities", record, since)
        since = min(since, member.merged_at - 1)
        return entity(
            "memberIdentities", record, since, [(member.merged_at, {"memberId": self[member.merged_into].id})]
        )


_EMPLOYED = frozenset({Kind.PERSON, Kind.TEAM})


def kind_of(index: int) -> Kind:
    return _KINDS.get(index % 100, Kind.PERSON)


def founded_project(index: int) -> int | None:
    """The first four of every 150 members found a project; the first twelve of all found the first three."""
    if index < 3 * FOUNDERS:
        return index // FOUNDERS
    turn, place = divmod(index, MEMBERS_PER_PROJECT)
    project = 2 + turn
    return project if turn and place < FOUNDERS and project < PROJECTS_MAX else None


def project_start(scale: Scale, project: int) -> int:
    if project < 3:
        return scale.start
    week = int(stream(scale.seed, "project start", project).random() * 0.6 * scale.weeks)
    return scale.start + week * WEEK


def _course(scale: Scale, index: int, starts: list[int]) -> Course:
    rng = stream(scale.seed, "course", index)
    kind = kind_of(index)
    founded = founded_project(index)
    home = founded if founded is not None else int(len(starts) * rng.random() ** 1.8)
    productivity = min((1 - rng.random()) ** (-1 / _PRODUCTIVITY_TAIL), _PRODUCTIVITY_MAX)
    weeks = 1 + waiting(rng, 3 + 6 * productivity**0.6)
    joined = starts[home]
    if founded is not None:
        productivity = 30 + productivity * 2
        weeks = scale.weeks + 1 if index < 2 else max(weeks, 52)
    else:
        room = max(0, scale.end - starts[home] - 2 * WEEK)
        joined += DAY + int(room * rng.random() ** 0.7)
    if kind is Kind.BOT:
        productivity, weeks = 40 + rng.random() * 160, 100 + rng.random() * 200
    elif kind is Kind.SECOND_ACCOUNT:
        productivity, weeks = min(productivity, 8), min(weeks, 20)
    return Course(kind, home, joined, joined + int(weeks * WEEK) + 1, productivity / weeks)


def _ascii(name: str) -> str:
    return "".join(letter for letter in name.lower() if "a" <= letter <= "z")


def _record(member: Member) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "isBot": {"github": member.kind is Kind.BOT, "default": member.kind is Kind.BOT},
        "isTeamMember": {"default": member.kind is Kind.TEAM},
        "isOrganization": {"default": member.kind is Kind.ORGANIZATION},
        "avatarUrl": {
            "github": f"https://avatars.example/{member.login}",
            "default": f"https://avatars.example/{member.login}",
        },
    }
    if member.place.text and member.kind is not Kind.BOT:
        attributes["location"] = {"github": member.place.text, "default": member.place.text}
        if member.place.country:
            attributes["country"] = {"enrichment": member.place.country, "default": member.place.country}
    return {
        "id": member.id,
        "attributes": attributes,
        "contributions": [],
        "joinedAt": iso(member.joined),
        "displayName": member.name,
        "score": -1,
    }


def _changes(seed: int, member: Member, record: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """What somebody edits later: a name, a place, or that this is a program after all."""
    rng = stream(seed, "member changes", member.index)
    drawn = rng.random()
    at = member.joined + DAY + int(rng.random() * max(DAY, member.left - member.joined))
    if member.kind is not Kind.PERSON or founded_project(member.index) is not None:
        return []
    if drawn < 0.04:
        return [(at, {"displayName": f"{member.name} ({member.login})"})]
    if drawn < 0.07:
        place = PLACES.draw(rng)
        location = {"custom": place.text, "default": place.text}
        return [(at, {"attributes": {**record["attributes"], "location": location}})]
    if drawn < 0.075:
        return [(at, {"attributes": {**record["attributes"], "isBot": {"custom": True, "default": True}}})]
    return []


def _experience_entity(seed: int, member: Member, experience: Experience) -> Entity:
    rng = stream(seed, "member organization", int(experience.id[:8], 16))
    record = {
        "id": experience.id,
        "memberId": member.id,
        "organizationId": experience.organization.id,
        "dateStart": None if experience.start is None else iso(experience.start),
        "dateEnd": None if experience.end is None else iso(experience.end),
        "title": experience.title,
        "source": one_of(rng, ("email-domain", "enrichment", "ui")),
        "verified": rng.random() < 0.3,
        "verifiedBy": "",
        "deletedAt": None,
    }
    changes = []
    if rng.random() < 0.03:
        changes = [(member.joined + int((1 + rng.random() * 200) * DAY), {"title": "Principal Engineer"})]
    if experience.title == _NOT_AN_AFFILIATION:
        changes = []
    return entity("memberOrganizations", record, member.joined, changes)

"""Where a story plays: one project on one day, with the people who are active there."""

from __future__ import annotations

from random import Random
from typing import Any

from cdp.simulate.chance import around
from cdp.simulate.event import Event
from cdp.simulate.members import Kind, Member
from cdp.simulate.population import Population
from cdp.simulate.projects import Project
from cdp.simulate.rhythm import is_weekend, second_of_day
from cdp.simulate.scale import DAY
from cdp.simulate.words import headline, sentences, tone

STORY_DAYS_MAX = 90
"""No story is longer: what is under way is all a simulation has to remember."""


class Scene:
    def __init__(self, rng: Random, project: Project, people: Population, midnight: int) -> None:
        self.rng = rng
        self.project = project
        self.midnight = midnight
        self.repository = project.repository(rng, midnight)
        self._people = people

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def actor(self) -> Member:
        """Anybody, programs included. People with office hours are rarely seen on a weekend."""
        member = self._people.actor(self.rng, self.project)
        if member.is_office and member.kind is not Kind.BOT and is_weekend(self.midnight):
            member = self._people.actor(self.rng, self.project)
        return member

    def person(self) -> Member | None:
        return self._people.somebody_else(self.rng, self.project)

    def somebody_else(self, *but: Member) -> Member | None:
        return self._people.somebody_else(self.rng, self.project, *but)

    def first_account(self, member: Member) -> Member:
        return self._people.first_account(member)

    def today(self, member: Member) -> int:
        return self.midnight + second_of_day(self.rng, member)

    def later(self, member: Member, after: int, median_hours: float) -> int:
        """A time the member may answer something of the time `after`."""
        hours = min(around(self.rng, median_hours, 1.1), STORY_DAYS_MAX / 3 * 24)
        time = after + 60 + int(hours * 3_600)
        if hours > 8:
            # Another day: at an hour the member is awake.
            time = max(after + 60, time // DAY * DAY + second_of_day(self.rng, member))
        return min(time, self.midnight + STORY_DAYS_MAX * DAY)

    def text_of(self, **more: Any) -> dict[str, Any]:
        """A body and how it sounds, as fields of an event; `more` are attributes."""
        found = tone(self.rng)
        return {"body": sentences(self.rng, found), "tone": found, "attributes": more}

    def headline(self) -> str:
        return headline(self.rng)

    def node_id(self, prefix: str) -> str:
        return f"{prefix}{self.rng.getrandbits(64):016x}"

    def hash(self) -> str:
        return f"{self.rng.getrandbits(160):040x}"

    def number(self) -> str:
        return str(1_000_000_000 + self.rng.getrandbits(40))

    def size(self) -> tuple[int, int]:
        """Inserted and deleted lines; a few changes move the whole tree."""
        insertions = int(around(self.rng, 22, 1.5))
        if self.chance(0.004):
            insertions += 20_000
        return insertions, int(insertions * self.rng.random() * 0.9)

    def event(
        self,
        type: str,
        member: Member,
        seconds: int,
        source_id: str,
        *,
        platform: str = "",
        channel: str = "",
        **more: Any,
    ) -> Event:
        """Of the code host, in the repository, when no platform is named."""
        platform = platform or self.project.host
        repository = self.repository
        if not channel:
            channel = repository.url if platform == "git" else repository.channel
        more.setdefault("url", repository.url)
        return Event(self.project, platform, type, seconds, member, source_id, channel, **more)

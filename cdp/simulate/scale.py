"""How large a community is and when it lives: all that follows from the arguments alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from cdp.simulate.errors import ImpossibleCommunity

DAY = 86_400
WEEK = 7 * DAY
ACTIVITIES_MAX = 100_000_000
MEMBERS_MAX = 400_000
PROJECTS_MAX = 500
SEED_MAX = 2**64 - 1
YEARS_MAX = 30
_FIRST_YEAR = 1990
# The data sources are partitioned by year of creation; 2069 is the last year the importers write.
_LAST_YEAR = 2069
MEMBERS_PER_PROJECT = 150


@dataclass(frozen=True, slots=True)
class Scale:
    seed: int
    activities: int
    start: int
    """Midnight UTC of the first day, in seconds, as every time here."""
    days: int

    @classmethod
    def of(cls, seed: int, activities: int, years: int, start: date) -> Scale:
        _check("seed", seed, 0, SEED_MAX)
        _check("activities", activities, 1, ACTIVITIES_MAX)
        _check("years", years, 1, YEARS_MAX)
        _check("start", start.year, _FIRST_YEAR, _LAST_YEAR - years)
        midnight = datetime(start.year, start.month, start.day, tzinfo=UTC)
        return cls(seed, activities, int(midnight.timestamp()), int(years * 365.25))

    @property
    def end(self) -> int:
        return self.start + self.days * DAY

    @property
    def weeks(self) -> int:
        return -(-self.days // 7)

    @property
    def members(self) -> int:
        return min(MEMBERS_MAX, max(40, self.activities // 25))

    @property
    def projects(self) -> int:
        return projects_among(self.members)

    @property
    def organizations(self) -> int:
        return organizations_among(self.members)


def projects_among(members: int) -> int:
    """How many projects the first members have founded: three to begin with, then one for every 150 of them."""
    return min(PROJECTS_MAX, 3 + (members - 1) // MEMBERS_PER_PROJECT)


def organizations_among(members: int) -> int:
    return 12 + members // 8


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ImpossibleCommunity(f"{name} must be from {least} to {most}.", detail=f"(given: {value})")

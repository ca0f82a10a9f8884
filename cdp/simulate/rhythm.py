"""When people do things: hours of the day by kind of person and clock, and days of the week."""

from __future__ import annotations

from random import Random

from cdp.simulate.chance import Weighted
from cdp.simulate.members import Kind, Member
from cdp.simulate.scale import DAY

_HOURS = range(24)
_OFFICE = Weighted(_HOURS, (1, 1, 0, 0, 0, 1, 3, 8, 20, 34, 38, 36, 24, 30, 38, 38, 34, 26, 14, 8, 7, 7, 5, 3))
_FREE_TIME = Weighted(_HOURS, (9, 5, 3, 1, 1, 1, 2, 4, 6, 8, 9, 9, 10, 10, 10, 10, 11, 13, 18, 24, 30, 32, 26, 16))
# Monday first. Together 7, so that a week is a week.
WEEKDAYS = (1.22, 1.29, 1.29, 1.25, 1.07, 0.42, 0.46)


def is_weekend(seconds: int) -> bool:
    # 1970 began on a Thursday.
    return (seconds // DAY + 3) % 7 >= 5


def second_of_day(rng: Random, member: Member) -> int:
    """In UTC."""
    drawn = rng.random()
    if member.kind is Kind.BOT:
        return int(drawn * DAY)
    hour = (_OFFICE if member.is_office else _FREE_TIME).draw(rng) - member.place.offset_hours
    return (hour * 3_600 + int(drawn * 3_600)) % DAY

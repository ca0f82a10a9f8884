"""Times as the data sources hold them: seconds from 1970 to 2106."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

MOMENT_SECONDS_MAX = 2**32 - 1
# createdAt is the partition (by year), and the engine refuses a block with more than 100 partitions: 1970 to
# 2069.
CREATED_SECONDS_MAX = int(datetime(2069, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


class Moment(NamedTuple):
    seconds: int
    clamped: bool
    """The commit names no time, or one outside what the columns hold; `seconds` is the nearest they do."""

    @property
    def iso(self) -> str:
        return iso(self.seconds)

    @property
    def created(self) -> int:
        return min(self.seconds, CREATED_SECONDS_MAX)


def moment(seconds: int | None) -> Moment:
    if seconds is None or seconds < 0:
        return Moment(0, True)
    if seconds > MOMENT_SECONDS_MAX:
        return Moment(MOMENT_SECONDS_MAX, True)
    return Moment(seconds, False)


def iso(seconds: int) -> str:
    day, second = divmod(seconds, 86_400)
    hour, second = divmod(second, 3_600)
    return f"{_date(day)}T{hour:02d}:{second // 60:02d}:{second % 60:02d}Z"


@lru_cache(maxsize=4_096)
def _date(days: int) -> str:
    # Every row has several times, and most rows of a minute share their day.
    return datetime.fromtimestamp(days * 86_400, UTC).strftime("%Y-%m-%d")

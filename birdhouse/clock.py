"""The only place that asks what time it is. All times are UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class ManualClock:
    """A clock that stands still until told to move; the double our own tests use."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by


def wire_time(moment: datetime) -> str:
    """`2024-05-01 10:00:00.123456`, the form every answer of the API uses; clients cut its last seven characters."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def short_time(moment: datetime) -> str:
    """`2024-05-01 10:00:00`, as templates get it and people read it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")

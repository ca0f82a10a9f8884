"""Differences between two dates given as texts, as whole positive numbers of a unit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from birdhouse.language.template.literals import Placeholder, syntax_error

DATE_LENGTH_MAX = 100
"""Characters of a date's text and of its format."""

_DAY_FORMAT = "%Y-%m-%d"
_SECOND_FORMAT = "%Y-%m-%d %H:%M:%S"
_TIME_HINT = (
    "defaults to YYYY-MM-DD hh:mm:ss. Or %Y-%m-%d %H:%M:%S [.ssssss]Z, "
    "e.g. ms: 2022-12-19T18:42:22.591Z s:2022-12-19T18:42:22Z"
)
_DAYS_MESSAGE = "invalid date format in function `{}`, it must be ISO format date YYYY-MM-DD, e.g. 2018-09-26"


def _seconds_between(first: Any, second: Any, *formats: Any) -> float | None:
    start, end = _moment(first, *formats), _moment(second, *formats)
    # A moment with an offset and one without cannot be compared.
    if start is None or end is None or (start.tzinfo is None) != (end.tzinfo is None):
        return None
    return abs((end - start).total_seconds())


def _moment(text: Any, *formats: Any) -> datetime | None:
    for pattern in formats:
        if not isinstance(text, str) or not isinstance(pattern, str):
            continue
        if max(len(text), len(pattern)) > DATE_LENGTH_MAX:
            continue
        try:
            return datetime.strptime(text, pattern)
        except ValueError:
            continue
    return None


def _difference(message: str, unit_seconds: int, day_format: str) -> Callable[..., int | None]:
    def difference(
        d0: Any,
        d1: Any,
        date_format: Any = day_format,
        default: Any = None,
        backup_date_format: Any = None,
        none_if_error: Any = False,
    ) -> Any:
        if isinstance(d0, Placeholder) or isinstance(d1, Placeholder):
            return default or 0
        seconds = _seconds_between(d0, d1, date_format, backup_date_format)
        if seconds is not None:
            return int(seconds / unit_seconds)
        if none_if_error:
            return None
        raise syntax_error(message)

    return difference


def day_diff(d0: Any, d1: Any, default: Any = None) -> int:
    if isinstance(d0, Placeholder) or isinstance(d1, Placeholder):
        return 0
    seconds = _seconds_between(d0, d1, _DAY_FORMAT)
    if seconds is None:
        hint = ". For other fotmats, try `date_diff_in_days`"
        raise syntax_error(_DAYS_MESSAGE.format("day_diff") + hint)
    return int(seconds / 86_400)


def _time_message(unit: str) -> str:
    return f"invalid date_format in function `date_diff_in_{unit}`, {_TIME_HINT}"


DATE_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "day_diff": day_diff,
    "date_diff_in_days": _difference(_DAYS_MESSAGE.format("date_diff_in_days"), 86_400, _DAY_FORMAT),
    "date_diff_in_hours": _difference(_time_message("hours"), 3600, _SECOND_FORMAT),
    "date_diff_in_minutes": _difference(_time_message("minutes"), 60, _SECOND_FORMAT),
    "date_diff_in_seconds": _difference(_time_message("seconds"), 1, _SECOND_FORMAT),
}

"""Two answers of an endpoint to one request, that of the main workspace and that of a branch: what differs?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import mean, median
from typing import Any

from birdhouse.errors import InvalidParameter

TOLERANCE = 0.01
"""How far numbers may be from each other, as a part of the larger one: approximate functions give no exact ones."""

SHOWN_CHARACTERS_MAX = 300
NOT_CHECKED = -1


@dataclass(frozen=True, slots=True)
class Assertions:
    """What has to hold; the fields are those of the `config` that clients send."""

    assert_result: bool = True
    assert_result_no_error: bool = True
    assert_result_rows_count: bool = True
    assert_result_ignore_order: bool = False
    failfast: bool = False
    assert_time_increase_percentage: float = 25
    assert_bytes_read_increase_percentage: float = 25
    assert_max_time: float = 0.3
    """Seconds; a branch that answers faster may be slower than the main workspace."""


@dataclass(frozen=True, slots=True)
class Answered:
    """`rows` are None where the endpoint failed with `error`."""

    rows: Sequence[Mapping[str, Any]] | None
    error: str = ""
    seconds: float = 0.0
    bytes_read: int = 0


def assertions(config: object) -> Assertions:
    """Null stands for the default. Raises InvalidParameter for a name or value that there is not."""
    if not isinstance(config, Mapping):
        raise InvalidParameter("The 'config' of a regression test is not an object.")
    given = {name: value for name, value in config.items() if value is not None}
    for name, value in given.items():
        default = getattr(Assertions(), name, None) if name in Assertions.__dataclass_fields__ else None
        if default is None:
            known = ", ".join(Assertions.__dataclass_fields__)
            raise InvalidParameter(f"A regression test has no option {name!r}.", hint=f"There are {known}.")
        is_flag = isinstance(default, bool)
        if isinstance(value, bool) != is_flag or not isinstance(value, int | float):
            raise InvalidParameter(
                f"The option '{name}' of a regression test is not a {'flag' if is_flag else 'number'}."
            )
    return Assertions(**given)


def differences(main: Answered, branch: Answered, wanted: Assertions) -> str:
    """The first thing that should not differ and does, in words; an empty text when there is none."""
    if branch.rows is None:
        return f"The branch fails: {branch.error}" if wanted.assert_result_no_error else ""
    if main.rows is None:
        return ""  # The branch has mended it.
    if wanted.assert_result_rows_count and len(main.rows) != len(branch.rows):
        return f"The main workspace answers {len(main.rows)} rows, the branch {len(branch.rows)}"
    if wanted.assert_result and (told := _rows_differ(main.rows, branch.rows, wanted)):
        return told
    return _costs_more(main, branch, wanted)


def _rows_differ(main: Sequence[Mapping[str, Any]], branch: Sequence[Mapping[str, Any]], wanted: Assertions) -> str:
    if wanted.assert_result_ignore_order:
        main, branch = sorted(main, key=_text), sorted(branch, key=_text)
    for number, (a, b) in enumerate(zip_longest(main, branch, fillvalue=None), 1):
        if a is None or b is None:
            return f"Row {number} is in one of the two answers only: {_text(a or b)}"
        if list(a) != list(b):
            return f"The columns are {', '.join(a)} in the main workspace, and {', '.join(b)} in the branch"
        for column in a:
            if not _equal(a[column], b[column]):
                both = f"{_text(a[column])} in the main workspace, {_text(b[column])} in the branch"
                return f"Row {number}, column '{column}': {both}"
    return ""


def _equal(a: object, b: object) -> bool:
    if isinstance(a, bool) or isinstance(b, bool) or not isinstance(a, int | float) or not isinstance(b, int | float):
        return a == b
    return math.isclose(a, b, rel_tol=TOLERANCE)


def _text(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}…"


def _costs_more(main: Answered, branch: Answered, wanted: Assertions) -> str:
    seconds_more = increase(main.seconds, branch.seconds)
    allowed = wanted.assert_time_increase_percentage
    if allowed != NOT_CHECKED and branch.seconds > wanted.assert_max_time and seconds_more > allowed:
        return f"The branch takes {branch.seconds:.3f} s, {seconds_more:.0f} % more; allowed are {allowed} %"
    bytes_more = increase(main.bytes_read, branch.bytes_read)
    allowed = wanted.assert_bytes_read_increase_percentage
    if allowed != NOT_CHECKED and bytes_more > allowed:
        return f"The branch reads {branch.bytes_read} bytes, {bytes_more:.0f} % more; allowed are {allowed} %"
    return ""


def increase(before: float, after: float) -> float:
    """In per cent of `before`."""
    return 100.0 * (after - before) / before if before else 0.0


def _p90(values: Sequence[float]) -> float:
    return sorted(values)[math.ceil(0.9 * len(values)) - 1]


MEASURES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "min": min, "max": max, "mean": mean, "median": median, "p90": _p90,
}  # fmt: skip


def timings(pairs: Sequence[tuple[Answered, Answered]]) -> dict[str, list[Any]]:
    """By the names that clients print: main workspace, branch, increase in per cent."""
    if not pairs:
        return {}
    found: dict[str, list[Any]] = {}
    for name, of in MEASURES.items():
        seconds = [float(of([pair[side].seconds for pair in pairs])) for side in (0, 1)]
        sizes = [float(of([pair[side].bytes_read for pair in pairs])) for side in (0, 1)]
        found[f"{name} response time"] = [*seconds, increase(*seconds)]
        found[f"{name} read bytes"] = [*(f"{size:.0f} bytes" for size in sizes), increase(*sizes)]
    return found

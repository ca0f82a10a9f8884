from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdhouse.errors import InvalidInput
from birdhouse.language.cron import Cron


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "now", "latest", "following"),
    [
        ("0 * * * *", "2024-05-01 10:17:03", "2024-05-01 10:00", "2024-05-01 11:00"),
        ("0 * * * *", "2024-05-01 10:00:00", "2024-05-01 10:00", "2024-05-01 11:00"),
        ("0 * * * *", "2024-05-01 10:00:00.000001", "2024-05-01 10:00", "2024-05-01 11:00"),
        ("0 * * * *", "2024-05-01 09:59:59.999999", "2024-05-01 09:00", "2024-05-01 10:00"),
        ("*/15 8-10/2 * * *", "2024-05-01 09:00", "2024-05-01 08:45", "2024-05-01 10:00"),
        ("30 1 * * SUN", "2024-05-01 00:00", "2024-04-28 01:30", "2024-05-05 01:30"),
        ("30 1 * * 7", "2024-05-01 00:00", "2024-04-28 01:30", "2024-05-05 01:30"),
        ("0 0 1,15 jan-MAR *", "2024-02-20 00:00", "2024-02-15 00:00", "2024-03-01 00:00"),
        ("0 0 13 * 5", "2024-05-01 00:00", "2024-04-26 00:00", "2024-05-03 00:00"),
        ("0 0 29 2 *", "2025-01-01 00:00", "2024-02-29 00:00", "2028-02-29 00:00"),
        ("0 0 L * *", "2024-02-10 00:00", "2024-01-31 00:00", "2024-02-29 00:00"),
        # Hours that a clock in Lisbon skips or repeats.
        ("30 1 * * *", "2024-03-31 01:30", "2024-03-31 01:30", "2024-04-01 01:30"),
        ("30 1 * * *", "2024-10-27 01:30", "2024-10-27 01:30", "2024-10-28 01:30"),
    ],
)
def test_the_ticks_around_a_moment(expression: str, now: str, latest: str, following: str) -> None:
    assert Cron(expression).latest_until(moment(now)) == moment(latest)
    assert Cron(expression).next_after(moment(now)) == moment(following)


@pytest.mark.parametrize(
    "text", ["", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
             "*/0 * * * *", "5-1 * * * *", "1,, * * * *", "a * * * *", "² * * * *", "99999999999999999999 * * * *",
             "@hourly", "every hour", f"{'1,' * 200}1 * * * *"]
)  # fmt: skip
def test_what_is_no_cron_expression(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a cron expression"):
        Cron(text)


@pytest.mark.parametrize("text", ["0 0 31 2 *", "0 0 31 4,6 *"])
def test_a_day_that_never_comes_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Cron(text)


FIELD = st.text("0123456789*/-,LW#", min_size=1, max_size=6)


@given(st.lists(FIELD, min_size=5, max_size=5).map(" ".join))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    with suppress(InvalidInput):
        expression = Cron(text)
        now = moment("2024-05-01 10:17:03")
        assert expression.latest_until(now) <= now < expression.next_after(now)


SIMPLE = st.tuples(
    st.sampled_from(["*", "*/7", "0", "5,35"]),
    st.sampled_from(["*", "*/5", "3", "1-4"]),
    st.sampled_from(["*", "1", "*/10"]),
    st.just("*"),
    st.sampled_from(["*", "MON", "1-5"]),
).map(" ".join)


@given(SIMPLE, st.integers(0, 3 * 365 * 24 * 3600 * 1000))
def test_going_on_from_the_latest_tick_gives_the_next(text: str, milliseconds: int) -> None:
    expression = Cron(text)
    now = moment("2024-01-01 00:00") + timedelta(milliseconds=milliseconds)
    following = expression.next_after(now)
    assert expression.next_after(expression.latest_until(now)) == following
    assert expression.latest_until(following) == following
    assert expression.latest_until(following - timedelta(microseconds=1)) == expression.latest_until(now)

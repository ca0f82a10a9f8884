"""The buckets of JWTs with a limit, on a clock that stands still."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from birdhouse.access.check import Grants
from birdhouse.api.rate_limit import Rates
from birdhouse.clock import ManualClock
from birdhouse.errors import RateLimited


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2024, 5, 1, tzinfo=UTC))


def grants(name: str = "j", rate: int | None = 2, workspace: str = "w") -> Grants:
    return Grants(workspace, "", name, (), expires_at=1, requests_per_second=rate)


def taken(rates: Rates, wanted: Grants, times: int) -> int:
    """How many of so many requests go through."""
    through = 0
    for _ in range(times):
        try:
            rates.take(wanted)
        except RateLimited:
            continue
        through += 1
    return through


def test_one_second_has_as_many_requests_as_the_limit(clock: ManualClock) -> None:
    rates = Rates(clock)
    assert taken(rates, grants(rate=5), 20) == 5
    clock.advance(timedelta(seconds=1))
    assert taken(rates, grants(rate=5), 20) == 5


def test_a_bucket_fills_steadily_and_never_above_its_limit(clock: ManualClock) -> None:
    rates = Rates(clock)
    assert taken(rates, grants(rate=10), 10) == 10
    clock.advance(timedelta(milliseconds=350))
    assert taken(rates, grants(rate=10), 10) == 3
    clock.advance(timedelta(hours=1))
    assert taken(rates, grants(rate=10), 100) == 10


def test_the_headers_count_down(clock: ManualClock) -> None:
    rates = Rates(clock)
    answers = [dict(rates.take(grants())) for _ in range(2)]
    assert [answer["X-RateLimit-Remaining"] for answer in answers] == ["1", "0"]
    assert answers[0] == {"X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "1"}


def test_the_error_says_how_long_to_wait(clock: ManualClock) -> None:
    rates = Rates(clock)
    taken(rates, grants(rate=1), 1)
    with pytest.raises(RateLimited, match="'j' makes too many requests") as refused:
        rates.take(grants(rate=1))
    assert (refused.value.retry_after_seconds, refused.value.requests_per_second) == (1, 1)
    clock.advance(timedelta(seconds=refused.value.retry_after_seconds))
    assert taken(rates, grants(rate=1), 1) == 1


def test_names_and_workspaces_have_buckets_of_their_own(clock: ManualClock) -> None:
    rates = Rates(clock)
    for wanted in (grants("a"), grants("b"), grants("a", workspace="other")):
        assert taken(rates, wanted, 10) == 2


def test_two_jwts_of_one_name_share_a_bucket(clock: ManualClock) -> None:
    rates = Rates(clock)
    assert taken(rates, grants(), 1) + taken(rates, grants(), 10) == 2


def test_a_token_without_a_limit_is_never_counted(clock: ManualClock) -> None:
    rates = Rates(clock)
    assert rates.take(grants(rate=None)) == {}
    assert taken(rates, grants(rate=None), 1_000) == 1_000


def test_the_bucket_that_was_not_asked_for_longest_goes_first(clock: ManualClock) -> None:
    rates = Rates(clock, buckets_max=2)
    taken(rates, grants("a"), 2)
    taken(rates, grants("b"), 2)
    assert taken(rates, grants("a"), 1) == 0
    taken(rates, grants("c"), 1)
    assert taken(rates, grants("a"), 1) == 0
    assert taken(rates, grants("b"), 2) == 2


def test_a_clock_that_is_put_back_gives_nothing_away(clock: ManualClock) -> None:
    rates = Rates(clock)
    taken(rates, grants(), 2)
    clock.advance(timedelta(hours=-1))
    assert taken(rates, grants(), 5) == 0

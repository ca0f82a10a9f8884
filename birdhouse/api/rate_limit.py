"""How often a JWT with `limits` may ask: one bucket for all JWTs of the same name in a workspace."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from birdhouse.access.check import Grants
from birdhouse.clock import Clock
from birdhouse.errors import RateLimited

BUCKETS_MAX = 10_000
"""The one that was not asked for longest goes first; its name then starts with a full bucket again."""


@dataclass(slots=True)
class Bucket:
    """Holds as many requests as one second allows, and fills up steadily."""

    left: float
    at_seconds: float


class Rates:
    def __init__(self, clock: Clock, buckets_max: int = BUCKETS_MAX) -> None:
        self._clock = clock
        self._buckets_max = buckets_max
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()

    def take(self, grants: Grants) -> Mapping[str, str]:
        """Counts one request and gives the headers that tell its caller what is left. Raises RateLimited."""
        rate = grants.requests_per_second
        if rate is None:
            return {}
        now = self._clock.now().timestamp()
        bucket = self._bucket((grants.workspace_id, grants.token_name), rate, now)
        passed_seconds = max(0.0, now - bucket.at_seconds)
        bucket.left = min(rate, bucket.left + passed_seconds * rate)
        bucket.at_seconds = now
        if bucket.left < 1:
            raise RateLimited(
                f"The token {grants.token_name!r} makes too many requests",
                requests_per_second=rate,
                retry_after_seconds=max(1, ceil((1 - bucket.left) / rate)),
                hint="Wait as long as Retry-After says, or make a JWT with a higher limits.rps.",
            )
        bucket.left -= 1
        return rate_headers(rate, int(bucket.left), ceil((rate - bucket.left) / rate))

    def _bucket(self, name: tuple[str, str], rate: int, now: float) -> Bucket:
        found = self._buckets.get(name)
        if found is not None:
            self._buckets.move_to_end(name)
            return found
        if len(self._buckets) >= self._buckets_max:
            self._buckets.popitem(last=False)
        made = self._buckets[name] = Bucket(rate, now)
        return made


def rate_headers(limit: int, remaining: int, reset_seconds: int) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(reset_seconds),
    }

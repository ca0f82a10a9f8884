"""Numbered streams of chance: every thing of a community is drawn from a stream of its own, so it stays what it is
when the community grows.

Only `random()` and `getrandbits()` are asked: their sequences are promised to stay the same in later Pythons.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar
from zlib import crc32

T = TypeVar("T")


def stream(seed: int, subject: str, index: int = 0) -> Random:
    return Random(seed << 96 | crc32(subject.encode()) << 64 | index)


def one_of(rng: Random, items: Sequence[T]) -> T:
    return items[int(rng.random() * len(items))]


def around(rng: Random, median: float, spread: float) -> float:
    """A positive number with a long tail to the right, at most exp(3 x spread) times the median."""
    bell = 2 * (rng.random() + rng.random() + rng.random()) - 3
    return median * math.exp(spread * bell)


def waiting(rng: Random, mean: float) -> float:
    """Exponentially distributed."""
    return -mean * math.log(1 - rng.random())


def few(rng: Random, mean: float, most: int) -> int:
    """A count, geometrically distributed."""
    if mean <= 0:
        return 0
    return min(most, int(waiting(rng, mean + 0.5)))


class Weighted(Generic[T]):
    """Items that are drawn as often as they weigh."""

    def __init__(self, items: Sequence[T], weights: Sequence[float]) -> None:
        self._items = items
        self._bounds = list(accumulate(weights))

    def draw(self, rng: Random) -> T:
        return self._items[min(bisect(self._bounds, rng.random() * self._bounds[-1]), len(self._items) - 1)]

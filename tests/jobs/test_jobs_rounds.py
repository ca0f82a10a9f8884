"""Who may start when, as tables: names stand for ids, and hours of one day for times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from birdhouse.jobs.rounds import NEVER, Member, Progress, Rounds

HOURLY = "0 * * * *"
DAILY = "0 0 * * *"


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2024, 5, 2, hour, minute, tzinfo=UTC)


YESTERDAY = datetime(2024, 5, 1, tzinfo=UTC)


def root(name: str, cron: str | None = HOURLY) -> Member:
    return Member(name, name, cron)


def after(name: str, *upstream: str, cron: str | None = None) -> Member:
    return Member(name, name, cron, waits=True, upstream=upstream)


def progress(begun: dict[str, int], done: dict[str, int], handled: int = 0, *, paused: bool = False) -> Progress:
    return Progress(
        at(handled),
        is_paused=paused,
        begun={name: at(hour) for name, hour in begun.items()},
        done={name: at(hour) for name, hour in done.items()},
    )


def held(members: list[Member], states: dict[str, Progress], name: str, queued_for: datetime = NEVER) -> list[str]:
    return [each.name for each in Rounds(members, states).held_by(name, queued_for)]


CHAIN = [root("a"), after("b", "a"), after("c", "b")]
DIAMOND = [root("x"), after("y", "x"), after("z", "x", "y")]
TWO = [root("a"), root("b"), after("d", "a", "b")]


@pytest.mark.parametrize(
    ("members", "states", "expected"),
    [
        (CHAIN, {"a": progress({"a": 10}, {"a": 9}), "b": progress({"a": 9}, {"a": 9})}, {"b": ["a"]}),
        (CHAIN, {"a": progress({"a": 10}, {"a": 10}), "b": progress({"a": 9}, {"a": 9})}, {"b": []}),
        # b has begun for 10 and is not done: c goes on waiting for it.
        (CHAIN, {"a": progress({"a": 10}, {"a": 10}), "b": progress({"a": 10}, {"a": 9}),
                 "c": progress({"a": 9}, {"a": 9})}, {"b": ["a"], "c": ["b"]}),
        # The quick side of a diamond is a round ahead: z starts with the older one, which both have.
        (DIAMOND, {"x": progress({"x": 11}, {"x": 11}), "y": progress({"x": 10}, {"x": 10}),
                   "z": progress({"x": 9}, {"x": 9})}, {"y": [], "z": []}),
        # Then the newer run of x alone does not start it again.
        (DIAMOND, {"x": progress({"x": 11}, {"x": 11}), "y": progress({"x": 11}, {"x": 10}),
                   "z": progress({"x": 10}, {"x": 10})}, {"z": ["y"]}),
        (DIAMOND, {"x": progress({"x": 11}, {"x": 11}), "y": progress({"x": 11}, {"x": 11}),
                   "z": progress({"x": 10}, {"x": 10})}, {"z": []}),
        # Two roots at different times: both have to bring something new.
        (TWO, {"a": progress({"a": 10}, {"a": 10}), "b": progress({"b": 9}, {"b": 9}),
               "d": progress({"a": 9, "b": 9}, {})}, {"d": ["b"]}),
        (TWO, {"a": progress({"a": 10}, {"a": 10}), "b": progress({"b": 10}, {"b": 10}),
               "d": progress({"a": 9, "b": 9}, {})}, {"d": []}),
        # A root that failed holds, and its next success lets go.
        (TWO, {"a": progress({"a": 10}, {"a": 9}), "b": progress({"b": 10}, {"b": 10}),
               "d": progress({"a": 9, "b": 9}, {})}, {"d": ["a"]}),
        (TWO, {"a": progress({"a": 11}, {"a": 11}), "b": progress({"b": 10}, {"b": 10}),
               "d": progress({"a": 9, "b": 9}, {})}, {"d": []}),
        # A copy that is run by hand is not waited for beside one with ticks.
        ([root("a"), root("m", None), after("d", "a", "m")],
         {"a": progress({"a": 10}, {"a": 10}), "d": progress({"a": 9}, {})}, {"d": []}),
        # Where all are run by hand, one of them is enough.
        ([root("m", None), root("n", None), after("d", "m", "n")],
         {"m": progress({"m": 10}, {"m": 10})}, {"d": []}),
        ([root("m", None), root("n", None), after("d", "m", "n")],
         {"m": progress({"m": 10}, {"m": 9}), "d": progress({"m": 9}, {})}, {"d": ["m", "n"]}),
    ],
)  # fmt: skip
def test_what_follows_waits_for_one_round(
    members: list[Member], states: dict[str, Progress], expected: dict[str, list[str]]
) -> None:
    assert {name: held(members, states, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("members", "states", "tick", "expected"),
    [
        # At its tick a daily copy waits for the hourly run that is due by then, and for no later one.
        ([root("a"), after("d", "a", cron=DAILY)], {"a": progress({"a": 9}, {"a": 8}, 9)}, at(9, 30), ["a"]),
        ([root("a"), after("d", "a", cron=DAILY)], {"a": progress({"a": 9}, {"a": 9}, 9)}, at(9, 30), []),
        ([root("a"), after("d", "a", cron=DAILY)], {"a": progress({"a": 10}, {"a": 9}, 10)}, at(9, 30), []),
        # Its tick is seen before the tick of the other is taken.
        ([root("a"), after("d", "a", cron=HOURLY)], {"a": progress({"a": 8}, {"a": 8}, 8)}, at(9), ["a"]),
        # A tick from before the schedule was made, or of a paused one, is not waited for.
        ([root("a"), after("d", "a", cron=DAILY)], {"a": progress({}, {}, 10)}, at(9, 30), []),
        ([root("a"), after("d", "a", cron=DAILY)], {"a": progress({"a": 8}, {"a": 8}, 8, paused=True)}, at(9, 30), []),
        # The chain between has to have come through.
        ([*CHAIN[:2], after("d", "b", cron=DAILY)],
         {"a": progress({"a": 9}, {"a": 9}, 9), "b": progress({"a": 8}, {"a": 8})}, at(9, 30), ["b"]),
        ([*CHAIN[:2], after("d", "b", cron=DAILY)],
         {"a": progress({"a": 9}, {"a": 9}, 9), "b": progress({"a": 9}, {"a": 8})}, at(9, 30), ["b"]),
        ([*CHAIN[:2], after("d", "b", cron=DAILY)],
         {"a": progress({"a": 9}, {"a": 9}, 9), "b": progress({"a": 9}, {"a": 9})}, at(9, 30), []),
        ([*CHAIN, after("d", "c", cron=DAILY)],
         {"a": progress({"a": 9}, {"a": 8}, 9), "b": progress({"a": 8}, {"a": 8}), "c": progress({"a": 8}, {"a": 8})},
         at(9, 30), ["c"]),
        # One that follows an hourly and a daily copy is due once a day: the hours between are not waited for.
        ([root("a"), root("f", DAILY), after("e", "a", "f"), after("d", "e", cron=HOURLY)],
         {"a": progress({"a": 9}, {"a": 9}, 9), "f": progress({"f": 0}, {"f": 0}),
          "e": progress({"a": 0, "f": 0}, {"a": 0, "f": 0})}, at(9), []),
        # A copy that is run by hand never holds a tick.
        ([root("m", None), after("d", "m", cron=HOURLY)], {"m": progress({"m": 9}, {})}, at(9, 30), []),
    ],
)  # fmt: skip
def test_a_tick_waits_for_what_is_due_by_then(
    members: list[Member], states: dict[str, Progress], tick: datetime, expected: list[str]
) -> None:
    assert held(members, states, "d", tick) == expected


@pytest.mark.parametrize(
    ("members", "states", "name", "expected"),
    [
        (CHAIN, {"a": progress({"a": 10}, {}), "b": progress({"a": 9}, {}, 9)}, "b", at(10)),
        (CHAIN, {"a": progress({"a": 10}, {}), "b": progress({"a": 10}, {}, 10)}, "b", None),
        # Queued for the run of 10 already, and cancelled since.
        (CHAIN, {"a": progress({"a": 10}, {}), "b": progress({"a": 9}, {}, 10)}, "b", None),
        (CHAIN, {"a": progress({"a": 10}, {}), "c": progress({"a": 9}, {}, 9)}, "c", at(10)),
        (TWO, {"a": progress({"a": 10}, {}), "b": progress({"b": 9}, {}), "d": progress({"a": 9, "b": 9}, {}, 9)},
         "d", at(10)),
        (TWO, {"a": progress({"a": 10}, {}), "b": progress({"b": 9}, {}), "d": progress({"a": 10, "b": 9}, {}, 9)},
         "d", None),
        ([after("d")], {}, "d", None),
    ],
)  # fmt: skip
def test_news_of_a_root_queue_what_follows_it(
    members: list[Member], states: dict[str, Progress], name: str, expected: datetime | None
) -> None:
    assert Rounds(members, states).news(name) == expected


def test_a_run_has_of_each_root_the_oldest_run_that_comes_together() -> None:
    states = {
        "x": progress({}, {"x": 11}),
        "y": progress({}, {"x": 10}),
    }
    assert Rounds(DIAMOND, states).available("z") == {"x": at(10)}
    assert Rounds(DIAMOND, {"x": states["x"]}).available("z") == {}
    assert Rounds(TWO, {"a": progress({}, {"a": 7})}).available("d") == {"a": at(7)}


def test_a_cycle_holds_its_members_and_ends() -> None:
    cycle = [after("a", "b"), after("b", "a")]
    assert (held(cycle, {}, "a"), held(cycle, {}, "b")) == (["b"], ["a"])

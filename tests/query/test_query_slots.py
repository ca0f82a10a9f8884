"""Composing with slots gives the SQL that composing without them gives, whatever the values are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workspaces import EVENTS, pipe, workspace_of

from birdhouse.errors import BirdhouseError, SqlError
from birdhouse.language.template import Slots
from birdhouse.query.compose import Composed, Composer, compose

PIPES = {
    "plain": "SELECT * FROM events WHERE user = {{String(a)}} AND amount > {{Int32(n, 3)}}",
    "typed": "SELECT {{Float64(n, 1)}} AS f, {{UInt8(n, 1)}} AS u, {{Int(n, 1)}} AS i, {{DateTime(t)}} AS t",
    "nested": "SELECT * FROM plain WHERE user != {{String(b, 'x')}}",
    "twice": "SELECT * FROM plain AS l JOIN nested AS r USING user WHERE l.user = {{String(a)}}",
    "branches": "SELECT {% if a == 'x' %}{{String(b, '1')}}{% else %}{{String(a)}} || {{String(b, '2')}}{% end %} AS s",
    "array": "SELECT * FROM events WHERE user IN {{Array(a, 'String')}} OR user = {{String(b, 'y')}}",
    "column": "SELECT {{column(b, 'user')}} FROM events WHERE user = {{String(a)}}",
    "in_a_text": "SELECT 'before {{String(a)}} after' AS s",
    "beside_a_text": "SELECT 'before '{{String(a)}}' after' AS s",
    "beside_each_other": "SELECT {{String(a)}}{{String(b, 'b')}} AS s",
    "after_a_letter": "SELECT x{{String(a)}} AS s",
    "as_alias": "SELECT 1 AS {{String(a)}}",
    "as_table": "SELECT * FROM {{String(a)}}",
    "as_interval": "SELECT now() - INTERVAL {{String(a)}} AS t",
    "as_type": "SELECT CAST(1, {{String(a)}}) AS x",
    "as_pattern": "SELECT COLUMNS({{String(a)}}) FROM events",
    "in_a_comment": "SELECT 1 AS x -- {{String(a)}}",
    "cast": "SELECT {{String(a)}}::String AS x",
    "negative": "SELECT -{{Int32(n, 1)}} AS x, 1 -{{Int(n, 1)}} AS y",
}
WORKSPACE = workspace_of(
    {"events.datasource": EVENTS, **{f"{name}.pipe": pipe(f"%\n    {PIPES[name]}") for name in ("plain", "nested")}}
)
EXACT = ("plain", "typed", "nested", "twice", "branches", "array", "negative")
"""Those in which every value is a literal of its own."""


def composed(name: str, parameters: dict[str, str], slots: Slots | None) -> Composed:
    return Composer(WORKSPACE, parameters, slots=slots).select(f"%\n{PIPES[name]}")


def outcome(name: str, parameters: dict[str, str], *, with_slots: bool) -> str:
    try:
        if with_slots:
            return compose(lambda slots: composed(name, parameters, slots)).sql
        return composed(name, parameters, None).sql
    except BirdhouseError as error:
        return str(error)


texts = st.text(max_size=30) | st.sampled_from(
    ["a", "user", "events", "1 DAY", "UInt8", "' OR 1", "\\", "''", "a\nb", "%", "zslot", "x'", "FORMAT CSV", "é ünï"]
)


@pytest.mark.parametrize("name", PIPES)
@given(
    a=texts,
    b=texts,
    n=st.integers(-5, 300).map(str) | texts,
    t=st.datetimes().map(lambda each: each.strftime("%Y-%m-%d %H:%M:%S")),
)
def test_slots_change_nothing(name: str, a: str, b: str, n: str, t: str) -> None:
    parameters = {"a": a, "b": b, "n": n, "t": t}
    assert outcome(name, parameters, with_slots=True) == outcome(name, parameters, with_slots=False)


@pytest.mark.parametrize("name", EXACT)
def test_calls_that_differ_in_values_alone_are_one_text_with_slots(name: str) -> None:
    def text(a: str, n: str) -> str:
        return composed(name, {"a": a, "b": "q", "n": n, "t": "2024-05-06 07:08:09"}, Slots()).sql

    if name in ("array", "negative", "typed"):
        assert text("one", "5") == text("one", "5")
    else:
        assert text("one", "5") == text("two", "77")


def test_a_value_that_needs_escaping_is_no_slot() -> None:
    slots = Slots()
    assert slots.literal("it's") == "'it\\'s'"
    assert slots.literal("line\nend") == "'line\\nend'"
    assert slots.values == []


def test_a_slot_that_is_no_literal_of_its_own_cannot_be_filled() -> None:
    slots = Slots()
    written = slots.literal("a")
    assert slots.fill(f"SELECT {written}") == "SELECT 'a'"
    for broken in (f"SELECT 'x'{written}", f"SELECT {written}'x'", f"SELECT `{written[1:-1]}`", f"SELECT \\{written}"):
        assert slots.fill(broken) is None, broken


def test_errors_tell_the_callers_own_text() -> None:
    with pytest.raises(SqlError, match="'nowhere'"):
        compose(lambda slots: composed("as_table", {"a": "nowhere"}, slots))

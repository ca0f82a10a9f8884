"""Physical names and subqueries in the place of table names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdhouse.errors import SqlError
from birdhouse.language.sql.format import format_sql
from birdhouse.language.sql.rewrite import Replacement, replace_tables
from birdhouse.language.sql.tables import TableRef, tables

EVENTS: dict[tuple[str, str], Replacement] = {
    ("", "events"): ("w", "t_1"),
    ("shared", "users"): ("other", "t_2"),
    ("", "daily"): "select day, id from w.t_3",
}

REWRITTEN = {
    "select * from events": "SELECT * FROM w.t_1 AS events",
    "select * from events as e final": "SELECT * FROM w.t_1 AS e FINAL",
    "select id from shared.users": "SELECT id FROM other.t_2 AS users",
    "select * from daily": "SELECT * FROM (SELECT day, id FROM w.t_3) AS daily",
    "select 1 from events where id in events": "SELECT 1 FROM w.t_1 AS events WHERE id IN (w.t_1)",
    "with events as (select 1) select * from events": "WITH events AS (SELECT 1) SELECT * FROM events",
    "select 'from events' from events": "SELECT 'from events' FROM w.t_1 AS events",
    "select * from other": "SELECT * FROM other",
}


@pytest.mark.parametrize(("sql", "expected"), REWRITTEN.items())
def test_every_named_table_is_replaced(sql: str, expected: str) -> None:
    assert replace_tables(sql, EVENTS) == expected


def test_a_replacement_is_not_replaced_again() -> None:
    swap: dict[tuple[str, str], Replacement] = {("", "a"): "select * from b", ("", "b"): "select * from a"}
    assert replace_tables("select * from a", swap) == "SELECT * FROM (SELECT * FROM b) AS a"


@pytest.mark.parametrize("subquery", ["(select 1 as x)", "select 1 as x;", "select 1 as x -- end", " select 1 as x\n"])
def test_a_subquery_may_come_with_or_without_parentheses(subquery: str) -> None:
    assert replace_tables("select * from a", {("", "a"): subquery}) == "SELECT * FROM (SELECT 1 AS x) AS a"


def test_a_union_stays_inside_its_parentheses() -> None:
    subquery = "(select 1 as x) union all (select 2)"
    rewritten = replace_tables("select * from a", {("", "a"): subquery})
    assert rewritten == "SELECT * FROM ((SELECT 1 AS x) UNION ALL (SELECT 2)) AS a"


def test_a_pipe_after_in_needs_a_subquery_and_the_error_says_so() -> None:
    with pytest.raises(SqlError) as failure:
        replace_tables("select 1 from events where id in daily", EVENTS)
    assert failure.value.hint == "Write IN (SELECT column FROM daily)."


NAMES = st.sampled_from(["a", "b", "c d", "e`f"])


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "\\`") + "`"


@st.composite
def selects(draw: st.DrawFn, depth: int = 3) -> str:
    table = _quoted(draw(NAMES))
    other = _quoted(draw(NAMES))
    inner = draw(selects(depth - 1)) if depth else f"select id from {other}"
    return draw(
        st.sampled_from(
            [
                f"select id from {table}",
                f"select {table}.id from {table} join ({inner}) as j on j.id = {table}.id",
                f"select id from {table} where id in ({inner})",
                f"select id from ({inner}) as {other}",
                f"select id from {table} union all {inner}",
                f"select ({inner}) as id from {table} as {other}",
                f"with cte as ({inner}) select id from cte join {table} on 1 = 1",
                f"select 'from {draw(st.sampled_from('ab'))}' as id from {table} as t, {other} as u",
            ]
        )
    )


@settings(max_examples=200, deadline=None)
@given(selects())
def test_no_table_that_was_to_be_replaced_is_left(sql: str) -> None:
    replacements: dict[tuple[str, str], Replacement] = {
        ("", name): ("w", f"t_{number}") for number, name in enumerate(["a", "b", "c d", "e`f"])
    }
    expected = {TableRef(*replacements[("", table.name)]) for table in tables(sql)}
    assert tables(replace_tables(sql, replacements)) == expected


def test_format_writes_one_line_or_many() -> None:
    assert format_sql("select a,b from c -- x\nwhere d=1", one_line=True) == "SELECT a, b FROM c WHERE d = 1"
    assert format_sql("select a,b from c where d=1") == "SELECT\n    a,\n    b\nFROM c\nWHERE d = 1"


def test_formatting_twice_changes_nothing() -> None:
    for sql in (*REWRITTEN, *REWRITTEN.values()):
        once = format_sql(sql, one_line=True)
        assert format_sql(once, one_line=True) == once

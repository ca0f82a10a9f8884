"""What a SELECT reads."""

from __future__ import annotations

import pytest

from birdhouse.errors import SqlError
from birdhouse.language.sql.tables import COPY_TABLE_FUNCTIONS, TableRef, table_functions, tables

READS = {
    "select * from a": {("", "a")},
    "select * from db.a join b on a.id = b.id": {("db", "a"), ("", "b")},
    "with x as (select 1) select * from x, y": {("", "y")},
    "with a as (select * from a) select * from a": {("", "a")},
    "with recursive r as (select 1 as n union all select n + 1 from r where n < 5) select * from r": set(),
    "select * from a where id in (select id from b)": {("", "a"), ("", "b")},
    "select * from a where id in b": {("", "a"), ("", "b")},
    "select 1 where 1 global in db.b": {("db", "b")},
    "select (select max(x) from b) from a": {("", "a"), ("", "b")},
    "select 1 union all select * from c": {("", "c")},
    "select 1 intersect select * from c": {("", "c")},
    "select x from a array join b as x": {("", "a")},
    "select * from `a.b`": {("", "a.b")},
    "select * from `my db`.`t 1` -- and a comment": {("my db", "t 1")},
    "from a select x": {("", "a")},
    "select * from t final sample 0.1": {("", "t")},
    "select * from numbers(3), a": {("", "a")},
    "select 1": set(),
}


@pytest.mark.parametrize(("sql", "expected"), READS.items())
def test_tables_are_found_wherever_they_are_read(sql: str, expected: set[tuple[str, str]]) -> None:
    assert tables(sql) == {TableRef(*reference) for reference in expected}


def test_table_functions_are_listed_apart_from_tables() -> None:
    assert table_functions("select * from numbers(3) join zeros(1) on 1 join a on 1") == {"numbers", "zeros"}
    assert table_functions("select * from url('http://example.com', 'CSV')") == {"url"}


def test_only_the_stated_table_functions_are_read() -> None:
    with pytest.raises(SqlError, match="url cannot be used"):
        tables("select * from url('http://example.com')", functions_allowed=())
    assert "file" not in COPY_TABLE_FUNCTIONS


WRONG = {
    "select * from a\nwhere x = = 3": (2, 11),
    "select * from a where x = = 1": (1, 27),
    "select 'é' from a where x = = 1": (1, 29),
    "select\n x\n from a where (1": (3, 15),
    "select 'abc": (1, 8),
}


@pytest.mark.parametrize(("sql", "place"), WRONG.items())
def test_a_syntax_error_points_at_line_and_column(sql: str, place: tuple[int, int]) -> None:
    with pytest.raises(SqlError) as failure:
        tables(sql)
    assert failure.value.detail == "(line {}, column {})".format(*place)
    assert "yntax error" in failure.value.message


def test_error_messages_do_not_send_people_to_somebody_elses_support() -> None:
    for sql in (
        "select file('x')",
        "select nope(1) from a",
        "select 1 settings readonly = 0",
        "select from from",
    ):
        with pytest.raises(SqlError) as failure:
            tables(sql)
        assert "upport" not in str(failure.value)
        assert "DB::Exception" not in str(failure.value)


def test_an_unknown_function_is_named_with_the_nearest_known_ones() -> None:
    with pytest.raises(SqlError, match="no function uniqqExact") as failure:
        tables("select uniqqExact(x) from a")
    assert "uniqExact" in failure.value.hint

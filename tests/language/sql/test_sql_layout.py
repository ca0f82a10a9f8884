"""SQL laid out for reading: it settles, says the same, and is left alone where it cannot be laid out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdhouse.language.sql.layout import laid_out, says_the_same

FRAGMENTS = [
    "SELECT", "a", "b.c", "count()", "sum(x) AS y", "FROM", "t", "WHERE", "x = 1", "AND", "-1", "1.5", "a[1]", ",",
    "{% if defined(x) %}", "{% elif y %}", "{% else %}", "{% end %}", "{{ String(x, 'a') }}", "{{a}}", "(", ")", "[",
    "{{Int32(n,1,description='a long text that does not fit into a line with all the others', required=False)}}", "]",
    "CASE", "WHEN", "THEN", "ELSE", "END", "-- comment\n", "# hash\n", "/* block */", "'text -- no comment'", "$VAR",
    "{% for i in range(3) %}", "{% set q = [1,2] %}", "{# c #}", "!=", "BETWEEN 1 AND 2", "UNION ALL", "JOIN", "\n",
    "ON", "x -> x + 1", "a::String", "IN", "(SELECT 1)", "WITH", "DISTINCT", "OVER (PARTITION BY a)", "'", "USING (a)",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=25), st.sampled_from([" ", ""]), st.booleans())
def test_a_text_settles_at_once_and_says_the_same(fragments: list[str], between: str, is_template: bool) -> None:
    text = ("%\n" if is_template else "") + between.join(fragments)
    new = laid_out(text)
    assert laid_out(new) == new
    assert says_the_same(new, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select a,b from t where x=1", "select a, b from t where x = 1"),
        ("SELECT 1\n\n\n  FROM  t", "SELECT 1 FROM t"),
        ("%select {{String(x,'a')}}", "%\nselect {{ String(x, 'a') }}"),
        ("SELECT '$A' FROM $B_raw", "SELECT '$A' FROM $B_raw"),
        ("SELECT a -- why\n", "SELECT a  -- why"),
    ],
)
def test_a_short_text_goes_on_one_line(text: str, expected: str) -> None:
    assert laid_out(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "%\nSELECT foo_{% if a %}bar{% end %} FROM   t",  # a blank would make two words of one
        "%\n{{max_threads(4)}}SELECT 1",
        "SELECT 'open   FROM t",
        "SELECT ${A}   FROM t",
        "SELECT 1" + " " * 300_000 + "FROM t",
    ],
)
def test_what_cannot_be_laid_out_stays_as_it_is(text: str) -> None:
    assert laid_out(text) == text


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("SELECT a b", "SELECT ab"),
        ("SELECT 'a b'", "SELECT 'a  b'"),
        ("a >= b", "a > = b"),
        ("%\n{{ String(x, 'a') }}", "%\n{{ String(x, 'b') }}"),
        ("%\n{{ a }}{{ b }}", "%\n{{ a }} {{ b }}"),
        ("%\n{% if a %}x{% end %}y", "%\n{% if a %}x{% end %} y"),
        ("SELECT a -- b", "SELECT a"),
    ],
)
def test_texts_that_differ_in_more_than_blanks_do_not_say_the_same(a: str, b: str) -> None:
    assert not says_the_same(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("SELECT  a\n", "SELECT a"),
        ("f( a )", "f(a)"),
        ("%\n{{String(x,'a')}}", "%\n{{\n  String(\n    x,\n    'a',\n  )\n}}"),
        ("%\n{%if a%}x{%else%}y{%end%} z", "%\n{% if a %} x\n{% else %} y\n{% end %} z"),
        ("a -- b\n+ c", "a + c  -- b"),
    ],
)
def test_texts_that_differ_in_blanks_say_the_same(a: str, b: str) -> None:
    assert says_the_same(a, b)

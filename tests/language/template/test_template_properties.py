"""Properties: no template reaches Python, no value leaves its literal, no rendering changes a template."""

from __future__ import annotations

import builtins
import json
import re
from typing import Any

import pytest
from chtoolset import query
from hypothesis import given, settings
from hypothesis import strategies as st

from birdhouse.errors import TemplateError
from birdhouse.language.template import merged, parse_template, render
from birdhouse.language.template.python import BUILTINS

DUNDERS = [
    "__class__", "__mro__", "__subclasses__", "__globals__", "__builtins__", "__import__", "__init__", "__dict__",
    "__getattribute__", "__self__", "__code__",
]  # fmt: skip
ESCAPES = ["mro", "format", "format_map", "gi_frame", "f_back", "tb_frame", "func_globals", "encode", "_private"]
ROOTS = ["a", "''", "[]", "()", "{}", "1", "str", "list", "len", "min", "column", "String", "tb_secret", "run"]
PYTHON_NAMES = sorted(
    name for name in dir(builtins) if name not in BUILTINS and name not in ("None", "True", "False", "__debug__")
)

attributes = st.sampled_from(DUNDERS + ESCAPES)
chains = st.tuples(
    st.sampled_from(ROOTS), st.lists(st.tuples(attributes, st.sampled_from(["", "()", "[0]"])), min_size=1, max_size=5)
).map(lambda chain: chain[0] + "".join(f".{name}{call}" for name, call in chain[1]))
places = st.sampled_from(
    [
        "{{%s}}",
        "{{String(%s)}}",
        "{{f'{%s}'}}",
        "{{String(a, default=%s)}}",
        "{%% set x = %s %%}",
        "{%% if %s %%}{%% end %%}",
        "{%% for x in %s %%}{%% end %%}",
        "{%% set x = [y for y in %s] %%}",
        "{%% set x = sorted([1], key=%s) %%}",
        "{%% while %s %%}{%% end %%}",
        "{%% set %s = 1 %%}",
    ]
)


@given(place=places, chain=chains)
def test_attributes_of_python_objects_are_out_of_reach(place: str, chain: str) -> None:
    with pytest.raises(TemplateError):
        render(parse_template(place % chain), {"a": "x"})


@given(place=places, name=st.sampled_from(PYTHON_NAMES))
def test_pythons_own_functions_are_out_of_reach(place: str, name: str) -> None:
    with pytest.raises(TemplateError):
        render(parse_template(place % f"{name}('1')"), {"a": "x"})


words = st.sampled_from(
    [
        "{{", "}}", "{%", "%}", "{#", "#}", "if", "for", "while", "set", "try", "except", "finally",
        "else", "end", "in", "not", "and", "or", "is", "(", ")", "[", "]", "{", "}", ",", ".", ":",
        "=", "==", "+", "*", "**", "%", "'x'", "1", "0", "a", "b", "x", "String", "Int32", "Array",
        "column", "symbol", "table", "JSON", "len", "str", "range", "defined", "sql_and", "error",
        "split", "join", "get", "__class__", "__import__", "eval", "open", "lambda", "yield",
        "await", "import", "f'{a}'", "f'{a.b}'", "b'x'", "...", ":=", ";"
    ]
)  # fmt: skip


@settings(max_examples=300)
@given(parts=st.lists(words, max_size=25), value=st.text(max_size=10))
def test_any_text_renders_or_fails_with_a_template_error(parts: list[str], value: str) -> None:
    try:
        sql = render(parse_template(" ".join(parts)), {"a": value}).sql
    except TemplateError:
        return
    assert "<built-in" not in sql
    assert "object at 0x" not in sql


@given(value=st.text(max_size=30))
def test_a_format_text_in_a_value_stays_text(value: str) -> None:
    text = "{0.__class__.__mro__}{a!r}%s" + value
    sql = render(parse_template("{{String(a)}}"), {"a": text}).sql
    assert sql.startswith("'{0.__class__.__mro__}{a!r}\\%s")


VALUE_TEMPLATES = [
    "SELECT {{a}} AS x",
    "SELECT {{String(a)}} AS x FROM t WHERE b = 1",
    "SELECT * FROM t WHERE has({{Array(a)}}, b)",
    "SELECT * FROM t WHERE b IN {{split_to_array(a)}}",
    "SELECT * FROM t WHERE b LIKE {{sql_unescape(a, '%')}} AND c = 1",
    "SELECT * FROM t WHERE b LIKE {{sql_unescape(a)}} AND c = 1",
    "SELECT * FROM t WHERE b LIKE {{sql_unescape('x', a)}} AND c = 1",
    "SELECT * FROM t WHERE b = {{DateTime('2024-01-01 00:00:00' + a)}}",
    "SELECT * FROM t WHERE {{sql_and(b=String(a), c__in=Array(a))}}",
    "SELECT {{column(a)}} FROM t",
    "SELECT {{columns(a, 'x')}} FROM t",
    "SELECT {{columns(a, 'x', 'max')}} FROM t",
    "SELECT {{symbol(a)}} FROM t",
    "{{backend_hint(a)}}SELECT 1",
    "{{max_threads(a)}}SELECT 1",
    "SELECT {{JSON(b)}} AS x",
    "SELECT {{f'{a}'}} || {{a.replace('x', a)}} AS x",
    "SELECT {{Int32(a)}}, {{UInt64(a)}}, {{Float64(a)}} FROM t LIMIT {{Int(a)}}",
]
nasty = st.text(
    st.one_of(st.sampled_from("'\"`\\%-/*;(){}[],.:= \n\r\t\0\bx1nN"), st.characters(codec="utf-8")), max_size=20
)


def structure(sql: str) -> list[str]:
    """The syntax tree with literals, names and aliases blanked out."""
    lines = query.explain_ast(sql).split("\n")
    return [re.sub(r" \((alias|children) .*", "", re.sub(r"(Literal|Identifier) .*", r"\1", line)) for line in lines]


@settings(max_examples=400, deadline=None)
@given(text=st.sampled_from(VALUE_TEMPLATES), value=nasty)
def test_a_value_changes_literals_and_nothing_else(text: str, value: str) -> None:
    template = parse_template(text)
    if "column" in text or "symbol" in text:
        # The tree is printed with names as they are: a NUL ends it and a line break breaks its lines.
        value = value.replace("\0", "").replace("\n", "")
    try:
        sql = render(template, {"a": value, "b": _json_list(value)}).sql
    except TemplateError:
        return
    if "``" in sql:
        # A quoted name cannot be empty; the parser refuses such SQL, which is as safe.
        return
    reference = render(template, {"a": "1", "b": '["1"]'}).sql
    actual, expected = structure(sql), structure(reference)
    if "columns(" in text:
        # A list of columns has any number of items of the one kind.
        actual, expected = list(dict.fromkeys(actual)), list(dict.fromkeys(expected))
    assert actual == expected


def _json_list(value: str) -> str:
    return json.dumps([value])


@given(value=nasty, other=nasty)
def test_rendering_never_changes_a_template(value: str, other: str) -> None:
    template = parse_template(
        "{% set xs = [1] %}{% set _ = xs.append(a) %}{% for x in xs %}{{x}}{% end %}{{JSON(b, '{}')}}{{max_threads(2)}}"
        "{{Array(c, 'String', 'p,q')}}{% set d = {'k': [1]} %}{% set _ = d['k'].append(a) %}{{d.get('k')}}"
    )
    before = _described(template)
    first = render(template, {"a": value})
    render(template, {"a": other, "c": value})
    assert render(template, {"a": value}) == first
    assert _described(template) == before


def _described(template: Any) -> Any:
    return (template.text, template.parameters, template.names, template.tables, dict(template.arrays)), merged(
        template.parameters
    )

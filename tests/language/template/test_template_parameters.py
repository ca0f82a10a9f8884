"""The parameters a template declares, found without rendering it."""

from __future__ import annotations

from typing import Any

import pytest

from birdhouse.language.template import Parameter, merged, parameters, parse_template


def found(text: str) -> list[tuple[str, str, Any, str | None]]:
    return [(p.name, p.type, p.default, p.used_in) for p in parameters(parse_template(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{a}}", [("a", "String", None, None)]),
        ("{{Int32(a, 5)}}", [("a", "Int32", 5, None)]),
        ("{{Int32(a, -5)}}", [("a", "Int32", -5, None)]),
        ("{{Float32(a, default=0.5)}}", [("a", "Float32", 0.5, None)]),
        ("{{Int(a, 1)}}", [("a", "Int32", 1, None)]),
        ("{{Array(a)}}", [("a", "Array(String)", None, None)]),
        ("{{Array(a, 'Int16', '1,2')}}", [("a", "Array(Int16)", "1,2", None)]),
        ("{{Int64(a, 9223372036854775807)}}", [("a", "Int64", "9223372036854775807", None)]),
        ("{% if defined(a) %}{% end %}", [("a", "String", None, "function_call")]),
        ("{% if defined(a) and a == 'x' %}{% end %}", [("a", "String", None, None)]),
        ("{{String(a + 'x', 'd')}}", [("a", "String", None, None)]),
        ("{{sql_and(b__gt=Int8(a, 1))}}", [("a", "Int8", 1, None)]),
        ("{% set x = Int8(a, 1) %}{{x}}", [("a", "Int8", 1, None)]),
        ("{% for x in split_to_array(a) %}{{String(x)}}{% end %}", [("a", "String", None, "function_call")]),
        ("{% set x = [y for y in a] %}", [("a", "String", None, None)]),
        ("{% set a = Int8(a, 1) %}{{a}}", [("a", "Int8", 1, None)]),
        ("{% if isinstance(a, str) %}{% end %}", [("a", "String", None, "function_call")]),
        ("{# {{a}} #}{{!b}}", []),
        (
            "{{Int32(a, 1)}} {{String(a, 'x')}}",
            [("a", "Int32", 1, None), ("a", "String", "x", None)],
        ),
    ],
)
def test_parameters_are_found_with_type_and_default(text: str, expected: list[Any]) -> None:
    assert found(text) == expected


def test_documentation_keywords_are_kept() -> None:
    text = "{{String(a, 'd', description='x', required=True, enum=['d', 'e'], example='e', format='f', defined=False)}}"
    assert parameters(parse_template(text)) == (
        Parameter(
            "a",
            "String",
            default="d",
            description="x",
            required=True,
            enum=("d", "e"),
            example="e",
            format="f",
            typed=True,
            options={"defined": False},
        ),
    )


def test_a_typed_use_wins_and_later_uses_fill_its_gaps() -> None:
    text = "{% if defined(a) %}{{a}}{{Int8(a)}}{{Int8(a, 3, description='n')}}{{String(a, 'x')}}{% end %}"
    (only,) = merged(parameters(parse_template(text)))
    assert (only.type, only.default, only.description, only.used_in) == ("Int8", 3, "n", None)

"""What a rendering gives beside the SQL, what it refuses, and what stays within bounds."""

from __future__ import annotations

from datetime import UTC, datetime
from time import perf_counter

import pytest

from birdhouse.clock import ManualClock
from birdhouse.errors import CustomTemplateError, TemplateError
from birdhouse.language.template import (
    Hints,
    Rendered,
    is_template,
    parse_template,
    render,
    table_names,
    template_body,
)


def rendered(text: str, **parameters: str) -> Rendered:
    return render(parse_template(text), parameters)


def failure(text: str, **parameters: str) -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        rendered(text, **parameters)
    return caught.value


@pytest.mark.parametrize(
    ("sql", "template", "body"),
    [
        ("%\nSELECT 1", True, "\nSELECT 1"),
        ("\n  % SELECT 1", True, " SELECT 1"),
        ("SELECT '%'", False, "SELECT '%'"),
        ("", False, ""),
    ],
)
def test_only_sql_that_starts_with_the_marker_is_a_template(sql: str, template: bool, body: str) -> None:
    assert is_template(sql) is template
    assert template_body(sql) == body


@pytest.mark.parametrize(
    ("text", "hints"),
    [
        ("SELECT 1", Hints()),
        ("{{max_threads(4)}}", Hints(max_threads=4)),
        ("{{max_threads('many')}}", Hints()),
        ("{{backend_hint('tenant')}}", Hints(backend_hint="tenant")),
        ("{{backend_hint('a')}}{{backend_hint(False)}}", Hints()),
        ("{{cache_ttl('5m')}}", Hints(cache_ttl="5m")),
        (
            "{{activate('analyzer')}}{{activate('parallel_replicas')}}",
            Hints(activate=frozenset({"analyzer", "parallel_replicas"})),
        ),
        ("{{disable('analyzer')}}", Hints(disable=frozenset({"analyzer"}))),
    ],
)
def test_hints_travel_beside_the_sql(text: str, hints: Hints) -> None:
    assert rendered(text).hints == hints


def test_a_secret_is_a_query_parameter_and_never_text() -> None:
    template = parse_template("SELECT {{tb_secret('key')}}, {{tb_var('other', 'd')}}")
    result = render(template, {}, secrets={"key": "s3cr3t", "unused": "x"})
    assert result.sql == "SELECT {key: String}, 'd'"
    assert result.query_parameters == {"key": "s3cr3t"}


def test_a_secret_need_not_exist_when_a_pipe_is_checked() -> None:
    template = parse_template("{{tb_secret('key')}}")
    assert render(template, {}, check=True).sql == "{key: String}"


def test_a_secret_name_from_a_request_cannot_become_sql() -> None:
    name = "k: String} UNION ALL SELECT {x"
    with pytest.raises(TemplateError, match="Cannot access secret"):
        render(parse_template("{{tb_secret(a)}}"), {"a": name}, secrets={name: "v"})


def test_custom_error_carries_body_and_status() -> None:
    with pytest.raises(CustomTemplateError) as caught:
        rendered("{{custom_error({'error': 'no ' + a}, 401)}}", a="x")
    assert caught.value.body == {"error": "no x"}
    assert caught.value.status == 401


def test_custom_error_answers_400_by_default() -> None:
    with pytest.raises(CustomTemplateError) as caught:
        rendered("{{custom_error({'error': 'no a'})}}")
    assert caught.value.status == 400


def test_job_timestamp_is_the_clocks_time_unless_the_job_gives_its_own() -> None:
    template = parse_template("SELECT {{DateTime(job_timestamp)}}")
    clock = ManualClock(datetime(2024, 5, 1, 10, 0, tzinfo=UTC))
    assert render(template, {}, clock=clock).sql == "SELECT '2024-05-01 10:00:00'"
    assert render(template, {}, job_timestamp="2024-01-01 00:00:00").sql == "SELECT '2024-01-01 00:00:00'"


def test_only_parameters_that_the_template_names_are_used() -> None:
    assert rendered("{{a}}{% if b %}{% end %}", a="1", c="2").used == {"a"}


def test_reserved_names_are_reported_not_refused() -> None:
    template = parse_template("{{String(token, '')}}{{a}}")
    assert template.reserved_names == {"token"}


@pytest.mark.parametrize("text", ["\n\n{{Int8(a)}}", "x\n\n{% if Int8(a) %}{% end %}", "{# \n\n #}{{foo(a)}}"])
def test_an_error_tells_the_line(text: str) -> None:
    assert failure(text, a="300").detail == "(line 3)"


def test_an_unknown_function_of_a_block_is_named_with_its_line_in_check_mode() -> None:
    with pytest.raises(TemplateError, match="'foo' is not a valid function, line 2"):
        render(parse_template("\n{% if foo(a) %}{% end %}"), {}, check=True)


def test_comparing_a_placeholder_in_check_mode_says_to_wrap_it() -> None:
    with pytest.raises(TemplateError, match=r"wrap it around a valid Data Type \(e\.g\. Int8\(placeholder\)\)"):
        render(parse_template("{% if a > 3 %}{% end %}"), {}, check=True)


def test_templates_are_parsed_once_for_each_text() -> None:
    assert parse_template("{{a}} once") is parse_template("{{a}} once")


def test_tables_are_found_in_every_branch_without_rendering() -> None:
    text = "{% if a %}{{table('x')}}{% else %}{{TABLE('y' + '_1')}}{% end %}{{table(b)}}"
    assert table_names(parse_template(text)) == {"x", "y_1"}


@pytest.mark.parametrize(
    "text",
    [
        "{% while True %}{% end %}",
        "{% while True %}{% try %}{{error('x')}}{% except %}{% end %}{% end %}",
        "{% for i in range(10 ** 9) %}{% end %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% end %}{% end %}",
        "{% set x = [i for i in range(99999) for j in range(99999)] %}",
        "{{'x' * 10000000000}}",
        "{{[0] * 10000000000}}",
        "{% set x = 9 ** 9 ** 9 %}",
        "{% set x = 2 ** 1000 * 2 ** 1000 %}",
        "{% set x = 'x' %}{% for i in range(60) %}{% set x = x + x %}{% end %}",
        "{% set x = 'x' %}{% for i in range(60) %}{% set x = x.replace('x', 'xx') %}{% end %}",
        "{% set x = 'x' %}{% for i in range(60) %}{% set x = f'{x}{x}' %}{% end %}",
        "{% set x = 'x'.ljust(10 ** 12) %}",
        "{% set x = f'{1:999999999}' %}",
        "{% set x = round(5, 0 - 10 ** 12) %}",
        "{% set x = [0] %}{% for i in range(60) %}{% set x = [x, x] %}{% end %}{{x}}",
        "{% set x = [0] %}{% set _ = x.append(x) %}{{x}}",
        "{% set x = [0] %}{% set y = [0] %}{% for i in range(60) %}{% set x = [x, x] %}{% set y = [y, y] %}{% end %}"
        "{% if x == y %}{% end %}",
        "{% set x = 'x' * 100000 %}{% for i in range(100) %}{{x}}{% end %}",
        "{% if a %}" * 500 + "{% end %}" * 500,
        "{{" + "(" * 300 + "a" + ")" * 300 + "}}",
        "{{" + "-" * 5000 + "1}}",
        "{{" + "+".join(["a"] * 5000) + "}}",
        "{% set x = [range(99999) for i in range(9999)] %}",
        "{% set x = list(map(range, [99999] * 9999)) %}",
        "{% set x = sorted([99999] * 9999, key=range) %}",
        "{% set x = [] %}{% for i in range(9999) %}{% set _ = x.append('y' * 1000000) %}{% end %}",
        "x" * 600_000,
    ],
)
def test_no_template_takes_more_than_its_share(text: str) -> None:
    started = perf_counter()
    failure(text, a="x")
    assert perf_counter() - started < 5


def test_a_small_template_renders_fast() -> None:
    template = parse_template(
        "SELECT * FROM t WHERE a = {{String(a, 'none')}} {% if defined(b) %}AND b > {{Int32(b)}}{% end %} "
        "LIMIT {{Int(n, 20)}}"
    )
    given = {"a": "it's", "b": "5"}
    best = min(_microseconds(lambda: render(template, given)) for _ in range(5))
    # Measured below 20; the bound leaves room for slow and busy machines.
    assert best < 200


def _microseconds(call: object, rounds: int = 300) -> float:
    assert callable(call)
    started = perf_counter()
    for _ in range(rounds):
        call()
    return (perf_counter() - started) / rounds * 1e6

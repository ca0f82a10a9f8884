from __future__ import annotations

import pytest

from birdhouse.catalog import lineage
from birdhouse.language.datafile.parse import parse_pipe


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", set()),
        ("SELECT * FROM events", {"events"}),
        ("SELECT * FROM a JOIN b USING (x) WHERE y IN (SELECT y FROM c)", {"a", "b", "c"}),
        ("WITH recent AS (SELECT * FROM events) SELECT * FROM recent", {"events"}),
        ("SELECT * FROM tinybird.pipe_stats_rt", {"tinybird.pipe_stats_rt"}),
        ("%\nSELECT * FROM {{table('events')}}", {"events"}),
        ("%\nSELECT * FROM {% if defined(a) %} one {% else %} {{table('two')}} {% end %}", {"two"}),
        ("%\n{% if defined(a) %} SELECT * FROM one {% else %} SELECT * FROM two {% end %}", {"one", "two"}),
    ],
)
def test_references_of_a_node(sql: str, expected: set[str]) -> None:
    assert lineage.references(sql) == expected


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ({}, None),
        ({"a": ["b"], "b": []}, None),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, None),
        ({"a": ["a"]}, ("a", "a")),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, ("b", "c", "b")),
        ({"a": ["missing"]}, None),
    ],
)
def test_a_cycle_is_found_and_told_in_order(edges: dict[str, list[str]], expected: tuple[str, ...] | None) -> None:
    assert lineage.find_cycle(edges) == expected


def test_a_long_chain_is_no_cycle() -> None:
    edges = {f"n{i:05}": [f"n{i + 1:05}"] for i in range(5_000)}
    assert lineage.find_cycle(edges) is None


def test_nodes_of_one_pipe_that_read_each_other_are_a_cycle() -> None:
    text = "NODE a\nSQL >\n    SELECT * FROM b\n\nNODE b\nSQL >\n    SELECT * FROM a\n"
    assert lineage.pipe_cycle([parse_pipe(text, name="p")]) == ("p.a", "p.b", "p.a")


def test_a_pipe_that_reads_its_own_target_is_no_cycle() -> None:
    text = "NODE a\nSQL >\n    SELECT * FROM totals\nTYPE COPY\nTARGET_DATASOURCE totals\n"
    assert lineage.pipe_cycle([parse_pipe(text, name="p")]) is None


def test_pipes_come_after_those_they_read() -> None:
    texts = {"c": "SELECT * FROM b", "b": "SELECT * FROM a", "a": "SELECT 1"}
    pipes = [parse_pipe(f"NODE n_{name}\nSQL >\n    {sql}\n", name=name) for name, sql in texts.items()]
    assert [pipe.name for pipe in lineage.order(pipes)] == ["a", "b", "c"]

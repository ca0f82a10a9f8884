"""What a text has at most with others in it, told without composing it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdhouse.errors import SqlError
from birdhouse.language.sql.rewrite import replace_tables
from birdhouse.language.sql.size import BRACKETS_MAX, DEPTH_MAX, check_size, size_of

STAND_IN = "SELECT * FROM null('a UInt8')"
NODES = st.sampled_from([
    "SELECT a FROM inner_node",
    "SELECT a + 1 AS a FROM inner_node WHERE a BETWEEN 1 AND 3 AND a IN (SELECT a FROM inner_node)",
    "WITH x AS (SELECT a FROM inner_node) SELECT a FROM x JOIN inner_node AS y ON x.a = y.a OR x.a = -y.a",
    "SELECT multiIf(a = 1, (a + (a * (a - 1))), [a, a][1] > 0, 2, 3) AS a FROM inner_node UNION ALL SELECT 1 AS a",
    "SELECT a FROM (SELECT a FROM (SELECT sum(a) OVER (PARTITION BY a ORDER BY a) AS a FROM inner_node))",
])  # fmt: skip


@given(st.lists(NODES, min_size=1, max_size=6))
def test_the_bound_holds_for_what_is_composed(nodes: list[str]) -> None:
    whole, bound = "SELECT 1 AS a", size_of("SELECT 1 AS a")
    for node in nodes:
        alone = replace_tables(node, {("", "inner_node"): STAND_IN})
        whole = replace_tables(node, {("", "inner_node"): whole})
        own = size_of(alone)
        assert own is not None and bound is not None
        bound = own.holding(bound, alone.count("SELECT * FROM null("))
        actual = size_of(whole)
        assert actual is not None
        assert actual.bytes <= bound.bytes and actual.subqueries <= bound.subqueries
        assert actual.depth <= bound.depth and actual.brackets <= bound.brackets


@pytest.mark.parametrize(
    "sql",
    [f"SELECT {'(' * (BRACKETS_MAX + 1)}1{')' * (BRACKETS_MAX + 1)}", f"SELECT 1{' + 1' * DEPTH_MAX}"],
    ids=["brackets", "chain"],
)
def test_what_the_parser_would_fail_on_is_refused_with_a_place(sql: str) -> None:
    with pytest.raises(SqlError, match=r"nested too deeply\. \(near character \d+\)"):
        check_size(f"{sql}{' ' * 1_000}")
    size = size_of(sql)
    assert size is not None and not size.is_small


def test_the_depth_of_a_text_with_other_quotes_cannot_be_told() -> None:
    assert size_of("SELECT $x$(((($x$") is None

"""Any result as Prometheus metrics, so that every endpoint can be scraped.

The engine's format asks for the columns `name` and `value`. A result without them becomes gauges: each number is one,
named after the query and its column, and the other columns are its labels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from birdhouse.engine.types import quote_identifier, quote_string
from birdhouse.errors import SqlError

PROMETHEUS = "Prometheus"

_WRAPPED = re.compile(r"(?:LowCardinality|Nullable)\((.*)\)")
_NUMBER = re.compile(r"U?Int\d+|Float\d+|BFloat16|Decimal.*|Bool")
_LABEL = re.compile(r"String|FixedString.*|Date.*|Time.*|UUID|Enum.*|IPv[46]")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")


def as_gauges(sql: str, columns: Sequence[tuple[str, str]], prefix: str) -> str:
    """The SELECT itself when it has `name` and `value`, else one that gives its numbers. `columns` are name and type.

    Raises SqlError when there is no number. A NULL gives no metric.
    """
    names = {name for name, _ in columns}
    if {"name", "value"} <= names:
        return sql
    numbers = [name for name, type in columns if _NUMBER.fullmatch(_bare(type))]
    if not numbers:
        raise SqlError(
            f"There is no number to show as a Prometheus metric among {', '.join(sorted(names))}",
            hint="Give the result the columns name and value, or a column of numbers.",
        )
    labels = [name for name, type in columns if _LABEL.fullmatch(_bare(type))]
    metrics = ", ".join(
        f"({quote_string(_plain(f'{prefix}_{name}'))}, toNullable(toFloat64({quote_identifier(name)})))"
        for name in numbers
    )
    pairs = ", ".join(
        f"({quote_string(_plain(name))}, ifNull(toString({quote_identifier(name)}), ''))" for name in labels
    )
    return (
        "SELECT tupleElement(metric, 1) AS name, 'gauge' AS type, labels, "
        "assumeNotNull(tupleElement(metric, 2)) AS value "
        f"FROM (SELECT CAST([{pairs}], 'Map(String, String)') AS labels, arrayJoin([{metrics}]) AS metric "
        f"FROM (\n{sql}\n)) WHERE tupleElement(metric, 2) IS NOT NULL ORDER BY name"
    )


def _bare(type: str) -> str:
    while wrapped := _WRAPPED.fullmatch(type):
        type = wrapped[1]
    return type


def _plain(name: str) -> str:
    """Of the characters that names of metrics and labels may have."""
    return _NOT_IN_NAMES.sub("_", name)

"""Puts physical tables and subqueries in the place of the tables a SELECT names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from birdhouse.language.sql.parser import replaced_tables
from birdhouse.language.sql.tables import COPY_TABLE_FUNCTIONS

Replacement = str | tuple[str, str]
"""SQL of a subquery, with or without parentheses, or the (database, table) of a physical table."""


def replace_tables(
    sql: str,
    replacements: Mapping[tuple[str, str], Replacement],
    *,
    functions_allowed: Collection[str] = COPY_TABLE_FUNCTIONS,
) -> str:
    """The SQL on one line with every named table replaced, keyed by (database, name) as it is written there.

    A replacement is taken as it is: names inside a subquery are not replaced again. A table keeps its name as
    alias, and a CTE of the same name hides it.
    """
    targets = {
        table: ("", _parenthesized(target)) if isinstance(target, str) else target
        for table, target in replacements.items()
    }
    return replaced_tables(sql, targets, functions_allowed)


@dataclass(frozen=True, slots=True)
class FilteredTable:
    """The rows of a table for which `condition` holds, in place of what the text calls `name`."""

    name: str
    table: str
    condition: str

    @property
    def select(self) -> str:
        return f"SELECT * FROM {self.table} WHERE {self.condition}"


def with_filters(sql: str, filtered: Mapping[str, FilteredTable]) -> str:
    """Puts filtered subqueries in the place of tables, with the FINAL that stands behind some of them inside.

    `sql` is a result of `replace_tables`, in which each of these tables has a name that nobody could have written.
    """
    for stand_in, each in filtered.items():
        parts = re.split(rf"\b{stand_in}\b(\.)?( AS (?:`(?:[^`\\]|\\.)+`|\w+))?( FINAL\b)?", sql)
        sql = parts[0]
        for column_dot, alias, final, text in zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4], strict=True):
            rows = f"(SELECT * FROM {each.table}{final or ''} WHERE {each.condition}\n){alias or ''}"
            # A column is qualified with the name of the table, which has become the alias of the subquery.
            sql += (f"`{each.name}`." if column_dot else rows) + text
    return sql


def _parenthesized(subquery: str) -> str:
    # The line end keeps a trailing comment from swallowing the closing parenthesis.
    return f"({subquery.strip().rstrip(';')}\n)"

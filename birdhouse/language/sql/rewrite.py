"""Puts physical tables and subqueries in the place of the tables a SELECT names."""

from __future__ import annotations

from collections.abc import Collection, Mapping

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


def _parenthesized(subquery: str) -> str:
    # The line end keeps a trailing comment from swallowing the closing parenthesis.
    return f"({subquery.strip().rstrip(';')}\n)"

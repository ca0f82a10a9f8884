"""Which tables and table functions a SELECT reads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from birdhouse.language.sql.parser import referenced_tables, syntax_tree

# What the official client takes for a table function in a copy pipe, besides the general ones.
GENERAL_TABLE_FUNCTIONS = frozenset({"generateRandom", "null", "numbers", "numbers_mt", "values", "zeros", "zeros_mt"})
COPY_TABLE_FUNCTIONS = GENERAL_TABLE_FUNCTIONS | {
    "azureBlobStorage",
    "deltaLake",
    "gcs",
    "iceberg",
    "mongodb",
    "mysql",
    "postgresql",
    "s3",
    "url",
}


TEXTS_REMEMBERED = 1024
REMEMBERED_LENGTH_MAX = 8192
"""Who pushes a pipe asks several times what one text reads."""


@dataclass(frozen=True, slots=True, order=True)
class TableRef:
    """A table as the SQL names it; `database` is empty when it names none."""

    database: str
    name: str


def tables(sql: str, *, functions_allowed: Collection[str] = COPY_TABLE_FUNCTIONS) -> frozenset[TableRef]:
    """The tables a SELECT reads, subqueries and IN included, CTEs and table functions left out."""
    return frozenset(TableRef(database, name) for database, name, _ in _referenced(sql, functions_allowed) if name)


def table_functions(sql: str, *, functions_allowed: Collection[str] = COPY_TABLE_FUNCTIONS) -> frozenset[str]:
    return frozenset(function for _, _, function in _referenced(sql, functions_allowed) if function)


def _referenced(sql: str, functions_allowed: Collection[str]) -> tuple[tuple[str, str, str], ...]:
    read = _read if len(sql) <= REMEMBERED_LENGTH_MAX else _read.__wrapped__
    return read(sql, frozenset(functions_allowed))


@lru_cache(maxsize=TEXTS_REMEMBERED)
def _read(sql: str, functions_allowed: frozenset[str]) -> tuple[tuple[str, str, str], ...]:
    return tuple(referenced_tables(sql, functions_allowed))


def leftmost_table(sql: str) -> TableRef | None:
    """The table whose rows come first in a SELECT, subqueries followed; of a UNION, that of its first part.

    None when it is a CTE or a table function, or when there is no FROM.
    """
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in syntax_tree(sql)]
    place = 0
    while (tables_place := _tables_of_select(lines, place)) is not None:
        place = next(index for index in range(tables_place, len(lines)) if lines[index][1].startswith("TableExpr")) + 1
        kind, _, rest = lines[place][1].partition(" ")
        if kind != "Subquery":
            name = rest.partition(" (alias ")[0]
            known = {f"{ref.database}.{ref.name}" if ref.database else ref.name: ref for ref in tables(sql)}
            return known.get(name) if kind == "TableIdentifier" else None
    return None


def _tables_of_select(lines: list[tuple[int, str]], start: int) -> int | None:
    """Where the tables of the first SELECT from that line on stand; those of its WITH and columns come before them."""
    for index in range(start, len(lines)):
        depth, text = lines[index]
        if not text.startswith("SelectQuery"):
            continue
        for below in range(index + 1, len(lines)):
            if lines[below][0] <= depth:
                break
            if lines[below][0] == depth + 1 and lines[below][1].startswith("TablesInSelectQuery"):
                return below
        return None
    return None

"""Which tables and table functions a SELECT reads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from birdhouse.language.sql.parser import referenced_tables

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


@dataclass(frozen=True, slots=True, order=True)
class TableRef:
    """A table as the SQL names it; `database` is empty when it names none."""

    database: str
    name: str


def tables(sql: str, *, functions_allowed: Collection[str] = COPY_TABLE_FUNCTIONS) -> frozenset[TableRef]:
    """The tables a SELECT reads, subqueries and IN included, CTEs and table functions left out."""
    return frozenset(
        TableRef(database, name) for database, name, _ in referenced_tables(sql, functions_allowed) if name
    )


def table_functions(sql: str, *, functions_allowed: Collection[str] = COPY_TABLE_FUNCTIONS) -> frozenset[str]:
    return frozenset(function for _, _, function in referenced_tables(sql, functions_allowed) if function)

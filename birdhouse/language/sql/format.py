"""Lays SQL out, on one line or for reading."""

from __future__ import annotations

from birdhouse.language.sql.parser import formatted


def format_sql(sql: str, *, one_line: bool = False) -> str:
    """The SQL as ClickHouse writes it; comments are lost."""
    return formatted(sql, one_line=one_line)

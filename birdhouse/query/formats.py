"""The forms an answer can have: what the engine calls them, what HTTP calls them, and whether they are streamed."""

from __future__ import annotations

from dataclasses import dataclass

from birdhouse.errors import InvalidParameter


@dataclass(frozen=True, slots=True)
class Format:
    """Plain rows, with or without the names of the columns before them, are streamed, whatever their size."""

    engine: str
    content_type: str
    is_streamed: bool = False


_JSON = "application/json"
_TEXT = "text/plain"

ENDPOINT_FORMATS = {
    "json": Format("JSON", _JSON),
    # Both spellings answer with a header line; the hosted service does so in practice.
    "csv": Format("CSVWithNames", "text/csv; charset=utf-8", is_streamed=True),
    "csvwithnames": Format("CSVWithNames", "text/csv; charset=utf-8", is_streamed=True),
    "ndjson": Format("JSONEachRow", "application/x-ndjson", is_streamed=True),
    "parquet": Format("Parquet", "application/vnd.apache.parquet"),
    "prometheus": Format("Prometheus", "text/plain; version=0.0.4; charset=utf-8"),
}

SQL_FORMATS = {
    form.engine.lower(): form
    for form in (
        Format("JSON", _JSON),
        Format("JSONCompact", _JSON),
        Format("JSONStrings", _JSON),
        Format("JSONEachRow", "application/x-ndjson", is_streamed=True),
        Format("JSONStringsEachRow", "application/x-ndjson", is_streamed=True),
        Format("CSV", "text/csv; charset=utf-8", is_streamed=True),
        Format("CSVWithNames", "text/csv; charset=utf-8", is_streamed=True),
        Format("TSV", "text/tab-separated-values; charset=utf-8", is_streamed=True),
        Format("TabSeparated", "text/tab-separated-values; charset=utf-8", is_streamed=True),
        Format("TSVWithNames", "text/tab-separated-values; charset=utf-8", is_streamed=True),
        Format("TabSeparatedWithNames", "text/tab-separated-values; charset=utf-8", is_streamed=True),
        Format("PrettyCompact", _TEXT),
        Format("Pretty", _TEXT),
        Format("Vertical", _TEXT),
        Format("Parquet", "application/vnd.apache.parquet"),
        Format("Prometheus", "text/plain; version=0.0.4; charset=utf-8"),
    )
}

DEFAULT_SQL_FORMAT = SQL_FORMATS["tsv"]
"""What `/v0/sql` answers without a FORMAT: the text form, as the hosted service does."""


def endpoint_format(extension: str) -> Format:
    found = ENDPOINT_FORMATS.get(extension.lower())
    if found is None:
        raise InvalidParameter(
            f"Format '{extension}' is not available", hint=f"Use one of {', '.join(ENDPOINT_FORMATS)}."
        )
    return found


def sql_format(name: str | None) -> Format:
    if name is None:
        return DEFAULT_SQL_FORMAT
    found = SQL_FORMATS.get(name.lower())
    if found is None:
        available = ", ".join(form.engine for form in SQL_FORMATS.values())
        raise InvalidParameter(f"FORMAT {name} is not available", hint=f"Use one of {available}.")
    return found

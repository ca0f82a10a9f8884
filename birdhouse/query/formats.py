"""The forms an answer can have: what the engine calls them, what HTTP calls them, and whether they are streamed."""

from __future__ import annotations

from dataclasses import dataclass

from birdhouse.errors import InvalidParameter


@dataclass(frozen=True, slots=True)
class Format:
    """`row_format` is set for formats that are a plain sequence of rows: they are streamed, whatever their size."""

    engine: str
    content_type: str
    row_format: str | None = None

    @property
    def has_header(self) -> bool:
        return self.row_format is not None and self.row_format != self.engine


_JSON = "application/json"
_TEXT = "text/plain"

ENDPOINT_FORMATS = {
    "json": Format("JSON", _JSON),
    # Both spellings answer with a header line; the hosted service does so in practice.
    "csv": Format("CSVWithNames", "text/csv; charset=utf-8", "CSV"),
    "csvwithnames": Format("CSVWithNames", "text/csv; charset=utf-8", "CSV"),
    "ndjson": Format("JSONEachRow", "application/x-ndjson", "JSONEachRow"),
    "parquet": Format("Parquet", "application/vnd.apache.parquet"),
    "prometheus": Format("Prometheus", "text/plain; version=0.0.4; charset=utf-8"),
}

SQL_FORMATS = {
    form.engine.lower(): form
    for form in (
        Format("JSON", _JSON),
        Format("JSONCompact", _JSON),
        Format("JSONStrings", _JSON),
        Format("JSONEachRow", "application/x-ndjson", "JSONEachRow"),
        Format("JSONStringsEachRow", "application/x-ndjson", "JSONStringsEachRow"),
        Format("CSV", "text/csv; charset=utf-8", "CSV"),
        Format("CSVWithNames", "text/csv; charset=utf-8", "CSV"),
        Format("TSV", "text/tab-separated-values; charset=utf-8", "TSV"),
        Format("TabSeparated", "text/tab-separated-values; charset=utf-8", "TabSeparated"),
        Format("TSVWithNames", "text/tab-separated-values; charset=utf-8", "TSV"),
        Format("TabSeparatedWithNames", "text/tab-separated-values; charset=utf-8", "TabSeparated"),
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

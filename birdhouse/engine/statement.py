"""The text side of a statement: what becomes a setting, and how values and file names are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote_plus

from birdhouse.engine.types import Insert, Limits, quote_identifier, quote_string
from birdhouse.errors import SqlError

Settings = Mapping[str, str | int | float]

# Formats without envelope or header: the engine writes each chunk of a stream as a document of its own.
ROW_FORMATS = frozenset(
    {
        "CSV",
        "JSONCompactEachRow",
        "JSONCompactStringsEachRow",
        "JSONEachRow",
        "JSONLines",
        "JSONStringsEachRow",
        "LineAsString",
        "NDJSON",
        "RawBLOB",
        "RowBinary",
        "TSKV",
        "TSV",
        "TSVRaw",
        "TabSeparated",
        "TabSeparatedRaw",
        "Values",
    }
)

_SETTING_OF_LIMIT = {
    "seconds": "max_execution_time",
    "memory_bytes": "max_memory_usage",
    "result_rows": "max_result_rows",
    "result_bytes": "max_result_bytes",
    "rows_to_read": "max_rows_to_read",
    "threads": "max_threads",
}

_PLACEHOLDER = re.compile(r"\{\s*([A-Za-z_]\w*)\s*:\s*([A-Za-z]\w*)")
_COMPOSITE_TYPES = frozenset({"Array", "Map", "Tuple", "Nested", "JSON", "Object", "Variant", "Identifier"})
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})
_UNSAFE_IN_URL = re.compile(r"[&?#%]")


def limit_settings(limits: Limits) -> dict[str, str | int | float]:
    """The engine settings for the limits that are stated."""
    return {
        setting: value for field, setting in _SETTING_OF_LIMIT.items() if (value := getattr(limits, field)) is not None
    }


def connection_url(path: str, settings: Settings) -> str:
    """`path?name=value&…`: settings that hold for everything that runs on a connection."""
    return f"{path}?" + "&".join(f"{name}={_url_value(name, value)}" for name, value in settings.items())


def _url_value(name: str, value: str | int | float) -> str:
    text = str(value)
    # The engine splits the address before it decodes it, and reads an empty value as 1.
    if not text or _UNSAFE_IN_URL.search(text):
        raise SqlError(f"The setting {name} cannot have the value {text!r}.")
    return quote_plus(text)


def bound_parameters(sql: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """Values as the engine reads them: escaped as in TSV for plain types, unchanged for arrays and maps."""
    if not parameters:
        return {}
    types: dict[str, str] = dict(_PLACEHOLDER.findall(sql))
    return {
        name: value if types.get(name) in _COMPOSITE_TYPES else value.translate(_ESCAPES)
        for name, value in parameters.items()
    }


def insert_statement(insert: Insert, path: str) -> str:
    """INSERT … FROM INFILE: in this form failures of the write side raise. SETTINGS go after the file."""
    columns = ", ".join(quote_identifier(column) for column in insert.columns)
    return (
        f"INSERT INTO {insert.table}{f' ({columns})' if columns else ''} "
        f"FROM INFILE {quote_string(path)} COMPRESSION 'none' "
        f"SETTINGS {_insert_settings(insert)} FORMAT {insert.format}"
    )


def _insert_settings(insert: Insert) -> str:
    # Without a token the engine takes two equal blocks for one; only this setting turns that off.
    identity: dict[str, str | int] = (
        {"insert_deduplication_token": insert.token} if insert.token else {"deduplicate_insert": "disable"}
    )
    return ", ".join(f"{name}={_literal(value)}" for name, value in {**insert.settings, **identity}.items())


def _literal(value: str | int | float) -> str:
    return quote_string(value) if isinstance(value, str) else str(value)

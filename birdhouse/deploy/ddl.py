"""Writes the statements that create and change tables and views. Text of a client enters only after it was checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from birdhouse.engine.types import TableName, quote_identifier, quote_string
from birdhouse.errors import DatafileError
from birdhouse.language.datafile.model import Column, DefaultKind, Index, TableEngine
from birdhouse.language.sql.statements import check_expression

DEDUPLICATION_WINDOW_BLOCKS = 1000
"""How many past blocks a table remembers tokens of. A repeated insert with a token among them adds nothing."""

DURABLE = {"fsync_after_insert": "1", "fsync_part_directory": "1"}
"""With these an acknowledged row survives the loss of power, not only of the process."""

_ENGINE_ARGUMENTS = {
    "ReplacingMergeTree": ("ver", "is_deleted"),
    "SummingMergeTree": ("columns",),
    "CollapsingMergeTree": ("sign",),
    "VersionedCollapsingMergeTree": ("sign", "version"),
    "Join": ("join_strictness", "join_type", "key_columns"),
}
_INDEX_TYPE = re.compile(r"\w+(\([\w\s.,']*\))?")
_CODEC = re.compile(r"[\w\s(),.]+")
_EMPTY_DATE = re.compile(r"^''$")
_DATE_ZERO = (("DateTime64", "toDateTime64(0, 3)"), ("DateTime", "toDateTime(0)"), ("Date", "toDate(0)"))
_SORTABLE = (
    re.compile(r"^(Date|DateTime)"),
    re.compile(r"^(U?Int|Float|Decimal)"),
    re.compile(r"^(LowCardinality\()?(String|FixedString|UUID)"),
)


def create_table(
    table: TableName,
    columns: Iterable[Column],
    engine: TableEngine | None,
    indexes: Iterable[Index] = (),
    *,
    comment: str = "",
    durable: bool = True,
) -> str:
    columns = tuple(columns)
    engine = engine or TableEngine("MergeTree")
    lines = [column_clause(column) for column in columns] + [index_clause(index) for index in indexes]
    parts = [f"CREATE TABLE {table} (", ",\n".join(f"    {line}" for line in lines), ")"]
    parts.append(f"ENGINE = {_engine_call(engine)}")
    if engine.name.endswith("MergeTree"):
        parts += _key_clauses(engine, columns)
        parts.append(f"SETTINGS {_settings(engine, durable)}")
    if comment:
        parts.append(f"COMMENT {quote_string(comment)}")
    return "\n".join(parts)


def column_clause(column: Column) -> str:
    parts = [quote_identifier(column.name)]
    if column.type:
        parts.append(column.type)
    if column.default_kind is not None and column.default is not None:
        parts.append(f"{column.default_kind} {_default(column)}")
    if column.codec:
        if not _CODEC.fullmatch(column.codec):
            raise DatafileError(f"'{column.codec}' of column '{column.name}' is not a codec")
        parts.append(f"CODEC({column.codec})")
    return " ".join(parts)


def _default(column: Column) -> str:
    """The default as the engine takes it: a date type refuses '' where older engines read it as the epoch."""
    assert column.default is not None
    if column.default_kind is DefaultKind.DEFAULT and _EMPTY_DATE.match(column.default.strip()):
        for prefix, zero in _DATE_ZERO:
            if column.type.startswith(prefix):
                return zero
    return check_expression(column.default)


def index_clause(index: Index) -> str:
    expression = check_expression(index.expression)
    if not _INDEX_TYPE.fullmatch(index.type):
        raise DatafileError(f"'{index.type}' is not the type of an index", hint="Write minmax or bloom_filter(0.01).")
    granularity = f" GRANULARITY {index.granularity}" if index.granularity is not None else ""
    return f"INDEX {quote_identifier(index.name)} {expression} TYPE {index.type}{granularity}"


def _engine_call(engine: TableEngine) -> str:
    arguments = []
    for option in _ENGINE_ARGUMENTS.get(engine.name, ()):
        value = engine.options.get(option, "").strip()
        if value:
            value = check_expression(value)
            arguments.append(f"({value})" if option == "columns" and "," in value else value)
    return f"{engine.name}({', '.join(arguments)})"


def _key_clauses(engine: TableEngine, columns: tuple[Column, ...]) -> list[str]:
    clauses = []
    for option, keyword in (("partition_key", "PARTITION BY"), ("primary_key", "PRIMARY KEY")):
        value = engine.options.get(option, "").strip()
        if value:
            clauses.append(f"{keyword} {_key(value)}")
    clauses.append(f"ORDER BY {_key(engine.options.get('sorting_key', '').strip() or default_sorting_key(columns))}")
    sampling = engine.options.get("sampling_key", "").strip()
    if sampling:
        clauses.append(f"SAMPLE BY {_key(sampling)}")
    ttl = engine.options.get("ttl", "").strip()
    if ttl:
        clauses.append(f"TTL {check_expression(ttl)}")
    return clauses


def _key(value: str) -> str:
    if value in ("tuple()", "()"):
        return "tuple()"
    return f"({check_expression(value)})"


def default_sorting_key(columns: Iterable[Column]) -> str:
    """The first date, numeric and text column, in that order, as the hosted service picks it."""
    columns = tuple(columns)
    chosen = []
    for pattern in _SORTABLE:
        name = next((column.name for column in columns if pattern.match(column.type)), None)
        if name is not None:
            chosen.append(quote_identifier(name))
    return ", ".join(chosen) or "tuple()"


def _settings(engine: TableEngine, durable: bool) -> str:
    settings: dict[str, str] = {
        "non_replicated_deduplication_window": str(DEDUPLICATION_WINDOW_BLOCKS),
        "allow_nullable_key": "1",
    }
    if durable:
        settings |= DURABLE
    if engine.name == "AggregatingMergeTree":
        # Projects written for older engines keep plain columns outside the key; newer ones refuse that by default.
        settings["allow_dimensions_outside_sorting_key"] = "1"
    settings |= parse_engine_settings(engine.options.get("settings", ""))
    return ", ".join(f"{name} = {value}" for name, value in settings.items())


def parse_engine_settings(text: str) -> Mapping[str, str]:
    """`index_granularity=8192, ttl_only_drop_parts=1` to a mapping. Values are numbers or quoted texts."""
    settings = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\w+)\s*=\s*(\d+(?:\.\d+)?|'[^'\\]*')", item)
        if match is None:
            raise DatafileError(
                f"ENGINE_SETTINGS cannot be read: {item!r}",
                hint="Write name=value pairs separated by commas.",
            )
        settings[match[1]] = match[2]
    return settings


def create_view(view: TableName, target: TableName, sql: str) -> str:
    return f"CREATE MATERIALIZED VIEW {view} TO {target} AS\n{sql}"


def drop_view(view: TableName) -> str:
    return f"DROP VIEW IF EXISTS {view} SYNC"


def drop_table(table: TableName) -> str:
    return f"DROP TABLE IF EXISTS {table} SYNC"


def add_column(table: TableName, column: Column, after: str | None) -> str:
    """`after` None puts it first."""
    place = f"AFTER {quote_identifier(after)}" if after else "FIRST"
    return f"ALTER TABLE {table} ADD COLUMN {column_clause(column)} {place}"


def drop_column(table: TableName, name: str) -> str:
    return f"ALTER TABLE {table} DROP COLUMN {quote_identifier(name)}"


def modify_column(table: TableName, column: Column) -> str:
    return f"ALTER TABLE {table} MODIFY COLUMN {column_clause(column)}"


def remove_default(table: TableName, name: str, kind: DefaultKind) -> str:
    return f"ALTER TABLE {table} MODIFY COLUMN {quote_identifier(name)} REMOVE {kind}"


def modify_ttl(table: TableName, ttl: str | None) -> str:
    if ttl is None:
        return f"ALTER TABLE {table} REMOVE TTL"
    return f"ALTER TABLE {table} MODIFY TTL {check_expression(ttl)}"


def add_index(table: TableName, index: Index) -> str:
    return f"ALTER TABLE {table} ADD {index_clause(index)}"


def drop_index(table: TableName, name: str) -> str:
    return f"ALTER TABLE {table} DROP INDEX {quote_identifier(name)}"


def create_database(name: str) -> str:
    return f"CREATE DATABASE IF NOT EXISTS {quote_identifier(name)} ENGINE = Atomic"


def drop_database(name: str) -> str:
    return f"DROP DATABASE IF EXISTS {quote_identifier(name)} SYNC"

from __future__ import annotations

import pytest

from birdhouse.deploy import ddl
from birdhouse.engine.types import TableName
from birdhouse.errors import BirdhouseError
from birdhouse.language.datafile.model import Column, DefaultKind, Index, TableEngine

TABLE = TableName("w", "t_1")
TS = Column("ts", "DateTime")


def statement(engine: TableEngine | None, *columns: Column) -> str:
    return ddl.create_table(TABLE, columns or (TS,), engine, durable=False)


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (None, "ENGINE = MergeTree()\nORDER BY (ts)"),
        (TableEngine("MergeTree", {"sorting_key": "tuple()"}), "ENGINE = MergeTree()\nORDER BY tuple()"),
        (TableEngine("MergeTree", {"sorting_key": "a, toDate(ts)"}), "ORDER BY (a, toDate(ts))"),
        (TableEngine("MergeTree", {"partition_key": "toYYYYMM(ts)"}), "PARTITION BY (toYYYYMM(ts))"),
        (TableEngine("MergeTree", {"partition_key": ""}), "ENGINE = MergeTree()\nORDER BY (ts)"),
        (TableEngine("MergeTree", {"ttl": "ts + toIntervalDay(60)"}), "TTL ts + toIntervalDay(60)"),
        (TableEngine("MergeTree", {"settings": "index_granularity=32"}), "index_granularity = 32"),
        (TableEngine("ReplacingMergeTree", {"ver": "v", "sorting_key": "id"}), "ReplacingMergeTree(v)"),
        (TableEngine("ReplacingMergeTree", {"ver": "v", "is_deleted": "d"}), "ReplacingMergeTree(v, d)"),
        (TableEngine("SummingMergeTree", {"columns": "a, b"}), "SummingMergeTree((a, b))"),
        (TableEngine("CollapsingMergeTree", {"sign": "s"}), "CollapsingMergeTree(s)"),
        (TableEngine("AggregatingMergeTree"), "allow_dimensions_outside_sorting_key = 1"),
        (TableEngine("Null"), "ENGINE = Null()"),
    ],
)
def test_engines(engine: TableEngine | None, expected: str) -> None:
    assert expected in statement(engine)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (Column("a", "String"), "`a` String"),
        (Column("a`b", "String"), "`a\\`b` String"),
        (Column("a", "Int32", None, DefaultKind.DEFAULT, "-1"), "`a` Int32 DEFAULT -1"),
        (Column("a", "DateTime64(3)", None, DefaultKind.DEFAULT, "''"), "`a` DateTime64(3) DEFAULT toDateTime64(0, 3)"),
        (Column("a", "DateTime", None, DefaultKind.DEFAULT, "''"), "`a` DateTime DEFAULT toDateTime(0)"),
        (Column("a", "Date", None, DefaultKind.DEFAULT, "''"), "`a` Date DEFAULT toDate(0)"),
        (Column("a", "String", None, DefaultKind.DEFAULT, "''"), "`a` String DEFAULT ''"),
        (Column("d", "Date", None, DefaultKind.MATERIALIZED, "toDate(ts)"), "`d` Date MATERIALIZED toDate(ts)"),
        (Column("a", "String", "$.a", None, None, "ZSTD(1)"), "`a` String CODEC(ZSTD(1))"),
    ],
)
def test_columns(column: Column, expected: str) -> None:
    assert ddl.column_clause(column) == expected


@pytest.mark.parametrize(
    "text",
    [
        "x) ENGINE = File(TSV) AS SELECT 1 --",
        "(SELECT max(ts) FROM system.parts)",
        "file('/etc/passwd')",
        "1; DROP TABLE t",
        "1 SETTINGS readonly = 0",
    ],
)
@pytest.mark.parametrize("option", ["sorting_key", "partition_key", "ttl"])
def test_an_expression_of_a_client_is_only_an_expression(option: str, text: str) -> None:
    with pytest.raises(BirdhouseError):
        statement(TableEngine("MergeTree", {option: text}))


@pytest.mark.parametrize("text", ["a", "a=1, storage_policy=(SELECT 1)", "a = 'x' , b", "disk = disk(type=local)"])
def test_engine_settings_are_names_with_plain_values(text: str) -> None:
    with pytest.raises(BirdhouseError, match="ENGINE_SETTINGS cannot be read"):
        ddl.parse_engine_settings(text)


@pytest.mark.parametrize("type_", ["minmax) , x", "set(100", "bloom_filter(0.01) GRANULARITY 1"])
def test_an_index_type_is_a_name_with_plain_arguments(type_: str) -> None:
    with pytest.raises(BirdhouseError):
        ddl.index_clause(Index("ix", "ts", type_))


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ({"a": "String", "b": "Int32", "c": "DateTime"}, "`c`, `b`, `a`"),
        ({"a": "LowCardinality(String)"}, "`a`"),
        ({"a": "Array(String)"}, "tuple()"),
        ({"a": "Nullable(Int32)", "b": "String"}, "`b`"),
    ],
)
def test_the_sorting_key_of_a_data_source_without_engine(types: dict[str, str], expected: str) -> None:
    assert ddl.default_sorting_key([Column(name, type_) for name, type_ in types.items()]) == expected

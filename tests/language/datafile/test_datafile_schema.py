import pytest

from birdhouse.errors import DatafileError
from birdhouse.language.datafile.model import Column, DefaultKind, Index
from birdhouse.language.datafile.schema import (
    columns_of_list,
    format_index,
    format_schema,
    parse_indexes,
    parse_schema,
    spaced_list,
)

NORMALISED = [
    ("c Float32, b String", "`c` Float32,`b` String"),
    ("c Float32,--comment\nb String --another", "`c` Float32,`b` String"),
    ("`foo.bar` UInt64", "`foo.bar` UInt64"),
    ("wadus INT UNSIGNED", "`wadus` INT UNSIGNED"),
    ("`d`  Date   materialized toDate(ts)", "`d` Date MATERIALIZED toDate(ts)"),
    ("c Int32 Materialized b != 1 ? b*2: pow(b, 3)", "`c` Int32 MATERIALIZED b != 1 ? b*2: pow(b, 3)"),
    ("a2 Float32 CODEC (Delta, ZSTD(4)) `json:$.a2`", "`a2` Float32 `json:$.a2` CODEC(Delta, ZSTD(4))"),
    ("`a` String, INDEX ix a TYPE set(100, 1) GRANULARITY 100", "`a` String"),
    ("index String, type UInt8, ttl Date, codec String", "`index` String,`type` UInt8,`ttl` Date,`codec` String"),
    ("a String `json:$.a--2`", "`a` String `json:$.a--2`"),
    ("a String DEFAULT '--, `json:`'", "`a` String DEFAULT '--, `json:`'"),
    ("a DEFAULT 1", "`a` DEFAULT 1"),
    ("c nullable(Int8) DEFAULT null", "`c` Nullable(Int8)"),
    ("c Nullable(SimpleAggregateFunction(max, DateTime))", "`c` SimpleAggregateFunction(max, Nullable(DateTime))"),
    ("a Array(String) DEFAULT ['a', 'b']", "`a` Array(String) DEFAULT ['a', 'b']"),
    ("a UInt8 DEFAULT ttl IS NOT NULL", "`a` UInt8 DEFAULT ttl IS NOT NULL"),
    ("", ""),
]


@pytest.mark.parametrize(("written", "normalised"), NORMALISED)
def test_a_schema_is_normalised_to_the_line_the_client_sends(written: str, normalised: str) -> None:
    columns = parse_schema(written)
    assert format_schema(columns) == normalised
    assert parse_schema(normalised) == columns


def test_the_parts_of_a_column_are_bare() -> None:
    [column] = parse_schema("`v` Nullable(Float64) `json:$.v` DEFAULT 1 CODEC(ZSTD(1))")
    assert column == Column("v", "Nullable(Float64)", "$.v", DefaultKind.DEFAULT, "1", "ZSTD(1)")


@pytest.mark.parametrize(
    ("written", "line", "column", "message"),
    [
        ("a String,", 1, 9, "found nothing"),
        ("a String,,b String", 1, 10, "found nothing"),
        ("a String,\n b Int8 ALIAS a", 2, 9, "ALIAS is not supported"),
        ("a String NOT NULL", 1, 10, "NOT NULL is not supported"),
        ("a DateTime TTL a + 1", 1, 12, "TTL is not supported"),
        ("a Int8 DEFAULT 1 DEFAULT 2", 1, 18, "Unexpected DEFAULT after DEFAULT"),
        ("a Int8 CODEC(LZ4) DEFAULT 1", 1, 19, "Unexpected DEFAULT after CODEC"),
        ("a Int8 CODEC(LZ4)\n`b` String", 1, 8, "after CODEC"),
        ("a String DEFAULT", 1, 10, "DEFAULT of column 'a' is empty"),
        ("a String `json:$.a` x", 1, 20, "Unexpected 'x' after the jsonpath"),
        ("a", 1, 2, "has no type"),
        ("do/e Int8", 1, 3, "Unexpected '/'"),
        ("-- x\na Array(String", 2, 8, "never closed"),
        ("a Array(String]", 1, 15, "Unexpected ']'"),
        ("a String `json:$.a", 1, 10, "never closed"),
        ("a String DEFAULT 'x", 1, 18, "never closed"),
    ],
)
def test_a_wrong_schema_is_told_with_its_place(written: str, line: int, column: int, message: str) -> None:
    with pytest.raises(DatafileError, match=message) as caught:
        parse_schema(written)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    ("written", "index"),
    [
        ("INDEX ix user TYPE bloom_filter(0.01) GRANULARITY 4", Index("ix", "user", "bloom_filter(0.01)", 4)),
        ("type type TYPE set(100),", Index("type", "type", "set(100)")),
        ("Description_ix u64 * length(s) type minmax", Index("Description_ix", "u64 * length(s)", "minmax")),
        ("i (a, toIPv6(b)) TYPE minmax GRANULARITY 1", Index("i", "(a, toIPv6(b))", "minmax", 1)),
        ("i m['key'] TYPE ngrambf_v1(1, 1024, 1, 42)", Index("i", "m['key']", "ngrambf_v1(1, 1024, 1, 42)")),
        ("i x TYPE text(tokenizer = 'default')", Index("i", "x", "text(tokenizer = 'default')")),
    ],
)
def test_an_index_is_read_and_written(written: str, index: Index) -> None:
    assert parse_indexes(f"\n{written}\n") == (index,)
    assert parse_indexes(format_index(index)) == (index,)


@pytest.mark.parametrize("written", ["ix user", "ix TYPE minmax", "a x TYPE set(1) GRANULARITY 1, b y TYPE minmax"])
def test_a_wrong_index_is_told_with_its_line(written: str) -> None:
    with pytest.raises(DatafileError, match="Cannot read the index") as caught:
        parse_indexes(f"ok x TYPE minmax\n  {written}", line=10)
    assert (caught.value.line, caught.value.column) == (11, 3)


def test_commas_outside_quotes_get_one_blank() -> None:
    assert spaced_list("a,b ,\n  f(c,'x,y'), `d,e` -- why") == "a, b, f(c, 'x,y'), `d,e`"


def test_a_key_is_split_at_its_own_commas_only() -> None:
    assert columns_of_list("(a, f(b, c), `d,e`)") == ["a", "f(b, c)", "`d,e`"]
    assert columns_of_list("(a, b), c") == ["(a, b)", "c"]
    assert columns_of_list("tuple()") == ["tuple()"]

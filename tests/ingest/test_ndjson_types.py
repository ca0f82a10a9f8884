"""What each type takes from JSON, as stored by the engine: value in, value out, or quarantine."""

from __future__ import annotations

import json
from datetime import date, timedelta
from enum import Enum

import pytest
from ingest_tables import MakeTarget, read

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Insert
from birdhouse.ingest.ndjson import NdjsonEncoder
from birdhouse.ingest.quarantine import ERROR_COLUMNS
from birdhouse.ingest.rowbinary import Misfit, writer
from birdhouse.language.datafile.model import Column, DefaultKind
from birdhouse.language.datafile.types import parse_type


class Special(Enum):
    """What is no value: the line goes out to quarantine; the line has no such key."""

    OUT = "out"
    MISSING = "missing"


OUT, MISSING = Special
LONG = "2024-01-01 00:00:00"
LONG3 = "2024-01-01 00:00:00.000"

CASES = [
    ("String", None, '"a"', "a"),
    ("String", None, '"naïve 漢字 \\u00e9 \\ud83d\\ude00"', "naïve 漢字 é 😀"),
    ("String", None, "5", OUT),
    ("String", None, "true", OUT),
    ("String", None, "null", OUT),
    ("String", None, MISSING, OUT),
    ("String", None, '{"a":1}', '{"a":1}'),
    ("String", None, "[1,2]", "[1,2]"),
    ("String", "'def'", "null", "def"),
    ("String", "'def'", MISSING, "def"),
    ("String", "'def'", '"x"', "x"),
    ("Nullable(String)", None, "null", None),
    ("Nullable(String)", None, MISSING, None),
    ("LowCardinality(String)", None, '"a"', "a"),
    ("LowCardinality(Nullable(String))", None, "null", None),
    ("Int8", None, "1", 1),
    ("Int8", None, '"1"', OUT),
    ("Int8", None, "300", OUT),
    ("Int8", None, "1.5", OUT),
    ("Int8", None, "true", 1),
    ("Int8", None, "1e2", OUT),
    ("Int8", "-1", "null", -1),
    ("Int8", "-1", '"x"', OUT),
    ("Nullable(Int32)", None, "null", None),
    ("Nullable(Int32)", None, '""', OUT),
    ("Nullable(Int32)", None, "99999999999", OUT),
    ("Int64", None, "9007199254740993", 9007199254740993),
    ("Int64", None, "9223372036854775808", OUT),
    ("UInt64", None, "18446744073709551615", 18446744073709551615),
    ("Int256", None, '"123456789012345678901234567890"', 123456789012345678901234567890),
    ("Int256", None, "123456789012345678901234567890", 123456789012345678901234567890),
    ("Float64", None, "1", 1),
    ("Float64", None, '"1.5"', OUT),
    ("Bool", None, "2", True),
    ("Bool", None, "0", False),
    ("Nullable(Bool)", None, "null", None),
    ("Array(Bool)", None, "[true,7]", [True, True]),
    ("Bool", None, '"true"', OUT),
    ("DateTime", None, f'"{LONG}"', LONG),
    ("DateTime", None, '"2024-01-01T00:00:00.123Z"', LONG),
    ("DateTime", None, '"2024-01-01T02:00:00+02:00"', LONG),
    ("DateTime", None, '"2024-01-01"', LONG),
    ("DateTime", None, "1704067200", LONG),
    ("DateTime", None, '"1704067200"', OUT),
    ("DateTime", None, '"1960-01-01 00:00:00"', OUT),
    ("DateTime", None, '"2200-01-01 00:00:00"', OUT),
    ("DateTime64(3)", None, '"2024-01-01T00:00:00.123456Z"', "2024-01-01 00:00:00.123"),
    ("DateTime64(3)", None, "1704067200", LONG3),
    ("DateTime64(3)", None, "1704067200123", "2024-01-01 00:00:00.123"),
    ("DateTime64(3)", None, "1704067200.123", "2024-01-01 00:00:00.123"),
    ("DateTime64(3)", None, '"nope"', OUT),
    ("DateTime64(3)", None, '"1960-01-01 00:00:00"', "1960-01-01 00:00:00.000"),
    ("DateTime64(3)", None, '"1902-01-01"', "1902-01-01 00:00:00.000"),
    ("DateTime64(3)", None, '"\\u0031960-01-01"', "1960-01-01 00:00:00.000"),
    ("DateTime64(3)", None, '"1850-01-01"', OUT),
    ("Nullable(DateTime64(6))", None, '"1960-06-01 01:02:03.000004"', "1960-06-01 01:02:03.000004"),
    ("Nullable(DateTime64(3))", None, "null", None),
    ("DateTime64(3)", "toDateTime64('2020-01-01', 3)", MISSING, "2020-01-01 00:00:00.000"),
    ("Array(DateTime64(3))", None, '["1960-01-01","2024-01-01"]', ["1960-01-01 00:00:00.000", LONG3]),
    ("Date", None, '"2024-01-01"', "2024-01-01"),
    ("Date", None, '"2024-01-01T00:00:00Z"', "2024-01-01"),
    ("Date", None, "19723", "2024-01-01"),
    ("Date", None, "1704067200", "2024-01-01"),
    ("Date", None, '"x"', OUT),
    ("Date32", None, '"1920-01-01"', "1920-01-01"),
    ("Date32", None, '"2024-01-01"', "2024-01-01"),
    ("Time", None, '"12:13:14"', "12:13:14"),
    ("Time64(3)", None, '"12:13:14.5"', "12:13:14.500"),
    ("Time", None, '"12:99:14"', OUT),
    ("Array(String)", None, '["a","b"]', ["a", "b"]),
    ("Array(String)", None, "null", []),
    ("Array(String)", None, MISSING, []),
    ("Array(String)", None, '["a",null]', OUT),
    ("Array(String)", None, '"a"', ["a"]),
    ("Array(String)", None, "5", OUT),
    ("Array(Int32)", None, "5", [5]),
    ("Array(String)", None, "{}", ["{}"]),
    ("Array(Nullable(Int32))", None, "[1,null]", [1, None]),
    ("Array(Array(String))", None, '[["a"],["b","c"]]', [["a"], ["b", "c"]]),
    ("Array(Array(String))", None, '[["a"],[1]]', OUT),
    ("UUID", None, '"61f0c404-5cb3-11e7-907b-a6006ad3dba0"', "61f0c404-5cb3-11e7-907b-a6006ad3dba0"),
    ("UUID", None, '"x"', OUT),
    ("Decimal(18,4)", None, '"1.23"', 1.23),
    ("Enum8('a' = 1, 'b' = 2)", None, '"b"', "b"),
    ("Enum8('a' = 1, 'b' = 2)", None, "1", "a"),
    ("Enum8('a' = 1, 'b' = 2)", None, '"z"', OUT),
    ("Enum8('a' = 1, 'b' = 2)", "'b'", MISSING, "b"),
    ("Enum16('it\\'s' = 300)", None, '"it\'s"', "it's"),
    ("LowCardinality(FixedString(4))", None, '"ab"', "ab\0\0"),
    ("FixedString(4)", None, '"abcde"', OUT),
    ("Map(String, Int32)", None, '{"a":1}', {"a": 1}),
    ("Map(String, String)", None, '{"a":1}', OUT),
    ("Map(UInt16, String)", None, '{"7":"a"}', {"7": "a"}),
    ("Map(String, Array(Array(Int8)))", None, '{"a":[[1],[]]}', {"a": [[1], []]}),
    ("Tuple(Int32, String)", None, '[1,"x"]', [1, "x"]),
    ("Tuple(a Int32, b String)", None, '{"a":1,"b":"x"}', {"a": 1, "b": "x"}),
    ("Tuple(a Int32, b String)", None, '{"a":"1","b":"x"}', OUT),
    ("Tuple(a Int32, b String)", None, '{"a":1,"c":"x"}', OUT),
    ("Array(Tuple(a Nullable(Int8), d Date))", None, '[{"a":null,"d":19723}]', [{"a": None, "d": "2024-01-01"}]),
    ("Point", None, "[1,2.5]", [1, 2.5]),
    ("Variant(Int32, String)", None, "1", 1),
    ("Variant(Int32, String)", None, '"x"', "x"),
    ("Variant(Int32, String)", None, "null", None),
    ("BFloat16", None, "1.5", 1.5),
    ("JSON", None, '{"a":1}', {"a": 1}),
    ("IPv4", None, '"1.2.3.4"', "1.2.3.4"),
    ("SimpleAggregateFunction(max, DateTime64(3))", None, '"1960-01-01"', "1960-01-01 00:00:00.000"),
]  # fmt: skip


def column(type: str, default: str | None, path: str | None = None) -> Column:
    if path is None:
        path = "$.v[:]" if type.startswith("Array") else "$.v"
    return Column("v", type, path, DefaultKind.DEFAULT if default else None, default)


@pytest.mark.parametrize(("type", "default", "value", "stored"), CASES, ids=lambda part: str(part)[:40])
async def test_a_value_is_stored_right_or_goes_to_quarantine(
    engine: Engine, make_target: MakeTarget, type: str, default: str | None, value: object, stored: object
) -> None:
    target = await make_target([Column("id", "UInt32", "$.id"), column(type, default)])
    line = '{"id":7}' if value is MISSING else f'{{"id":7,"v":{value}}}'
    encoder = NdjsonEncoder(target.columns)
    encoded = encoder.encode(line.encode())
    if stored is OUT:
        assert (encoded.good_rows, encoded.quarantine_rows) == (0, 1)
        quarantined = (*encoder.columns, *ERROR_COLUMNS)
        await engine.insert(Insert(target.quarantine, quarantined, "RowBinaryWithDefaults", encoded.quarantine, "a"))
        [[identity, columns, reasons]] = await read(engine, target.quarantine, "id, c__error_column, c__error")
        assert (identity, columns) == ("7", ["v"])
        assert "'v'" in reasons[0]
    else:
        assert (encoded.good_rows, encoded.quarantine_rows) == (1, 0)
        await engine.insert(Insert(target.table, encoder.columns, "RowBinaryWithDefaults", encoded.good, "a"))
        assert await read(engine, target.table) == [[7, stored]]


def test_every_day_the_engine_keeps_is_the_same_day_in_both_ways_of_fitting() -> None:
    days = [date(1900, 1, 1) + timedelta(number) for number in range(0, 146_000, 11)]
    body = b"\n".join(b'{"v":"%s"}' % day.isoformat().encode() for day in days)
    encoded = NdjsonEncoder([column("Date32", None)]).encode(body)
    assert encoded.good_rows == len(days)
    numbers = [
        int.from_bytes(encoded.good[start + 1 : start + 5], "little", signed=True)
        for start in range(0, len(encoded.good), 5)
    ]
    assert numbers == [(day - date(1970, 1, 1)).days for day in days]


ONE_BY_ONE = (
    "Enum",
    "Time",
    "Tuple",
    "Variant",
    "BFloat16",
    "Point",
    "Array(Array",
    "Array(Bool",
    "Map(U",
    "Map(String, A",
)
COMPARABLE = [
    (type, value)
    for type, _, value, _ in CASES
    if isinstance(value, str) and not type.startswith((*ONE_BY_ONE, "JSON", "LowCardinality(Fixed", "Array(Tuple"))
    and not (type == "Bool" and value == "2") and not (type.startswith("Array") and value[0] != "[")
    and '"19' not in value and "u0031" not in value
] + [
    *(("DateTime64(3)", str(10**digits)) for digits in range(1, 14)),
    *(("Decimal(9, 2)", text) for text in ("1.239", "-1.239", "99999999999", '"1e3"', '"x"')),
]  # fmt: skip


@pytest.mark.parametrize(("type", "value"), COMPARABLE)
def test_value_by_value_gives_what_the_block_encoder_gives(type: str, value: str) -> None:
    encoded = NdjsonEncoder([column(type, None, "$.v")]).encode(f'{{"v":{value}}}'.encode())
    try:
        one_by_one = b"\0" + writer(parse_type(type))(json.loads(value))
    except Misfit:
        one_by_one = b""
    assert one_by_one == encoded.good

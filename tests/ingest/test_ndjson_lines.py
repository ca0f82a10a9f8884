"""Every line that is not blank is counted once, whatever stands around it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_tables import MakeTarget, read

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Insert
from birdhouse.errors import InvalidRows
from birdhouse.ingest.ndjson import NdjsonEncoder, json_documents
from birdhouse.ingest.quarantine import reasons
from birdhouse.ingest.rowbinary import flagged_text
from birdhouse.language.datafile.model import Column, DefaultKind

PLAIN = [Column("id", "UInt32", "$.id"), Column("v", "String", "$.v")]
GUARDED = [
    *PLAIN,
    Column("at", "DateTime64(3)", "$.at", DefaultKind.DEFAULT, "0"),
    Column("ok", "Nullable(Bool)", "$.ok"),
    Column("tags", "Array(String)", "$.tags[:]"),
]
EXACT = [*PLAIN, Column("e", "Enum8('a' = 1, 'b' = 2)", "$.e", DefaultKind.DEFAULT, "'a'")]
SCHEMAS = {"plain": PLAIN, "guarded": GUARDED, "exact": EXACT}

GOOD = st.builds(
    lambda number, text, more: json.dumps({"id": number, "v": text, **more}).encode(),
    st.integers(0, 2**32 - 1),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["}{", "}\n{", "ERROR: ", '"}']),
    st.sampled_from(
        [
            {}, {"at": "1960-05-01", "tags": ["x"]}, {"ok": True, "tags": None}, {"at": 1704067200}, {"tags": "lone"},
            {"ok": 7}, {"ok": None}, {"e": "b"}, {"e": None}, {"at": None},
        ]
    ),
)  # fmt: skip
BAD = st.sampled_from(
    [
        b'{"id":"x","v":"a"}', b'{"id":1}', b'{"v":"a"}', b'{"id":-1,"v":"a"}', b'{"id":1,"v":7}', b"{}",
        b'{"id":1,"v":"ERROR_X: "', b'{"id":1,"v":"cut', b'{"id":', b"not json", b"123", b"null", b"[1,2]", b'"text"',
        b'{"id":1,"v":"\xff\xfe"}', b'{"id":1,"v":"a"} x', b'{"id":1,"v":"a"}{"id":2,"v":"b"}', b"}", b"{",
        b'[{"id":1,"v":"a"}]', b'{"a":{"id":1,"v":"a"}', b'{"id":1,"v":"a\x01b"}', b"}{", b'{"id":1 "v":"a"}',
    ]
)  # fmt: skip
BLANK = st.sampled_from([b"", b"  ", b"\t", b"\r"])
LINES = st.lists(st.tuples(st.sampled_from("gggbn"), GOOD, BAD, BLANK), max_size=40)


@pytest.mark.parametrize("schema", SCHEMAS)
@settings(max_examples=150, deadline=None)
@given(lines=LINES, ending=st.sampled_from([b"\n", b"\r\n"]), closed=st.booleans())
def test_good_and_quarantined_rows_add_up_to_the_lines(
    schema: str, lines: list[tuple[str, bytes, bytes, bytes]], ending: bytes, closed: bool
) -> None:
    encoder = NdjsonEncoder(SCHEMAS[schema])
    chosen = [{"g": good, "b": bad, "n": blank}[kind] for kind, good, bad, blank in lines]
    good = [line for (kind, line, _, _) in lines if kind == "g"]
    body = ending.join(chosen) + (ending if closed else b"")
    encoded = encoder.encode(body)
    assert encoded.good_rows == len(good)
    assert encoded.quarantine_rows == sum(kind == "b" for kind, *_ in lines)
    assert encoded.good == b"".join(encoder.encode(line).good for line in good)
    assert len(list(reasons(encoded.quarantine, len(encoder.columns)))) == encoded.quarantine_rows


async def test_good_lines_are_stored_as_sent(engine: Engine, make_target: MakeTarget) -> None:
    target = await make_target(GUARDED)
    encoder = NdjsonEncoder(target.columns)
    body = b"\n".join(
        b'{"id":%d,"v":"text %d","at":"19%02d-03-01","tags":["t"]}' % (number, number, number)
        for number in range(10, 99)
    )  # fmt: skip
    encoded = encoder.encode(body)
    await engine.insert(Insert(target.table, encoder.columns, "RowBinaryWithDefaults", encoded.good, "x"))
    stored = await read(engine, target.table, "id, v, at, tags", "id")
    assert stored == [[n, f"text {n}", f"19{n}-03-01 00:00:00.000", ["t"]] for n in range(10, 99)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id":1,"v":"cut', "The line is not valid JSON"),
        (b"[1]", "The line is not a JSON object: [1]"),
        (b'{"id":1,"v":"a"}{"id":2,"v":"b"}', "The line has 2 JSON objects instead of one"),
        (b'{"id":1,"v":"\xff"}', "The line is not valid JSON"),
        (b'{"id":"x","v":"a"}', "Invalid value x for type 'UInt32' in column 'id'"),
    ],
)
def test_a_quarantined_line_says_why(line: bytes, reason: str) -> None:
    encoded = NdjsonEncoder(PLAIN).encode(line)
    [(_, found)] = reasons(encoded.quarantine, 2)
    assert found.errors[0].startswith(reason)


def test_a_row_that_is_too_large_does_not_take_its_neighbours_along() -> None:
    encoder = NdjsonEncoder(PLAIN, row_bytes_max=100_000)
    large = b'{"id":2,"v":"' + b"x" * 200_000 + b'"}'
    encoded = encoder.encode(b'{"id":1,"v":"a"}\n' + large + b'\n{"id":3,"v":"c"}\n')
    assert (encoded.good_rows, encoded.quarantine_rows) == (2, 1)
    [(row, found)] = reasons(encoded.quarantine, 2)
    assert found.errors[0].startswith("The line has 200015 bytes, more than the 100000 a row may have")
    assert len(row) < 50_000


def test_rows_over_a_megabyte_fit() -> None:
    line = b'{"id":2,"v":"' + b"x" * 3_000_000 + b'"}'
    assert NdjsonEncoder(PLAIN).encode(b'{"id":1,"v":"a"}\n' + line).good_rows == 2


def test_a_byte_order_mark_is_not_part_of_the_first_line() -> None:
    assert NdjsonEncoder(PLAIN).encode(b'\xef\xbb\xbf{"id":1,"v":"a"}\n').good_rows == 1


def test_materialized_columns_bring_no_values_and_columns_without_a_path_go_by_name() -> None:
    columns = [Column("id", "UInt32"), Column("twice", "UInt32", None, DefaultKind.MATERIALIZED, "id * 2")]
    encoder = NdjsonEncoder(columns)
    assert encoder.columns == ("id",)
    assert encoder.encode(b'{"id":5}').good == b"\0\5\0\0\0"


@pytest.mark.parametrize(
    ("path", "document", "value"),
    [
        ("$.a.b", '{"a":{"b":"x"}}', "x"),
        ("$['a key']", '{"a key":"x"}', "x"),
        ("$.list[1].b", '{"list":[1,{"b":"x"}]}', "x"),
        ("$", '{"b":1}', '{"b":1}'),
    ],
)
def test_a_path_leads_to_a_value(path: str, document: str, value: str) -> None:
    encoded = NdjsonEncoder([Column("v", "String", path)]).encode(document.encode())
    assert encoded.good == b"\0" + bytes([len(value)]) + value.encode()


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b'{\n  "id": 1,\n  "v": "a"\n}\n', [{"id": 1, "v": "a"}]),
        (b'[{"id":1},\n {"id":2}]', [{"id": 1}, {"id": 2}]),
        (b" [] ", []),
        (b"", []),
        (b'{"id":1}\n{"id":2}', [{"id": 1}, {"id": 2}]),
        (b'[1.10, "a"]', [1.10, "a"]),
    ],
)
def test_json_documents_become_one_line_each(body: bytes, lines: list[object]) -> None:
    assert [json.loads(line) for line in json_documents(body).splitlines()] == lines


def test_numbers_of_json_documents_stay_as_written() -> None:
    assert json_documents(b'[{"a": 1.10,\n"b": 123456789012345678901234567890}]') == (
        b'{"a": 1.10, "b": 123456789012345678901234567890}'
    )


def test_a_broken_document_says_where() -> None:
    with pytest.raises(InvalidRows, match=r"line 2, column 8"):
        json_documents(b'{\n  "id" 1}')


def test_a_misfit_keeps_all_of_its_values_as_they_came() -> None:
    """Whole arrays, and null apart from the text "null"."""
    columns = [Column("n", "UInt8"), Column("tags", "Array(String)", jsonpath="$.tags[:]"), Column("s", "String")]
    lines = [b'{"n": 1, "tags": ["a", "b"], "s": "x"}'] * 3 + [b'{"n": null, "tags": ["a", "b"], "s": "null"}'] * 2
    encoder = NdjsonEncoder(columns)
    encoded = encoder.encode(b"\n".join(lines))
    assert (encoded.good_rows, encoded.quarantine_rows) == (3, 2)
    kept = {"n": None, "tags": '["a","b"]', "s": "null"}
    values = b"".join(map(flagged_text, (kept[name] for name in encoder.columns)))
    assert [row.startswith(values) for row, _ in reasons(encoded.quarantine, len(kept))] == [True, True]

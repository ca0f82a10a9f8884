from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from ingest_tables import MakeTarget, read
from pyarrow import parquet

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query
from birdhouse.errors import InvalidRows, TooLarge
from birdhouse.ingest.delimited import Dialect
from birdhouse.ingest.files import FileFormat, Files, Imported
from birdhouse.language.datafile.model import Column, DefaultKind

CSV, NDJSON, PARQUET = FileFormat.CSV, FileFormat.NDJSON, FileFormat.PARQUET
PEOPLE = [
    Column("id", "UInt32", "$.id"),
    Column("name", "String", "$.name"),
    Column("born", "Nullable(Date)", "$.born"),
    Column("score", "Int8", "$.score", DefaultKind.DEFAULT, "-1"),
    Column("twice", "UInt32", None, DefaultKind.MATERIALIZED, "id * 2"),
]


@pytest.fixture
def files(engine: Engine, tmp_path: Path) -> Files:
    return Files(engine, tmp_path)


def written(directory: Path, content: bytes) -> Path:
    path = directory / "file"
    path.write_bytes(content)
    return path


async def staging_tables(engine: Engine) -> bytes:
    sql = "SELECT name FROM system.tables WHERE name LIKE '%staging%'"
    return (await engine.select(Query(sql, "TSV"))).body


def counts(imported: Imported) -> tuple[int, int, int]:
    return imported.rows, imported.quarantine_rows, imported.invalid_lines


CASTS = [
    ("String", "a", "a"), ("String", "", ""), ("Nullable(String)", "", None), ("FixedString(2)", "ab", "ab"),
    ("FixedString(2)", "abc", ...), ("LowCardinality(String)", "a", "a"),
    ("LowCardinality(Nullable(String))", "", None),
    ("Int8", "5", 5), ("Int8", "300", ...), ("Int8", "1.5", ...), ("Int8", "", ...), ("Int8", " 7 ", 7),
    ("Nullable(Int8)", "", None), ("Nullable(Int8)", "x", ...),
    ("UInt64", "18446744073709551615", 18446744073709551615),
    ("Int256", "123456789012345678901234567890", 123456789012345678901234567890), ("Float32", "1.5", 1.5),
    ("Float64", "", ...), ("Bool", "true", True), ("Bool", "True", True), ("Bool", "0", False), ("Bool", "maybe", ...),
    ("Decimal(9, 2)", "1.25", 1.25), ("Decimal(9, 2)", "x", ...), ("UUID", "x", ...),
    ("UUID", "61f0c404-5cb3-11e7-907b-a6006ad3dba0", "61f0c404-5cb3-11e7-907b-a6006ad3dba0"),
    ("IPv4", "1.2.3.4", "1.2.3.4"), ("Date", "2024-01-01", "2024-01-01"), ("Date", "12/31/2024", "2024-12-31"),
    ("Date", "1960-01-01", ...), ("Date32", "1960-01-01", "1960-01-01"), ("Date", "junk", ...),
    ("DateTime", "2024-01-01T02:00:00+02:00", "2024-01-01 00:00:00"), ("DateTime", "1704067200", "2024-01-01 00:00:00"),
    ("DateTime", "2200-01-01", ...), ("DateTime64(3)", "1960-01-01 00:00:00.5", "1960-01-01 00:00:00.500"),
    ("DateTime64(6)", "2024-01-01 00:00:00.123456", "2024-01-01 00:00:00.123456"), ("DateTime64(3)", "", ...),
    ("Time", "12:13:14", "12:13:14"), ("Enum8('a' = 1, 'b' = 2)", "b", "b"), ("Enum8('a' = 1, 'b' = 2)", "2", "b"),
    ("Enum8('a' = 1, 'b' = 2)", "z", ...), ("Array(String)", "['a','b']", ["a", "b"]),
    ("Array(String)", '["a","b"]', ["a", "b"]), ("Array(String)", "", []), ("Array(Int8)", "[1,x]", ...),
    ("Array(Int8)", "[1,300]", ...), ("Array(Nullable(Int8))", "[1,null]", [1, None]), ("Array(Int8)", "5", ...),
    ("Array(Array(Int8))", "[[1],[2,3]]", [[1], [2, 3]]), ("Map(String, Int8)", '{"a":1}', {"a": 1}),
    ("Map(String, Int8)", '{"a":"x"}', ...), ("Tuple(Int8, String)", '[1,"x"]', [1, "x"]),
    ("Tuple(a Int8, b String)", '{"a":1,"b":"x"}', {"a": 1, "b": "x"}), ("Tuple(Int8, String)", "[1]", ...),
    ("JSON", '{"a":1}', {"a": 1}), ("SimpleAggregateFunction(max, Int8)", "5", 5),
]  # fmt: skip


@pytest.mark.parametrize(("type", "text", "stored"), CASTS)
async def test_a_text_is_cast_or_goes_to_quarantine(
    engine: Engine, make_target: MakeTarget, files: Files, tmp_path: Path, type: str, text: str, stored: object
) -> None:
    target = await make_target([Column("id", "UInt8"), Column("v", type)])
    quoted = text.replace('"', '""')
    path = written(tmp_path, f'id,v\n7,"{quoted}"\n'.encode())
    imported = await files.append(target, path, CSV, import_id="i")
    assert imported.errors == []
    if stored is ...:
        assert counts(imported) == (0, 1, 0)
        assert await read(engine, target.quarantine, "id, v, c__error, c__error_column, c__import_id") == [
            ["7", text, [f"value '{text}' on column 'v' is not {type}"], ["v"], "i"]
        ]
    else:
        assert counts(imported) == (1, 0, 0)
        assert await read(engine, target.table) == [[7, stored]]


@pytest.mark.parametrize(
    "content",
    [
        b"id,name,born,score\n1,Ann,1990-02-03,5\n2,Bob,,\n",
        b"1,Ann,1990-02-03,5\n2,Bob,,\n",
        b"score;name;ID;unknown;Born\n5;Ann;1;x;1990-02-03\n;Bob;2;y;\n",
        b"\xef\xbb\xbfid\tname\tborn\tscore\r\n1\tAnn\t1990-02-03\t5\r\n2\tBob\t\t\r\n",
        gzip.compress(b"id|name|born|score\n1|Ann|1990-02-03|5\n\n2|Bob||\n", mtime=0),
    ],
)
async def test_a_csv_file_is_read_whatever_its_dialect(
    engine: Engine, make_target: MakeTarget, files: Files, tmp_path: Path, content: bytes
) -> None:
    target = await make_target(PEOPLE)
    imported = await files.append(target, written(tmp_path, content), CSV, import_id="i")
    assert counts(imported) == (2, 0, 0)
    assert await read(engine, target.table, "id, name, born, score, twice", "id") == [
        [1, "Ann", "1990-02-03", 5, 2],
        [2, "Bob", None, -1, 4],
    ]
    assert await staging_tables(engine) == b""


async def test_rows_of_another_width_are_invalid_lines_and_kept(
    engine: Engine, make_target: MakeTarget, files: Files, tmp_path: Path
) -> None:
    target = await make_target(PEOPLE)
    content = b'id,name,born,score\n1,"a\nb",,1\n2,short\n3,c,,1,long,er\n4,d,,1\n5,e,,x\n'
    imported = await files.append(target, written(tmp_path, content), CSV, import_id="i")
    assert counts(imported) == (2, 1, 2)
    assert imported.errors == ["Row 3 has 2 values instead of 4", "Row 4 has 6 values instead of 4"]
    assert await read(engine, target.quarantine, "c__error[1]", "c__error[1]") == [
        ["Row 3 has 2 values instead of 4: 2,short"],
        ["Row 4 has 6 values instead of 4: 3,c,,1,long,er"],
        ["value 'x' on column 'score' is not Int8"],
    ]


async def test_a_dialect_that_is_given_is_not_guessed(
    engine: Engine, make_target: MakeTarget, files: Files, tmp_path: Path
) -> None:
    target = await make_target([Column("a", "String"), Column("b", "String")])
    dialect = Dialect(delimiter="~", escape="\\")
    await files.append(target, written(tmp_path, b"x~y\\~z\n"), CSV, import_id="i", dialect=dialect)
    assert await read(engine, target.table) == [["x", "y~z"]]


async def test_a_column_that_must_be_there_is_missed_by_name(
    make_target: MakeTarget, files: Files, tmp_path: Path
) -> None:
    target = await make_target(PEOPLE)
    with pytest.raises(InvalidRows, match="no column for 'name'"):
        await files.append(target, written(tmp_path, b"id,born\n1,2020-01-01\n"), CSV, import_id="i")


async def test_parquet_columns_are_matched_by_name_and_cast(
    engine: Engine, make_target: MakeTarget, files: Files, tmp_path: Path
) -> None:
    target = await make_target([
        Column("id", "UInt32"), Column("at", "DateTime64(3)"), Column("tags", "Array(String)"), Column("n", "Int64"),
        Column("extra", "String", None, DefaultKind.DEFAULT, "'none'"), Column("big", "Nullable(UInt64)"),
    ])  # fmt: skip
    moment = datetime(2024, 1, 2, 3, 4, 5, 678000, UTC)
    table = pa.table({
        "n": ["1", "x", "3"], "at": [moment] * 3, "ID": pa.array([1, 2, 3], pa.int64()), "unknown": [1, 2, 3],
        "tags": [["a", 'q"'], [], None], "big": pa.array([2**64 - 1, None, 1], pa.uint64()),
    })  # fmt: skip
    parquet.write_table(table, tmp_path / "file")
    imported = await files.append(target, tmp_path / "file", PARQUET, import_id="i")
    assert counts(imported) == (2, 1, 0)
    stored = "2024-01-02 03:04:05.678"
    assert await read(engine, target.table, "*", "id") == [
        [1, stored, ["a", 'q"'], 1, "none", 2**64 - 1],
        [3, stored, [], 3, "none", 1],
    ]
    assert await read(engine, target.quarantine, "id, n, c__error") == [
        ["2", "x", ["value 'x' on column 'n' is not Int64"]]
    ]


@pytest.mark.parametrize("content", [b"", b"PAR1 nonsense", b"id,name\n1,a\n"])
async def test_a_file_that_is_no_parquet_is_refused(
    make_target: MakeTarget, files: Files, tmp_path: Path, content: bytes
) -> None:
    target = await make_target(PEOPLE)
    with pytest.raises(InvalidRows):
        await files.append(target, written(tmp_path, content), PARQUET, import_id="i")


async def test_ndjson_files_are_read_in_blocks(
    engine: Engine, make_target: MakeTarget, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birdhouse.ingest.files.BLOCK_BYTES", 1000)
    target = await make_target(PEOPLE)
    lines = [b'{"id":%d,"name":"n"}' % number if number % 10 else b'{"id":"bad"}' for number in range(500)]
    imported = await files.append(target, written(tmp_path, b"\n".join(lines)), NDJSON, import_id="i7")
    assert counts(imported) == (450, 50, 0)
    assert imported.blocks > 5
    assert await read(engine, target.table, "count(), uniq(id)") == [[450, 450]]
    assert await read(engine, target.quarantine, "count(), any(c__import_id), any(length(c__error))") == [[50, "i7", 2]]


async def test_many_blocks_of_csv_are_all_counted(
    engine: Engine, make_target: MakeTarget, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birdhouse.ingest.delimited.BLOCK_BYTES", 10_000)
    target = await make_target(PEOPLE)
    lines = [f"{number if number % 7 else 'x'},name {number},,1" for number in range(5000)]
    seen: list[int] = []
    imported = await files.append(
        target, written(tmp_path, "\n".join(lines).encode()), CSV, import_id="i",
        on_block=lambda state: seen.append(state.rows),
    )  # fmt: skip
    bad = len(range(0, 5000, 7))
    assert counts(imported) == (5000 - bad, bad, 0)
    assert len(seen) > 5
    assert await read(engine, target.table, "count(), uniqExact(id)") == [[5000 - bad, 5000 - bad]]
    assert await read(engine, target.quarantine, "count()") == [[bad]]


async def test_an_upload_has_a_largest_size(files: Files) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 100

    async with files.spooled(chunks(), size_bytes_max=1000) as path:
        assert path.stat().st_size == 1000
    assert not path.exists()
    with pytest.raises(TooLarge):
        async with files.spooled(chunks(), size_bytes_max=999):
            pass

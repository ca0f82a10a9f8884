from __future__ import annotations

import json
from io import BytesIO

import pyarrow as pa
import pytest
from pyarrow import parquet

from birdhouse.errors import InvalidRows
from birdhouse.ingest.analyze import analyze, guess_json, guess_text


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 200], "Int16"), ([40_000], "Int32"), ([3_000_000_000], "Int64"), ([2**63], "UInt64"),
        ([1, 2.5], "Float64"),
        ([True], "Bool"), ([True, 1], "String"), (["a"], "String"), (["2024-01-01"], "Date"),
        (["1950-01-01"], "Date32"),
        (["2024-01-01 10:00:00", "2024-01-01T10:00:00Z"], "DateTime"), (["2024-01-01T10:00:00.5Z"], "DateTime64(3)"),
        ([["a"], []], "Array(String)"), ([[1]], "Array(Int16)"), ([], "String"), (["2024-01-01", "x"], "String"),
    ],
)  # fmt: skip
def test_json_values_have_a_narrowest_type(values: list[object], kind: str) -> None:
    assert guess_json(values) == kind


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-5"], "Int16"), (["007"], "String"), (["1.5", "2"], "Float64"), (["true", "False"], "Bool"),
        (["2024-01-01"], "Date"), (["", "-"], "String"), (["1e5"], "Float64"), ([], "String"),
    ],
)  # fmt: skip
def test_texts_have_a_narrowest_type(values: list[str], kind: str) -> None:
    assert guess_text(values) == kind


def test_ndjson_gives_paths_names_and_shares() -> None:
    rows = [
        {"id": 1, "user": {"name": "a", "Age": None}, "tags": ["x"], "items": [{"n": 1}, {"n": 2}], "user_name": "b"},
        {"id": 2, "user": {"name": "c"}, "tags": [], "at": "2024-01-01 10:00:00"},
    ]  # fmt: skip
    body = "\n".join(json.dumps(row) for row in rows).encode()
    analysis = analyze(body, whole=True)
    found = {column.path: (column.name, column.recommended_type, column.present_pct) for column in analysis.columns}
    assert found == {
        "$.id": ("id", "Int16", 1.0),
        "$.user.name": ("user_name", "String", 1.0),
        "$.user.Age": ("user_age", "Nullable(String)", 0.0),
        "$.tags[:]": ("tags", "Array(String)", 1.0),
        "$.items[:].n": ("items_n", "Array(Int16)", 0.5),
        "$.user_name": ("user_name_2", "Nullable(String)", 0.5),
        "$.at": ("at", "Nullable(DateTime)", 0.5),
    }
    assert analysis.schema.startswith("id Int16 `json:$.id`, user_name String `json:$.user.name`")
    document = analysis.document()
    assert document["preview"]["rows"] == 2
    assert set(document["analysis"]["columns"][0]) == {"path", "recommended_type", "present_pct", "name"}


def test_a_sample_that_ends_in_a_row_is_used_up_to_there() -> None:
    assert len(analyze(b'{"a":1}\n{"a":2}\n{"a":"cu').preview) == 2


def test_an_array_of_objects_is_read_like_lines() -> None:
    assert [column.name for column in analyze(b'[{"a":1},{"b":2}]').columns] == ["a", "b"]


def test_csv_tells_its_dialect_and_columns() -> None:
    analysis = analyze(b"Id;Full name;day\n1;Ann;2024-01-01\n2;;2024-01-02\n", whole=True)
    assert analysis.schema == "id Int16, full_name Nullable(String), day Date"
    assert analysis.document()["dialect"] == {
        "delimiter": ";",
        "has_header": True,
        "quotechar": '"',
        "escapechar": None,
    }


def test_csv_without_a_header_gets_names() -> None:
    assert analyze(b"1,a\n2,b\n", whole=True).schema == "column_1 Int16, column_2 String"


def test_parquet_is_analyzed_from_its_values() -> None:
    file = BytesIO()
    parquet.write_table(pa.table({"Id": [1, 2], "name": ["a", None], "tags": [["x"], []]}), file)
    analysis = analyze(file.getvalue(), whole=True)
    assert analysis.schema == "id Int16, name Nullable(String), tags Array(String)"
    assert json.dumps(analysis.document())


@pytest.mark.parametrize("sample", [b"", b"PAR1", b"[1,2]", b"{broken"])
def test_a_sample_without_rows_is_refused(sample: bytes) -> None:
    with pytest.raises(InvalidRows):
        analyze(sample)

"""Where a sink writes to, and the names of its files."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from birdhouse.errors import InvalidInput
from birdhouse.language.datafile.export import (
    ColumnPart,
    Compression,
    Format,
    Location,
    SplitPart,
    Strategy,
    numbered,
    read_export,
    read_location,
    read_template,
)

FILES = {"export_service": "s3", "export_bucket_uri": "file://out"}


@pytest.mark.parametrize(
    ("template", "parts"),
    [
        ("daily", ("daily",)),
        ("{day}", (ColumnPart("day"),)),
        ("a_{ day , '%Y/%m/%d' }.csv", ("a_", ColumnPart("day", "%Y/%m/%d"), ".csv")),
        ('{day,"%Y"}/{8}', (ColumnPart("day", "%Y"), "/", SplitPart(8))),
        ("{`user`}{2}", (ColumnPart("user"), SplitPart(2))),
    ],
)
def test_a_template_is_text_columns_and_a_number(template: str, parts: tuple[object, ...]) -> None:
    assert read_template(template) == parts


@pytest.mark.parametrize(
    ("options", "ending"),
    [
        ({}, ".csv"),
        ({"export_compression": "gz"}, ".csv.gz"),
        ({"export_format": "ndjson", "export_compression": "zstd"}, ".ndjson.zst"),
        ({"export_format": "parquet", "export_compression": "snappy"}, ".parquet"),
        ({"export_file_template": "x.csv", "export_compression": "gz"}, ""),
        ({"export_file_template": "x.JSONL.gz"}, ""),
        ({"export_file_template": "{day}.parquet", "export_format": "parquet"}, ""),
        ({"export_file_template": "v1.2"}, ".csv"),
        ({"export_file_template": "x.csv/part"}, ".csv"),
        ({"export_file_template": "x.csv{2}"}, ".csv"),
    ],
)
def test_the_ending_follows_from_format_and_compression_unless_it_is_written(
    options: dict[str, str], ending: str
) -> None:
    assert read_export({**FILES, **options}, "p").ending == ending


def test_what_is_not_said_has_a_default() -> None:
    export = read_export(FILES, "my_pipe")
    assert (export.template, export.format, export.compression, export.strategy) == (
        ("my_pipe",), Format.CSV, Compression.NONE, Strategy.NEW,
    )  # fmt: skip
    assert export.is_one_file
    both = {**FILES, "export_strategy": "@new", "export_write_strategy": "truncate"}
    assert read_export(both, "p").strategy is Strategy.REPLACE


@pytest.mark.parametrize(
    ("uri", "service", "location"),
    [
        ("file://", "s3", Location("file", "", "")),
        ("file:///a/b/", "s3", Location("file", "", "a/b")),
        ("FILE://a", "gcs_hmac", Location("file", "", "a")),
        ("s3://bucket", "s3", Location("s3", "bucket", "")),
        ("s3://bucket/a/b/", "s3", Location("s3", "bucket", "a/b")),
        ("gs://bucket/a", "gcs_hmac", Location("gs", "bucket", "a")),
    ],
)
def test_a_path_names_a_place(uri: str, service: str, location: Location) -> None:
    assert read_location(uri, service) == location


@pytest.mark.parametrize(
    "uri", ["", "out", "/etc", "s3:/x", "http://host/x", "s3://", "s3:///x", "s3://b?x/y", "file://a/../b", "file://.."]
)
def test_anything_else_is_no_place(uri: str) -> None:
    with pytest.raises(InvalidInput):
        read_location(uri, "s3")


@given(st.text(max_size=60))
@example("../x")
@example("a/./b")
@example("{day, '%Y/..'}")
@example(".unfinished/x")
def test_no_template_leads_out_of_its_folder(text: str) -> None:
    """Whatever is accepted is, with a harmless value for each column, a name below the folder."""
    try:
        parts = read_template(text)
    except InvalidInput:
        return
    name = "".join(part if isinstance(part, str) else "x" for part in parts)
    path = PurePosixPath("/root") / name
    assert path.is_relative_to("/root") and path != PurePosixPath("/root") and ".." not in path.parts
    assert not any(sign in name for sign in "\\\0*?\n")
    assert UNFINISHED not in path.parts


@given(st.from_regex(r"[a-z]{1,5}(/[a-z.]{1,5}[a-z])?(\.csv|\.ndjson\.gz|)", fullmatch=True), st.integers(1, 99))
def test_a_numbered_name_keeps_its_folder_and_its_ending(name: str, number: int) -> None:
    other = numbered(name, number)
    assert other != name and PurePosixPath(other).parent == PurePosixPath(name).parent
    assert f"_{number}" in PurePosixPath(other).name
    for ending in (".csv", ".ndjson.gz"):
        if name.endswith(ending):
            assert other.endswith(f"_{number}{ending}")


UNFINISHED = ".unfinished"

"""Guesses the columns of a file from a sample of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, BinaryIO

import orjson

from birdhouse.errors import InvalidRows
from birdhouse.ingest.delimited import Dialect, detect_dialect, normalized_name, sample_rows

SAMPLE_ROWS_MAX = 1000
COLUMNS_MAX = 500
PREVIEW_ROWS_MAX = 10
DEPTH_MAX = 8

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(?P<fraction>\.\d+)?)?\s*(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_INTEGERS = (("Int16", 15), ("Int32", 31), ("Int64", 63), ("UInt64", 64), ("Int128", 127), ("Int256", 255))


@dataclass(frozen=True, slots=True)
class AnalyzedColumn:
    path: str
    name: str
    recommended_type: str
    present_pct: float
    """The share of rows that have a value, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Analysis:
    columns: tuple[AnalyzedColumn, ...]
    schema: str
    """A column list for a data source, with JSONPaths where the file is NDJSON."""
    preview: tuple[dict[str, Any], ...]
    dialect: Dialect | None = None

    def document(self) -> dict[str, Any]:
        """The answer of `/v0/analyze`."""
        columns = [
            {
                "path": column.path,
                "recommended_type": column.recommended_type,
                "present_pct": column.present_pct,
                "name": column.name,
            }
            for column in self.columns
        ]
        meta = [{"name": column.name, "type": column.recommended_type} for column in self.columns]
        preview = {"meta": meta, "data": list(self.preview), "rows": len(self.preview)}
        answer: dict[str, Any] = {"analysis": {"columns": columns, "schema": self.schema}, "preview": preview}
        if self.dialect is not None:
            answer["dialect"] = {
                "delimiter": self.dialect.delimiter,
                "has_header": self.dialect.has_header,
                "quotechar": self.dialect.quote,
                "escapechar": self.dialect.escape,
            }
        return answer


@dataclass(slots=True)
class _Seen:
    """What a column's values had in common so far."""

    path: str
    values: list[Any] = field(default_factory=list)

    def analyzed(self, name: str, rows: int, guess: Callable[[list[Any]], str]) -> AnalyzedColumn:
        present = [value for value in self.values if value is not None]
        kind = guess(present)
        if len(present) < rows and not kind.startswith("Array"):
            kind = f"Nullable({kind})"
        return AnalyzedColumn(self.path, name, kind, round(len(present) / rows, 4) if rows else 0.0)


def analyze(sample: bytes, *, whole: bool = False) -> Analysis:
    """The format is told from the bytes. A sample that is not the `whole` file may end inside a row."""
    if sample.startswith(b"PAR1"):
        return analyze_parquet(sample)
    if sample.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return analyze_ndjson(sample, whole=whole)
    return analyze_csv(sample, whole=whole)


def analyze_ndjson(sample: bytes, *, whole: bool = False) -> Analysis:
    records = _records(sample, whole)
    if not records:
        raise InvalidRows("The sample has no JSON object.", hint="Send one JSON object per line.")
    seen: dict[str, _Seen] = {}
    for record in records:
        for path, value in _leaves(record, "$", 0):
            if path in seen or len(seen) < COLUMNS_MAX:
                seen.setdefault(path, _Seen(path)).values.append(value)
    return _analysis(seen.values(), records, guess_json, _name_of_path, with_paths=True)


def analyze_csv(sample: bytes, *, whole: bool = False) -> Analysis:
    text = sample.decode("utf-8-sig", "replace")
    if not whole:
        text = text[: text.rfind("\n") + 1] or text
    dialect = detect_dialect(sample)
    rows = sample_rows(text, dialect)
    if not rows:
        raise InvalidRows("The sample has no rows.")
    header = rows.pop(0) if dialect.has_header else [f"column_{number + 1}" for number in range(len(rows[0]))]
    seen = [_Seen(title) for title in header[:COLUMNS_MAX]]
    for row in rows:
        for column, value in zip(seen, row, strict=False):
            column.values.append(value if value != "" else None)
    records = [dict(zip(header, row, strict=False)) for row in rows]
    analysis = _analysis(seen, records, guess_text, lambda title: title, with_paths=False)
    return Analysis(analysis.columns, analysis.schema, analysis.preview, dialect)


def analyze_parquet(content: bytes | BinaryIO) -> Analysis:
    from birdhouse.ingest.parquet import ParquetFile

    file = ParquetFile(BytesIO(content) if isinstance(content, bytes) else content, ())
    records = file.head(SAMPLE_ROWS_MAX)
    seen = []
    for name in file.names[:COLUMNS_MAX]:
        seen.append(_Seen(name, [record.get(name) for record in records]))
    analysis = _analysis(
        seen, records, lambda values: guess_json([_plain(value) for value in values]), str, with_paths=False
    )
    preview = tuple(json.loads(orjson.dumps(row, default=str)) for row in analysis.preview)
    return Analysis(analysis.columns, analysis.schema, preview)


def guess_json(values: Sequence[Any]) -> str:
    """The narrowest type that takes all of these JSON values."""
    if not values:
        return "String"
    if any(isinstance(value, list) for value in values):
        items = [item for value in values if isinstance(value, list) for item in value]
        inner = guess_json([item for item in items if item is not None])
        return f"Array({inner if not inner.startswith('Array') else 'String'})"
    if all(isinstance(value, bool) for value in values):
        return "Bool"
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return _integer(values)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return "Float64"
    return _moment(values) if all(isinstance(value, str) for value in values) else "String"


def guess_text(values: Sequence[str]) -> str:
    """The narrowest type that all of these texts spell. A number with a leading zero is a text."""
    if not values:
        return "String"
    if all(value.lower() in ("true", "false") for value in values):
        return "Bool"
    if all(re.fullmatch(r"-?(0|[1-9]\d{0,76})", value, re.ASCII) for value in values):
        return _integer([int(value) for value in values])
    number = re.compile(r"-?(0|[1-9]\d*)?(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
    if all(number.fullmatch(value) and any(sign.isdigit() for sign in value) for value in values):
        return "Float64"
    return _moment(values)


def _integer(values: Sequence[int]) -> str:
    least, most = min(values), max(values)
    for name, bits in _INTEGERS:
        lowest = 0 if name.startswith("U") else -(2**bits)
        if lowest <= least and most < 2**bits:
            return name
    return "String"


def _moment(values: Sequence[str]) -> str:
    if all(_DATE.fullmatch(value) for value in values):
        return "Date" if all("1970" <= value < "2149" for value in values) else "Date32"
    matches = [_MOMENT.fullmatch(value) for value in values]
    if not all(matches):
        return "String"
    has_fraction = any(match and match["fraction"] for match in matches)
    in_range = all("1970-01-02" < value < "2106" for value in values)
    return "DateTime" if in_range and not has_fraction else "DateTime64(3)"


def _records(sample: bytes, whole: bool) -> list[dict[str, Any]]:
    if sample.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        documents = _loaded(sample)
        return [row for row in documents if isinstance(row, dict)][:SAMPLE_ROWS_MAX] if documents else []
    lines = sample.removeprefix(b"\xef\xbb\xbf").splitlines()
    if not whole and len(lines) > 1 and not sample.endswith(b"\n"):
        lines.pop()
    records = [record for line in lines[:SAMPLE_ROWS_MAX] if isinstance(record := _loaded(line), dict)]
    if not records and isinstance(record := _loaded(sample), dict):
        records.append(record)
    return records


def _loaded(text: bytes) -> Any:
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text: it cannot be answered
    except (ValueError, RecursionError):
        return None
    return value


def _leaves(value: dict[str, Any], path: str, depth: int) -> Iterable[tuple[str, Any]]:
    """Paths and values of a record; an array of objects gives a path for each of their keys."""
    for key, inner in value.items():
        if not re.fullmatch(r"[\w-]+", key):
            continue
        place = f"{path}.{key}"
        if isinstance(inner, dict) and inner and depth < DEPTH_MAX:
            yield from _leaves(inner, place, depth + 1)
        elif isinstance(inner, list):
            yield from _item_leaves(inner, f"{place}[:]")
        else:
            yield place, json.dumps(inner) if isinstance(inner, dict) else inner


def _item_leaves(items: list[Any], path: str) -> Iterable[tuple[str, Any]]:
    objects = [item for item in items if isinstance(item, dict)]
    if not objects:
        yield path, items
        return
    keys = dict.fromkeys(key for item in objects for key in item if re.fullmatch(r"[\w-]+", key))
    for key in keys:
        yield f"{path}.{key}", [item[key] for item in objects if item.get(key) is not None]


def _name_of_path(path: str) -> str:
    return path.removeprefix("$.").replace("[:]", "").replace(".", "_")


def _analysis(
    seen: Iterable[_Seen],
    records: Sequence[dict[str, Any]],
    guess: Callable[[list[Any]], str],
    title: Callable[[str], str],
    *,
    with_paths: bool,
) -> Analysis:
    columns: list[AnalyzedColumn] = []
    names: set[str] = set()
    for column in seen:
        name = _unique(normalized_name(title(column.path)), names)
        columns.append(column.analyzed(name, len(records), guess))
    schema = ", ".join(
        f"{column.name} {column.recommended_type}" + (f" `json:{column.path}`" if with_paths else "")
        for column in columns
    )
    return Analysis(tuple(columns), schema, tuple(records[:PREVIEW_ROWS_MAX]))


def _unique(name: str, taken: set[str]) -> str:
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    taken.add(unique)
    return unique


def _plain(value: Any) -> Any:
    """A value of Python as JSON has it."""
    if isinstance(value, str | bool | int | float | list):
        return value
    return str(value) if value is not None else None

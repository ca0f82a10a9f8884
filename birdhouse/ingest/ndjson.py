"""Fits NDJSON to a schema: rows for the table, rows for the quarantine, and counts that add up to the lines.

The block encoder does nearly everything, and fast. What it is known to do wrongly is done here: it swallows
lines around a broken one, loses a truncated last one, and misreads a few types (see `rowbinary`).
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from chtoolset import query as chtoolset_query

from birdhouse.errors import InvalidInput, InvalidRows
from birdhouse.ingest.jsonpath import MISSING, parse_jsonpath, value_at
from birdhouse.ingest.quarantine import ingested, quarantine_row, reasons
from birdhouse.ingest.rowbinary import Misfit, OutOfBounds, json_text, read_varint, writer
from birdhouse.ingest.stored_type import parts, stored_type
from birdhouse.language.datafile.model import Column
from birdhouse.language.datafile.types import ColumnType, parse_type

ROW_BYTES_MAX = 10_000_000
ERROR_LINE_CHARACTERS_MAX = 10_000
"""How much of a line that is not JSON is kept, in the reason of its quarantine row."""
IDLE_ENCODERS_MAX = 8

_BLANK = b" \t\r\n"
_OPEN, _CLOSE = b"{}"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BROKEN = re.compile(rb"[A-Z_]{5}: |not a valid JSON|Invalid NDJSON|must not be empty")
"""Reasons of the block encoder for broken text: such a row can stand for several lines, or for half a one."""
_END_OF_BROKEN = b"\x01\x01\x01"
"""How a quarantine row ends that names no column."""
_BOOL_BYTES = b"\x00\x01"
MISFITS_SHARE = 8
"""With one misfit in so many lines or more, each line is encoded by itself at once."""

_MAYBE_EARLY = re.compile(rb'"(?:19[0-6]|\\u)')
"""A text that may be a moment before 1970. The engine keeps moments from 1900 on."""
_DATE_TIME64 = re.compile(r"DateTime64(?:\s*\([^()]*\))?|Date32")


@dataclass(frozen=True, slots=True)
class Encoded:
    """Both blocks are RowBinaryWithDefaults."""

    good: bytes = b""
    good_rows: int = 0
    quarantine: bytes = b""
    quarantine_rows: int = 0


@dataclass(frozen=True, slots=True)
class _Field:
    """A column as rows bring it."""

    name: str
    kind: ColumnType
    jsonpath: str
    has_default: bool

    @property
    def schema(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": str(self.kind),
            "jsonpath": self.jsonpath,
            "has_default": self.has_default,
        }

    @property
    def is_exact_only(self) -> bool:
        """Whether the block encoder quarantines or misreads what fits this type or path."""
        kinds = list(parts(self.kind))
        nested = kinds[0].name == "Array" and len(kinds) > 1 and kinds[1].name in ("Array", "Map")
        foreign = any(kind.name in _FOREIGN or _has_odd_keys(kind) for kind in kinds)
        has_bool = len(kinds) > 1 and any(kind.name == "Bool" for kind in kinds)
        return nested or foreign or has_bool or not _is_plain_path(self.jsonpath)

    @property
    def is_guarded(self) -> bool:
        """Whether the block encoder does it right but for rare values, which are looked for."""
        return self.may_be_early or self.is_bool or (self.is_array and _is_writable(self.kind))

    @property
    def may_be_early(self) -> bool:
        """Whether it takes moments before 1970, which the block encoder puts a day late."""
        return any(kind.name in ("DateTime64", "Date32") for kind in parts(self.kind))

    @property
    def is_array(self) -> bool:
        return stored_type(self.kind).name == "Array"

    @property
    def is_bool(self) -> bool:
        """The block encoder writes a number other than 0 and 1 as it is, and then it equals neither true nor false."""
        return stored_type(self.kind).name == "Bool"


def _is_writable(kind: ColumnType) -> bool:
    return not any(part.name in ("JSON", "Object", "Dynamic") for part in parts(kind))


_COMPOSED = frozenset({"Array", "Map", "Tuple"})
_FOREIGN = frozenset({"Enum", "Enum8", "Enum16", "Time", "Time64", "Tuple", "Variant", "BFloat16"})


def _has_odd_keys(kind: ColumnType) -> bool:
    return kind.name == "Map" and stored_type(kind.inner[0]).name not in ("String", "FixedString")


class NdjsonEncoder:
    """Built once per schema; `encode` may be called from several threads.

    `columns` is the order of values in a row: those that may have to be fitted one by one come last.
    """

    def __init__(self, columns: Sequence[Column], *, row_bytes_max: int = ROW_BYTES_MAX) -> None:
        fields = [_field(column) for column in ingested(columns)]
        exact = [field for field in fields if field.is_exact_only]
        guarded = [field for field in fields if field not in exact and field.is_guarded]
        plain = [field for field in fields if field not in exact and field not in guarded]
        self._paths = [parse_jsonpath(field.jsonpath) for field in (*plain, *guarded, *exact)]
        self.columns = tuple(field.name for field in (*plain, *guarded, *exact))
        self._row_bytes_max = row_bytes_max
        self._plain = _BlockEncoder(plain, row_bytes_max)
        self._plain_count = len(plain)
        self._block = None if exact else _Block(plain, guarded, row_bytes_max)
        self._exact = [_ExactColumn(field) for field in (*guarded, *exact)]

    def encode(self, body: bytes) -> Encoded:
        """Every line that is not blank comes out as one row, here or there."""
        body = _normalised(body)
        if not body:
            return Encoded()
        lines = _object_lines(body)
        if lines is not None and (encoded := self._encode_block(body, lines)) is not None:
            return encoded
        out = _Rows()
        objects: list[bytes] = []
        for line in map(bytes.strip, body.split(b"\n")):
            if line[:1] == b"{" and len(line) <= self._row_bytes_max:
                objects.append(line)
            elif line:
                out.add(self._broken(line, self._reason(line)))
        self._bisect(objects, out)
        return out.encoded()

    def _bisect(self, lines: list[bytes], out: _Rows) -> None:
        if len(lines) == 1 or self._block is None:
            for line in lines:
                out.add(self._encode_line(line))
        elif lines:
            body = b"\n".join(lines)
            encoded = self._encode_block(body, len(lines)) if _object_lines(body) == len(lines) else None
            if encoded is not None:
                out.add(encoded)
                return
            middle = len(lines) // 2
            self._bisect(lines[:middle], out)
            self._bisect(lines[middle:], out)

    def _encode_block(self, body: bytes, lines: int) -> Encoded | None:
        """None when the block encoder's answer for these lines cannot be believed.

        What it keeps of a misfit is not all: of an array the first item, and of null the same as of the text "null".
        """
        if self._block is None or (len(body) > self._row_bytes_max and lines == 1):
            return None
        encoded = self._block.trusted(body, lines)
        if encoded is None or (encoded is not _MISREAD and not encoded.quarantine_rows):
            return encoded
        if encoded is not _MISREAD and encoded.quarantine_rows * MISFITS_SHARE < lines:
            return None  # they are found by halves
        out = _Rows()
        for line in body.split(b"\n"):
            out.add(self._encode_exactly(line))
        return out.encoded()

    def _encode_line(self, line: bytes) -> Encoded:
        if self._block is None:
            return self._encode_exactly(line)
        encoded = self._encode_block(line, 1)
        return encoded or self._broken(line, _broken_reason(self._block.encode(line)))

    def _reason(self, line: bytes) -> str:
        if len(line) > self._row_bytes_max:
            return f"The line has {len(line)} bytes, more than the {self._row_bytes_max} a row may have"
        return "The line is not a JSON object"

    def _encode_exactly(self, line: bytes) -> Encoded:
        plain = self._plain.encode(line)
        try:
            document = json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError) as failure:
            return self._broken(line, f"The line is not valid JSON, {failure}")
        if not _is_one_row(plain):
            return self._broken(line, _broken_reason(plain))
        errors: list[str] = []
        error_columns: list[str] = []
        for _, reason in reasons(plain.quarantine, self._plain_count):
            errors += reason.errors
            error_columns += reason.error_columns
        row = [plain.good]
        for column in self._exact:
            try:
                row.append(column.encode(document))
            except Misfit as misfit:
                errors.append(column.reason(document, misfit))
                error_columns.append(column.name)
        if not errors:
            return Encoded(good=b"".join(row), good_rows=1)
        values = [_original(value_at(document, path)) for path in self._paths]
        return Encoded(quarantine=quarantine_row(values, errors, error_columns), quarantine_rows=1)

    def _broken(self, line: bytes, reason: str) -> Encoded:
        text = line[: ERROR_LINE_CHARACTERS_MAX * 4].decode("utf-8", "replace")[:ERROR_LINE_CHARACTERS_MAX]
        row = quarantine_row([None] * len(self.columns), [f"{reason}: {text}"], [])
        return Encoded(quarantine=row, quarantine_rows=1)


class _BlockEncoder:
    """The toolset's encoder for one schema. Each call has one for itself; a warm one is 50 times faster."""

    def __init__(self, fields: Sequence[_Field], row_bytes_max: int) -> None:
        self._schema = json.dumps([field.schema for field in fields])
        self._row_bytes_max = row_bytes_max + 1024
        self._idle: list[Any] = [self._build()]
        self._lock = threading.Lock()

    def encode(self, body: bytes) -> Encoded:
        with self._lock:
            encoder = self._idle.pop() if self._idle else self._build()
        good, quarantine, good_rows, quarantine_rows = encoder.encode_bytes(body)
        with self._lock:
            if len(self._idle) < IDLE_ENCODERS_MAX:
                self._idle.append(encoder)
        return Encoded(good, good_rows, quarantine, quarantine_rows)

    def _build(self) -> Any:
        # Without the legacy mode a missing array is empty and a day number is a day, not a unix time.
        try:
            return chtoolset_query.RowBinaryEncoder(
                self._schema,
                legacy_conversion_mode=False,
                max_json_row_size=self._row_bytes_max,
                binary_json_as_string=False,
            )
        except ValueError as failure:
            raise InvalidInput("Rows cannot be fitted to these columns.", detail=f"({failure})") from failure


_MISREAD = Encoded(quarantine_rows=-1)
"""Stands for rows among which is one that the block encoder gets wrong without a word."""


class _Block:
    """All columns in one pass. Values the block encoder gets wrong in silence are rare and looked for beside it."""

    def __init__(self, plain: list[_Field], guarded: list[_Field], row_bytes_max: int) -> None:
        build = partial(_BlockEncoder, row_bytes_max=row_bytes_max)
        arrays = [field for field in guarded if field.is_array]
        early = [_as_date_time(field) for field in guarded if field.may_be_early]
        bools = [field for field in guarded if field.is_bool]
        self._lenient = build([_as_items(field) for field in (*plain, *guarded)])
        can_be_strict = all(field.jsonpath.find("[:]") in (-1, len(field.jsonpath) - 3) for field in arrays)
        self._strict = build([_as_whole(field) for field in (*plain, *guarded)]) if can_be_strict else None
        self._null_arrays_come = False
        self._array_texts = build([_as_text(field) for field in arrays]) if arrays else None
        self._moments = build(early) if early else None
        self._bools = build(bools) if bools else None
        self._both = build([*early, *bools]) if early and bools else None
        self._both_row_bytes = _fixed_row_bytes([*early, *bools])
        self._bool_count = len(bools)

    def encode(self, body: bytes) -> Encoded:
        return self._lenient.encode(body)

    def trusted(self, body: bytes, lines: int) -> Encoded | None:
        """The rows; _MISREAD; or None when the counts cannot be believed. Each line begins with { and ends with }.

        An array column is read strictly, where null is a misfit, or leniently, where everything but an array is an
        empty array. Strict costs nothing beside; where it finds misfits, lenient is right but for lone items.
        """
        if self._strict is not None and not self._null_arrays_come:
            encoded = _trusted(self._strict, body, lines)
            if encoded is None or self._array_texts is None or not encoded.quarantine_rows:
                return _MISREAD if encoded is not None and self._is_misread(body) else encoded
            misfits = encoded.quarantine_rows
        else:
            misfits = 0
        encoded = _trusted(self._lenient, body, lines)
        if encoded is not None and (self._has_lone_items(body) or self._is_misread(body)):
            return _MISREAD
        if encoded is not None and encoded.quarantine_rows < misfits:
            self._null_arrays_come = True
        return encoded

    def _is_misread(self, body: bytes) -> bool:
        if self._both is not None and self._both_row_bytes:
            found = self._both.encode(body)
            if not found.quarantine_rows and len(found.good) == found.good_rows * self._both_row_bytes:
                return self._has_odd_bytes(found.good)
        return self._has_early_moments(body) or self._has_odd_bools(body)

    def _has_odd_bytes(self, rows: bytes) -> bool:
        """Rows of equal length that end with the booleans."""
        size = self._both_row_bytes
        last = range(size - 2 * self._bool_count + 1, size, 2)
        return any(rows[offset::size].translate(None, _BOOL_BYTES) for offset in last)

    def _has_early_moments(self, body: bytes) -> bool:
        """DateTime takes no moment before 1970, but refuses some later ones too; the text decides."""
        if self._moments is None or not self._moments.encode(body).quarantine_rows:
            return False
        return _MAYBE_EARLY.search(body) is not None

    def _has_odd_bools(self, body: bytes) -> bool:
        return self._bools is not None and bool(self._bools.encode(body).good.translate(None, _BOOL_BYTES))

    def _has_lone_items(self, body: bytes) -> bool:
        """A value that stands where an array should be."""
        if self._array_texts is None:
            return False
        encoded = self._array_texts.encode(body)
        if encoded.quarantine_rows:
            return True
        block, position = encoded.good, 0
        while position < len(block):
            if block[position] or block[position + 1]:
                position += 1 if block[position] else 2
                continue
            length, position = read_varint(block, position + 2)
            if block[position : position + 1] != b"[":
                return True
            position += length
        return False


def _trusted(block: _BlockEncoder, body: bytes, lines: int) -> Encoded | None:
    """The encoded block when its counts can be believed, else None.

    A last line that is cut off vanishes without a trace, and two documents on one line could hide that in the
    sum; so the last line is also asked alone.
    """
    encoded = block.encode(body)
    if lines == 1:
        return encoded if _is_one_row(encoded) else None
    if encoded.good_rows + encoded.quarantine_rows != lines:
        return None
    if encoded.quarantine_rows and _BROKEN.search(encoded.quarantine):
        return None
    last = block.encode(body[body.rindex(b"\n") + 1 :])
    return encoded if _is_one_row(last) else None


def _as_date_time(source: _Field) -> _Field:
    return replace(source, kind=parse_type(_DATE_TIME64.sub("DateTime", str(source.kind))), has_default=True)


def _as_text(source: _Field) -> _Field:
    return replace(source, kind=parse_type("Nullable(String)"), jsonpath=source.jsonpath.split("[:]")[0])


def _as_whole(source: _Field) -> _Field:
    return replace(source, jsonpath=source.jsonpath.removesuffix("[:]")) if source.is_array else source


def _as_items(source: _Field) -> _Field:
    has_items = "[:]" in source.jsonpath or not source.is_array
    return source if has_items else replace(source, jsonpath=f"{source.jsonpath}[:]")


def _fixed_row_bytes(fields: Sequence[_Field]) -> int:
    """The length of a row of moments and booleans in which each has a value; 0 when rows differ."""
    sizes = {"DateTime": 5, "Bool": 2}
    if any(field.kind.nullable or field.kind.name not in sizes for field in fields):
        return 0
    return sum(sizes[field.kind.name] for field in fields)


class _ExactColumn:
    """A column whose values are fitted one by one."""

    def __init__(self, source: _Field) -> None:
        self.name = source.name
        self._source = source
        self._write = writer(source.kind)
        self._path = parse_jsonpath(source.jsonpath)
        kind = stored_type(source.kind)
        self._nullable = kind.nullable or kind.name == "Variant"
        self._null = b"\x00" + self._write(None) if self._nullable else b""
        self._can_be_empty = kind.name in ("Array", "Map")
        self._is_list_of_items = kind.name == "Array" and stored_type(kind.inner[0]).name not in _COMPOSED

    def encode(self, document: Any) -> bytes:
        value = value_at(document, self._path)
        if value is None and self._nullable:
            return self._null
        if value is MISSING or value is None:
            if self._nullable or self._source.has_default or self._can_be_empty:
                return b"\x01"
            raise Misfit()
        if self._is_list_of_items and not isinstance(value, list):
            value = [value]
        return b"\x00" + self._write(value)

    def reason(self, document: Any, misfit: Misfit) -> str:
        value = value_at(document, self._path)
        place = f"column '{self.name}' with jsonpath '{self._source.jsonpath}'"
        if value is MISSING or value is None:
            return f"Null value not allowed on {place}"
        text = json_text(value)
        if isinstance(misfit, OutOfBounds):
            return f"Value {text} out of bounds for type '{self._source.kind}' in {place}"
        return f"Invalid value {text} for type '{self._source.kind}' in {place}"


@dataclass(slots=True)
class _Rows:
    good: list[bytes] = field(default_factory=list)
    good_rows: int = 0
    quarantine: list[bytes] = field(default_factory=list)
    quarantine_rows: int = 0

    def add(self, encoded: Encoded) -> None:
        self.good.append(encoded.good)
        self.good_rows += encoded.good_rows
        self.quarantine.append(encoded.quarantine)
        self.quarantine_rows += encoded.quarantine_rows

    def encoded(self) -> Encoded:
        return Encoded(b"".join(self.good), self.good_rows, b"".join(self.quarantine), self.quarantine_rows)


def json_documents(body: bytes) -> bytes:
    """NDJSON of a body that is a JSON object on any number of lines, or an array of them; values as written."""
    try:
        text = body.decode("utf-8-sig")
        return b"\n".join(part.encode() for part in _document_texts(text))
    except (UnicodeDecodeError, RecursionError) as failure:
        raise InvalidRows("The body is not valid JSON.", detail=f"({failure})") from failure
    except json.JSONDecodeError as failure:
        raise InvalidRows(
            "The body is not valid JSON.",
            detail=f"({failure.msg}, line {failure.lineno}, column {failure.colno})",
            hint="Send one JSON object or an array of objects, or use format=ndjson for one object per line.",
        ) from failure


_SPACE = re.compile(r"[ \t\r\n]*")
_LINE_BREAKS = str.maketrans("\r\n", "  ")


def _document_texts(text: str) -> Iterator[str]:
    decoder = json.JSONDecoder()
    position = _after_space(text, 0)
    while position < len(text):
        _, end = decoder.raw_decode(text, position)
        if text[position] == "[":
            yield from _item_texts(text, position, decoder)
        else:
            yield text[position:end].translate(_LINE_BREAKS)
        position = _after_space(text, end)


def _item_texts(text: str, start: int, decoder: json.JSONDecoder) -> Iterator[str]:
    position = _after_space(text, start + 1)
    while text[position] != "]":
        _, end = decoder.raw_decode(text, position)
        yield text[position:end].translate(_LINE_BREAKS)
        position = _after_space(text, end)
        if text[position] == ",":
            position = _after_space(text, position + 1)


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _field(column: Column) -> _Field:
    return _Field(
        column.name,
        parse_type(column.type),
        column.jsonpath or f"$.{column.name}",
        column.default_kind is not None,
    )


def _is_plain_path(path: str) -> bool:
    """Whether the block encoder reads the path: it takes no positions, no quoted keys, and one `[:]`."""
    steps = parse_jsonpath(path)
    return (
        all(isinstance(step, slice) or (isinstance(step, str) and re.fullmatch(r"[\w-]+", step)) for step in steps)
        and sum(isinstance(step, slice) for step in steps) <= 1
    )


def _normalised(body: bytes) -> bytes:
    body = body.removeprefix(_BYTE_ORDER_MARK).strip(_BLANK)
    return body.replace(b"\r\n", b"\n") if b"\r" in body else body


def _object_lines(body: bytes) -> int | None:
    """The number of lines when each begins with { and ends with }; None for any other text.

    In JSON a line break cannot stand in a text, so no document that parses spans such lines.
    """
    if not (body.startswith(b"{") and body.endswith(b"}")):
        return None
    lines, position = 1, body.find(b"\n")
    # Stepping from break to break is three times as fast as counting the pattern in one call.
    while position > 0:
        if body[position - 1] != _CLOSE or body[position + 1] != _OPEN:
            return None
        lines += 1
        position = body.find(b"\n", position + 1)
    return lines


def _is_one_row(encoded: Encoded) -> bool:
    if encoded.good_rows + encoded.quarantine_rows != 1:
        return False
    return not encoded.quarantine.endswith(_END_OF_BROKEN)


def _broken_reason(encoded: Encoded) -> str:
    if encoded.good_rows > 1:
        return f"The line has {encoded.good_rows} JSON objects instead of one"
    return "The line is not valid JSON"


def _original(value: Any) -> str | None:
    return None if value is MISSING or value is None else json_text(value)


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a JSON value")

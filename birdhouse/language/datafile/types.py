"""Column types as trees: what is Nullable, LowCardinality or inside is visible without reading text again."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace

from birdhouse.errors import DatafileError

TYPE_DEPTH_MAX = 32
TYPE_CHARACTERS_MAX = 100_000

_NUMBERS_WORDS = """
Int8 Int16 Int32 Int64 Int128 Int256 UInt8 UInt16 UInt32 UInt64 UInt128 UInt256 Float32 Float64 BFloat16
"""
NUMBERS = frozenset(_NUMBERS_WORDS.split())
_PLAIN_WORDS = """
String Bool UUID IPv4 IPv6 Date Date32 DateTime DateTime32 DateTime64 Time Time64 FixedString Decimal
Decimal32 Decimal64 Decimal128 Decimal256 Enum Enum8 Enum16 JSON Object Dynamic Nothing Point Ring
Polygon MultiPolygon LineString MultiLineString MultiPoint Geometry QBit IntervalNanosecond
IntervalMicrosecond IntervalMillisecond IntervalSecond IntervalMinute IntervalHour IntervalDay
IntervalWeek IntervalMonth IntervalQuarter IntervalYear
"""
_PLAIN = NUMBERS | frozenset(_PLAIN_WORDS.split())
_TYPES_INSIDE = {"Array": (1, 1), "Map": (2, 2), "Variant": (1, None)}
"""How many types, at least and at most, these hold."""
_NAMED_INSIDE = frozenset({"Tuple", "Nested"})
_AGGREGATES = frozenset({"SimpleAggregateFunction", "AggregateFunction"})
_WRAPPERS = frozenset({"Nullable", "LowCardinality"})
_NEEDS_PARAMETERS_WORDS = """
FixedString DateTime64 Decimal32 Decimal64 Decimal128 Decimal256 Enum Enum8 Enum16
"""
_NEEDS_PARAMETERS = frozenset(_NEEDS_PARAMETERS_WORDS.split())

KNOWN_TYPES = _PLAIN | _TYPES_INSIDE.keys() | _NAMED_INSIDE | _AGGREGATES | _WRAPPERS

_ANY_CASE_WORDS = """
Bool Date Date32 DateTime DateTime32 DateTime64 Decimal Decimal32 Decimal64 Decimal128 Decimal256 Enum
JSON Time Time64
"""
_ANY_CASE = {name.upper(): name for name in _ANY_CASE_WORDS.split()}

_ALIASES_BY_TYPE = {
    "Bool": "BOOLEAN",
    "DateTime": "TIMESTAMP",
    "Decimal": "DEC FIXED NUMERIC",
    "FixedString": "BINARY",
    "Float32": "FLOAT REAL SINGLE",
    "Float64": "DOUBLE DOUBLE_PRECISION",
    "IPv4": "INET4",
    "IPv6": "INET6",
    "Int8": "BYTE INT1 INT1_SIGNED TINYINT TINYINT_SIGNED",
    "Int16": "SMALLINT SMALLINT_SIGNED",
    "Int32": "INT INT_SIGNED INTEGER INTEGER_SIGNED MEDIUMINT MEDIUMINT_SIGNED",
    "Int64": "BIGINT BIGINT_SIGNED SIGNED",
    "UInt8": "INT1_UNSIGNED TINYINT_UNSIGNED",
    "UInt16": "SMALLINT_UNSIGNED YEAR",
    "UInt32": "INT_UNSIGNED INTEGER_UNSIGNED MEDIUMINT_UNSIGNED",
    "UInt64": "BIGINT_UNSIGNED UNSIGNED BIT SET",
    "String": "TEXT TINYTEXT MEDIUMTEXT LONGTEXT BLOB TINYBLOB MEDIUMBLOB LONGBLOB BYTEA CLOB CHAR CHARACTER "
    "NCHAR VARCHAR VARCHAR2 NVARCHAR VARBINARY CHAR_VARYING CHARACTER_VARYING BINARY_VARYING "
    "BINARY_LARGE_OBJECT CHAR_LARGE_OBJECT CHARACTER_LARGE_OBJECT NATIONAL_CHAR NATIONAL_CHARACTER "
    "NATIONAL_CHAR_VARYING NATIONAL_CHARACTER_VARYING NATIONAL_CHARACTER_LARGE_OBJECT NCHAR_VARYING NCHAR_LARGE_OBJECT",
}
_ALIASES = {alias.replace("_", " "): name for name, aliases in _ALIASES_BY_TYPE.items() for alias in aliases.split()}

_NAME = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*(?:\s+[A-Za-z][A-Za-z0-9]*)*)\s*")
_FIELD = re.compile(r"\s*(`[^`]+`|\"[^\"]+\"|[A-Za-z_][\w.]*)\s+(?=\S)")


@dataclass(frozen=True, slots=True)
class ColumnType:
    """`str()` gives the canonical text back, such as `LowCardinality(Nullable(String))`.

    `parameters` are literals as written: `("3", "'UTC'")` of a DateTime64, the function of an aggregate.
    `inner` are types: of an Array, the key and value of a Map, the elements of a Tuple, the arguments of an
    aggregate. `fields` are the names of the elements of a Tuple or Nested, empty when they have none.
    """

    name: str
    parameters: tuple[str, ...] = ()
    inner: tuple[ColumnType, ...] = ()
    fields: tuple[str, ...] = ()
    nullable: bool = False
    low_cardinality: bool = False

    def __str__(self) -> str:
        if self.fields:
            inside = [f"{field} {inner}" for field, inner in zip(self.fields, self.inner, strict=True)]
        else:
            inside = [str(inner) for inner in self.inner]
        arguments = ", ".join((*self.parameters, *inside))
        text = f"{self.name}({arguments})" if arguments else self.name
        text = f"Nullable({text})" if self.nullable else text
        return f"LowCardinality({text})" if self.low_cardinality else text


def parse_type(text: str) -> ColumnType:
    """Aliases of other databases (`VARCHAR(10)`, `INT UNSIGNED`) become the type they stand for.

    Raises DatafileError with the column inside `text`.
    """
    if len(text) > TYPE_CHARACTERS_MAX:
        raise DatafileError(f"A type has at most {TYPE_CHARACTERS_MAX} characters")
    return _parse(text, 0, 0)


def _parse(text: str, start: int, depth: int) -> ColumnType:
    """`text` is one type; `start` is where it stands in what the caller wrote."""
    if depth > TYPE_DEPTH_MAX:
        raise DatafileError(f"Types nest at most {TYPE_DEPTH_MAX} deep", column=start + 1)
    match = _NAME.match(text)
    if match is None:
        raise DatafileError(f"'{text.strip()}' is not a type", column=start + 1, hint="Write one such as String.")
    name, alias = _canonical(match[1], start + match.start(1))
    rest = text[match.end() :].rstrip()
    arguments: list[tuple[str, int]] = []
    if rest:
        if not (rest.startswith("(") and rest.endswith(")")):
            raise DatafileError(
                f"Cannot read '{rest}' after the type {name}",
                column=start + match.end() + 1,
                hint="Is a comma missing between two columns?",
            )
        arguments = split_list(rest[1:-1], start + match.end() + 1)
    if alias and name != "FixedString" and not name.startswith(("Decimal", "DateTime")):
        arguments = []  # VARCHAR(255) and INT(11): the engine ignores the length too
    return _build(name, arguments, start + match.start(1), depth)


def _canonical(written: str, start: int) -> tuple[str, bool]:
    """The name of the type, and whether it was an alias."""
    words = " ".join(written.split())
    if words in KNOWN_TYPES:
        return words, False
    if words.upper() in _ANY_CASE:
        return _ANY_CASE[words.upper()], False
    if words.upper() in _ALIASES:
        return _ALIASES[words.upper()], True
    raise DatafileError(f"Unknown type '{words}'", column=start + 1, hint=_suggestion(words))


def _suggestion(written: str) -> str:
    first, _, rest = written.partition(" ")
    if rest and first in KNOWN_TYPES:
        return f"Is a comma missing after {first}?"
    by_lower = {name.lower(): name for name in KNOWN_TYPES}
    near = difflib.get_close_matches(written.lower(), sorted(by_lower), n=1, cutoff=0.6)
    return f"Did you mean {by_lower[near[0]]}?" if near else "Use a type of ClickHouse, such as String or DateTime."


def _build(name: str, arguments: list[tuple[str, int]], start: int, depth: int) -> ColumnType:
    if name in _WRAPPERS:
        return _wrap(name, arguments, start, depth)
    if name in _TYPES_INSIDE:
        least, most = _TYPES_INSIDE[name]
        _expect_count(name, arguments, least, most, start)
        return ColumnType(name, inner=tuple(_parse(text, at, depth + 1) for text, at in arguments))
    if name in _NAMED_INSIDE:
        return _named(name, arguments, start, depth)
    if name in _AGGREGATES:
        _expect_count(name, arguments, 1, None, start)
        inner = tuple(_parse(text, at, depth + 1) for text, at in arguments[1:])
        return ColumnType(name, (arguments[0][0].strip(),), inner)
    if name in _NEEDS_PARAMETERS:
        _expect_count(name, arguments, 1, None, start)
    return ColumnType(name, tuple(text.strip() for text, _ in arguments))


def _wrap(name: str, arguments: list[tuple[str, int]], start: int, depth: int) -> ColumnType:
    _expect_count(name, arguments, 1, 1, start)
    inner = _parse(*arguments[0], depth + 1)
    if name == "LowCardinality":
        return replace(inner, low_cardinality=True)
    if inner.low_cardinality:
        raise DatafileError(
            f"Nullable cannot hold {inner}",
            column=start + 1,
            hint="Write LowCardinality(Nullable(…)) instead.",
        )
    if inner.name in {"Array", "Map", "Tuple", "Nested", "AggregateFunction", "Variant", "Dynamic"}:
        raise DatafileError(
            f"Nullable cannot hold {inner.name}", column=start + 1, hint="Make what is inside it Nullable."
        )
    return replace(inner, nullable=True)


def _named(name: str, arguments: list[tuple[str, int]], start: int, depth: int) -> ColumnType:
    _expect_count(name, arguments, 1, None, start)
    fields, inner = [], []
    for text, at in arguments:
        match = _FIELD.match(text)
        if match and not _is_type_name(text):
            fields.append(match[1])
            inner.append(_parse(text[match.end() :], at + match.end(), depth + 1))
        else:
            inner.append(_parse(text, at, depth + 1))
    if fields and len(fields) != len(inner):
        raise DatafileError(f"Name all elements of the {name} or none", column=start + 1)
    if name == "Nested" and not fields:
        raise DatafileError("The elements of Nested need names", column=start + 1, hint="Write Nested(a String, …).")
    return ColumnType(name, (), tuple(inner), tuple(fields))


def _is_type_name(text: str) -> bool:
    """`INT UNSIGNED` and `DOUBLE PRECISION` are types, not a field with a type."""
    return " ".join(text.upper().split()) in _ALIASES


def _expect_count(name: str, arguments: list[tuple[str, int]], least: int, most: int | None, start: int) -> None:
    count = len(arguments)
    if count < least or (most is not None and count > most):
        wanted = str(least) if least == most else f"at least {least}"
        raise DatafileError(f"{name} takes {wanted} argument(s), found {count}", column=start + 1)


def split_list(text: str, start: int = 0) -> list[tuple[str, int]]:
    """Splits at the commas outside quotes and brackets; each piece with its offset plus `start`."""
    pieces, begin, depth, quote, position = [], 0, 0, "", 0
    while position < len(text):
        character = text[position]
        if quote:
            if character == "\\" and quote != "`":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "'\"`":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            pieces.append((text[begin:position], start + begin))
            begin = position + 1
        position += 1
    if text.strip():
        pieces.append((text[begin:], start + begin))
    return pieces

"""What a column keeps, seen through the types that only name another one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from birdhouse.errors import InvalidInput
from birdhouse.language.datafile.types import ColumnType, parse_type

_POINT = "Tuple(Float64, Float64)"
_GEOMETRY = {
    "Point": _POINT,
    "MultiPoint": f"Array({_POINT})",
    "Ring": f"Array({_POINT})",
    "LineString": f"Array({_POINT})",
    "Polygon": f"Array(Array({_POINT}))",
    "MultiLineString": f"Array(Array({_POINT}))",
    "MultiPolygon": f"Array(Array(Array({_POINT})))",
}
_ENUM_VALUE = re.compile(r"'((?:[^'\\]|\\.|'')*)'(?:\s*=\s*(-?\d+))?", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)|''", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f"}
_DECIMAL_BITS = ((9, 32), (18, 64), (38, 128), (76, 256))


def stored_type(kind: ColumnType) -> ColumnType:
    """The type of the values: of an aggregate its argument's, of geometry arrays of tuples."""
    if kind.name == "SimpleAggregateFunction":
        return stored_type(kind.inner[-1])
    if kind.name in _GEOMETRY:
        return parse_type(_GEOMETRY[kind.name])
    if kind.name == "Nested":
        return ColumnType("Array", inner=(replace(kind, name="Tuple"),))
    if kind.name == "DateTime32":
        return replace(kind, name="DateTime")
    return kind


def plain_type(kind: ColumnType) -> ColumnType:
    """The type without Nullable and LowCardinality."""
    return replace(kind, nullable=False, low_cardinality=False)


def parts(kind: ColumnType) -> Iterator[ColumnType]:
    """The stored type and all stored types inside it."""
    stored = stored_type(kind)
    yield stored
    for inner in stored.inner:
        yield from parts(inner)


def number_parameter(kind: ColumnType, position: int, otherwise: int) -> int:
    return int(kind.parameters[position]) if len(kind.parameters) > position else otherwise


def decimal_size(kind: ColumnType) -> tuple[int, int, int]:
    """Bits, precision and scale of a Decimal."""
    if kind.name == "Decimal":
        precision = number_parameter(kind, 0, 10)
        bits = next(bits for digits, bits in _DECIMAL_BITS if precision <= digits)
        return bits, precision, number_parameter(kind, 1, 0)
    bits = int(kind.name.removeprefix("Decimal"))
    precision = next(digits for digits, size in _DECIMAL_BITS if size == bits)
    return bits, precision, number_parameter(kind, 0, 0)


def enum_values(kind: ColumnType) -> dict[str, int]:
    """Names to numbers; a name without a number takes the next one, the first one 1."""
    values: dict[str, int] = {}
    number = 0
    for parameter in kind.parameters:
        match = _ENUM_VALUE.fullmatch(parameter)
        if match is None:
            raise InvalidInput("The enum cannot be read.", detail=f"({kind})")
        number = int(match[2]) if match[2] else number + 1
        values[_ESCAPE.sub(_escaped, match[1])] = number
    return values


def enum_bits(kind: ColumnType) -> int:
    if kind.name != "Enum":
        return int(kind.name.removeprefix("Enum"))
    return 8 if all(-128 <= number <= 127 for number in enum_values(kind).values()) else 16


def _escaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[1]) if match[1] is not None else "'"

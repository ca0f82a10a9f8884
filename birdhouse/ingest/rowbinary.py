"""Writes single JSON values as RowBinary, for the types the block encoder cannot do or does wrongly.

A value that does not fit raises Misfit. What fits is as in the block encoder: numbers are not quoted,
times are texts or unix times, booleans also count as whole numbers.
"""

from __future__ import annotations

import json
import re
import struct
import uuid
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal, InvalidOperation
from decimal import localcontext as decimal_context
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from birdhouse.errors import InvalidInput
from birdhouse.ingest.stored_type import (
    decimal_size,
    enum_bits,
    enum_values,
    number_parameter,
    plain_type,
    stored_type,
)
from birdhouse.language.datafile.types import ColumnType

Writer = Callable[[Any], bytes]


class Misfit(ValueError):
    """A value that its type does not take. The text is the reason."""


class OutOfBounds(Misfit):
    """A value of the right kind that is too small or too large."""


EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAY_SECONDS = 86_400
_DECIMAL_PRECISION_MAX = 76
_UNIX_SECONDS_MAX = 10**10
"""A larger whole number is a unix time in milliseconds, as the block encoder reads it."""

_MOMENT = re.compile(
    r"(\d{4})(?:-?(\d\d)(?:-?(\d\d))?)?"
    r"(?:[T ](\d\d):?(\d\d)(?::?(\d\d)(?:\.(\d{1,18}))?)?\s*(Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_CLOCK = re.compile(r"(-?)(\d{1,3}):(\d\d)(?::(\d\d)(?:\.(\d{1,18}))?)?", re.ASCII)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The number, and where it ends."""
    number = shift = 0
    while data[position] > 0x7F:
        number |= (data[position] & 0x7F) << shift
        shift += 7
        position += 1
    return number | data[position] << shift, position + 1


def text_bytes(text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    return varint(len(data)) + data


def flagged_text(value: str | None) -> bytes:
    """A Nullable(String) of RowBinaryWithDefaults."""
    return b"\x00\x01" if value is None else b"\x00\x00" + text_bytes(value)


def flagged_texts(values: Iterable[str]) -> bytes:
    """An Array(String) of RowBinaryWithDefaults."""
    items = [text_bytes(value) for value in values]
    return b"\x00" + varint(len(items)) + b"".join(items)


def writer(kind: ColumnType) -> Writer:
    """A function from a JSON value to RowBinary of this type. Refuses a type that no JSON value fits."""
    stored = stored_type(kind)
    write = _plain_writer(plain_type(stored))
    if not stored.nullable:
        return write
    return lambda value: b"\x01" if value is None else b"\x00" + write(value)


def _plain_writer(kind: ColumnType) -> Writer:
    if kind.name in _COMPOSED:
        return _COMPOSED[kind.name](kind)
    if kind.name in _PLAIN:
        return _PLAIN[kind.name]
    if (integer := re.fullmatch(r"(U?)Int(\d+)", kind.name)) is not None:
        return partial(_integer, int(integer[2]), not integer[1])
    raise InvalidInput(f"Rows cannot be fitted to the type {kind}.")


def json_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _integer(bits: int, signed: bool, value: Any) -> bytes:
    if bits > 64 and isinstance(value, str) and re.fullmatch(r"-?\d{1,80}", value, re.ASCII):
        value = int(value)
    if not isinstance(value, int):
        raise Misfit()
    return _number(bits, signed, int(value))


def _number(bits: int, signed: bool, value: int) -> bytes:
    try:
        return value.to_bytes(bits // 8, "little", signed=signed)
    except OverflowError:
        raise OutOfBounds() from None


def _float(layout: str, value: Any) -> bytes:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Misfit()
    try:
        return struct.pack(layout, value)
    except OverflowError:
        return struct.pack(layout, float("inf") if value > 0 else float("-inf"))


def _half_float(value: Any) -> bytes:
    return _float("<f", value)[2:]


def _bool(value: Any) -> bytes:
    if not isinstance(value, int) or value < 0:
        raise Misfit()
    return b"\x01" if value else b"\x00"


def _text(value: Any) -> bytes:
    if not isinstance(value, str | dict | list):
        raise Misfit()
    return text_bytes(json_text(value))


def _fixed_text(kind: ColumnType) -> Writer:
    size = number_parameter(kind, 0, 1)

    def write(value: Any) -> bytes:
        data = value.encode() if isinstance(value, str) else None
        if data is None:
            raise Misfit()
        if len(data) > size:
            raise OutOfBounds()
        return data.ljust(size, b"\0")

    return write


def _uuid(value: Any) -> bytes:
    try:
        data = uuid.UUID(value).bytes
    except (ValueError, AttributeError, TypeError):
        raise Misfit() from None
    return data[7::-1] + data[:7:-1]


def _ipv4(value: Any) -> bytes:
    try:
        return IPv4Address(str(value)).packed[::-1]
    except ValueError:
        raise Misfit() from None


def _ipv6(value: Any) -> bytes:
    try:
        text = str(value)
        return IPv6Address(text if ":" in text else f"::ffff:{IPv4Address(text)}").packed
    except ValueError:
        raise Misfit() from None


def _decimal(kind: ColumnType) -> Writer:
    bits, precision, scale = decimal_size(kind)

    def write(value: Any) -> bytes:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise Misfit()
        with decimal_context(prec=_DECIMAL_PRECISION_MAX * 3):
            try:
                number = Decimal(str(value)).scaleb(scale)
                ticks = int(number)
            except (InvalidOperation, ValueError, OverflowError):
                raise Misfit() from None
        if abs(ticks) >= 10**precision:
            raise OutOfBounds()
        return _number(bits, True, ticks)

    return write


def _ticks(value: Any, scale: int) -> int:
    """The moment as a whole number of 10^-scale seconds since 1970; further digits are cut."""
    if isinstance(value, bool):
        raise Misfit()
    if isinstance(value, int):
        unit = 0 if abs(value) <= _UNIX_SECONDS_MAX else 3
        return int(value * 10**scale // 10**unit)
    if isinstance(value, float):
        return int(Decimal(repr(value)).scaleb(scale))
    match = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise Misfit()
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        days = date(int(year), int(month or 1), int(day or 1)).toordinal() - EPOCH_DAY
    except ValueError:
        raise Misfit() from None
    seconds = _clock_seconds(int(hour or 0), int(minute or 0), int(second or 0)) - _zone_seconds(zone)
    ticks: int = (days * _DAY_SECONDS + seconds) * 10**scale
    return ticks + int((fraction or "").ljust(scale, "0")[:scale] or 0)


def _clock_seconds(hour: int, minute: int, second: int) -> int:
    if hour > 23 or minute > 59 or second > 59:
        raise Misfit()
    return hour * 3600 + minute * 60 + second


def _zone_seconds(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    seconds = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
    return -seconds if zone[0] == "-" else seconds


_DATE_TIME64_SECONDS = (-2_208_988_800, 10_413_791_999)
"""1900-01-01 to 2299-12-31."""


def _date_time64(kind: ColumnType) -> Writer:
    scale = number_parameter(kind, 0, 3)

    def write(value: Any) -> bytes:
        ticks = _ticks(value, scale)
        if not _DATE_TIME64_SECONDS[0] <= ticks // 10**scale <= _DATE_TIME64_SECONDS[1]:
            raise OutOfBounds()
        return _number(64, True, ticks)

    return write


def _date_time(value: Any) -> bytes:
    if isinstance(value, float):
        raise Misfit()
    return _number(32, False, _ticks(value, 0))


def _date(value: Any) -> bytes:
    return _number(16, False, _day(value, 0xFFFF))


def _date32(value: Any) -> bytes:
    day = _day(value, _DATE_TIME64_SECONDS[1] // _DAY_SECONDS)
    if not _DATE_TIME64_SECONDS[0] <= day * _DAY_SECONDS <= _DATE_TIME64_SECONDS[1]:
        raise OutOfBounds()
    return _number(32, True, day)


def _day(value: Any, day_number_max: int) -> int:
    """A small whole number is a day since 1970, a larger one a unix time, as the engine reads them."""
    if isinstance(value, float):
        raise Misfit()
    if isinstance(value, int) and not isinstance(value, bool) and value <= day_number_max:
        return value
    return _ticks(value, 0) // _DAY_SECONDS


def _clock_ticks(value: Any, scale: int) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(Decimal(repr(value)).scaleb(scale))
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[3]) > 59 or int(match[4] or 0) > 59:
        raise Misfit()
    seconds = int(match[2]) * 3600 + int(match[3]) * 60 + int(match[4] or 0)
    ticks: int = seconds * 10**scale + int((match[5] or "").ljust(scale, "0")[:scale] or 0)
    return -ticks if match[1] else ticks


_CLOCK_SECONDS_MAX = 999 * 3600 + 59 * 60 + 59


def _time(bits: int, scale: int, value: Any) -> bytes:
    ticks = _clock_ticks(value, scale)
    if abs(ticks) > _CLOCK_SECONDS_MAX * 10**scale:
        raise OutOfBounds()
    return _number(bits, True, ticks)


def _enum(kind: ColumnType) -> Writer:
    encode = partial(_number, enum_bits(kind), True)
    of_name = {name: encode(number) for name, number in enum_values(kind).items()}
    of_number = {number: encode(number) for number in enum_values(kind).values()}

    def write(value: Any) -> bytes:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise Misfit()
        data = of_name.get(value) if isinstance(value, str) else of_number.get(value)
        if data is None:
            raise Misfit()
        return data

    return write


def _array(kind: ColumnType) -> Writer:
    write = writer(kind.inner[0])

    def write_array(value: Any) -> bytes:
        if not isinstance(value, list):
            raise Misfit()
        return varint(len(value)) + b"".join(map(write, value))

    return write_array


def _map(kind: ColumnType) -> Writer:
    key_type, value_type = kind.inner
    write_key, write_value = writer(key_type), writer(value_type)
    numeric = re.match(r"U?Int|Bool|Date|Enum", stored_type(key_type).name) is not None

    def key(text: str) -> bytes:
        # Keys of a JSON object are always texts, so a whole number may stand in quotes here.
        return write_key(int(text) if numeric and re.fullmatch(r"-?\d{1,80}", text, re.ASCII) else text)

    def write(value: Any) -> bytes:
        if not isinstance(value, dict):
            raise Misfit()
        return varint(len(value)) + b"".join(key(name) + write_value(item) for name, item in value.items())

    return write


def _tuple(kind: ColumnType) -> Writer:
    """Takes a JSON array by position; a named tuple also takes an object by name."""
    writers = [writer(argument) for argument in kind.inner]
    labels = [label.strip('`"') for label in kind.fields]

    def write(value: Any) -> bytes:
        if isinstance(value, dict) and value.keys() <= set(labels):
            value = [value.get(label) for label in labels]
        if not isinstance(value, list) or len(value) != len(writers):
            raise Misfit()
        return b"".join(write_item(item) for write_item, item in zip(writers, value, strict=True))

    return write


_VARIANT_NULL = b"\xff"


def _variant(kind: ColumnType) -> Writer:
    """The first type that takes the value, in the engine's order, which is by name."""
    members = [writer(argument) for argument in sorted(kind.inner, key=str)]

    def write(value: Any) -> bytes:
        if value is None:
            return _VARIANT_NULL
        for number, write_member in enumerate(members):
            try:
                return bytes([number]) + write_member(value)
            except Misfit:
                continue
        raise Misfit()

    return write


_PLAIN: dict[str, Writer] = {
    "String": _text,
    "Bool": _bool,
    "Float32": partial(_float, "<f"),
    "Float64": partial(_float, "<d"),
    "BFloat16": _half_float,
    "UUID": _uuid,
    "IPv4": _ipv4,
    "IPv6": _ipv6,
    "Date": _date,
    "Date32": _date32,
    "DateTime": _date_time,
    "Time": partial(_time, 32, 0),
}
_COMPOSED: dict[str, Callable[[ColumnType], Writer]] = {
    "FixedString": _fixed_text,
    "DateTime64": _date_time64,
    "Time64": lambda kind: partial(_time, 64, number_parameter(kind, 0, 3)),
    **dict.fromkeys(("Decimal", "Decimal32", "Decimal64", "Decimal128", "Decimal256"), _decimal),
    **dict.fromkeys(("Enum", "Enum8", "Enum16"), _enum),
    "Array": _array,
    "Map": _map,
    "Tuple": _tuple,
    "Variant": _variant,
}

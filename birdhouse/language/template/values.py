"""The functions that give a request's text a type: String, Int32, Date, Array, JSON and their kin."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from birdhouse.language.template.literals import (
    NO_VALUE,
    MissingParameter,
    Placeholder,
    Sql,
    TextArray,
    TypedFloat,
    TypedInteger,
    syntax_error,
    to_sql,
    typed_float,
    typed_integer,
)

NUMBER_LENGTH_MAX = 400
"""Characters of a number's text; no type needs more."""

_SIGNED = re.compile(r"[+-]?[0-9]+")
_UNSIGNED = re.compile(r"[0-9]+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME_YEAR_FIRST = r"[0-9]{4}.[0-9]{2}.[0-9]{2}[T\s][0-9]{2}:[0-9]{2}:[0-9]{2}"
_TIME_YEAR_LAST = r"[0-9]{2}.[0-9]{2}.[0-9]{4}.[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}"
_DATETIME = re.compile(f"{_TIME_YEAR_FIRST}|{_TIME_YEAR_LAST}")
_DATETIME64 = re.compile(f"{_TIME_YEAR_FIRST}.[0-9]{{3}}|{_TIME_YEAR_LAST}.[0-9]{{1,3}}")

Function = TypeVar("Function", bound=Callable[..., Any])


def reported_as(name: str) -> Callable[[Function], Function]:
    """Python's message about wrong arguments names the function; clients know it by this name."""

    def rename(function: Function) -> Function:
        function.__qualname__ = name
        return function

    return rename


@dataclass(frozen=True, slots=True)
class Scalar:
    """One type: the text it takes, what it becomes alone and inside an array, its stand-in in check mode."""

    name: str
    accepts: Callable[[str], bool]
    convert: Callable[[Any], Any]
    element: Callable[[Any], Any]
    stand_in: Any


def _is_integer(text: str, pattern: re.Pattern[str], lowest: int, highest: int) -> bool:
    if len(text) > NUMBER_LENGTH_MAX or pattern.fullmatch(text) is None:
        return False
    return lowest <= int(text) <= highest


def _is_float(text: str) -> bool:
    if "_" in text or len(text) > NUMBER_LENGTH_MAX:
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def _integer(name: str, bits: int, signed: bool) -> Scalar:
    lowest, highest = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    # Only the two widest unsigned types take a leading plus, as the service does.
    pattern = _SIGNED if signed or bits > 64 else _UNSIGNED
    accepts = partial(_is_integer, pattern=pattern, lowest=lowest, highest=highest)
    return Scalar(name, accepts, partial(typed_integer, type=name), int, 0)


def _float(name: str) -> Scalar:
    return Scalar(name, _is_float, partial(typed_float, type=name), float, 0.0)


def _text(name: str, pattern: re.Pattern[str], stand_in: str) -> Scalar:
    return Scalar(name, lambda text: pattern.match(text) is not None, str, str, stand_in)


_WIDTHS = (8, 16, 32, 64, 128, 256)
SCALARS: dict[str, Scalar] = {
    scalar.name: scalar
    for scalar in (
        Scalar("String", lambda text: True, str, str, NO_VALUE),
        Scalar("Date", lambda text: _DATE.fullmatch(text) is not None, str, str, "2019-01-01"),
        _text("DateTime", _DATETIME, "2019-01-01 00:00:00"),
        _text("DateTime64", _DATETIME64, "2019-01-01 00:00:00.000"),
        _float("Float32"),
        _float("Float64"),
        *(_integer(f"Int{bits}", bits, signed=True) for bits in _WIDTHS),
        *(_integer(f"UInt{bits}", bits, signed=False) for bits in _WIDTHS),
    )
}
_INT32 = SCALARS["Int32"]
BARE_INTEGER = Scalar("Int32", _INT32.accepts, int, int, 0)
"""`Int` and `Integer`: checked as Int32, written without a type."""


def _value_function(scalar: Scalar) -> Callable[..., Any]:
    accepts, convert, takes_anything = scalar.accepts, scalar.convert, scalar.name == "String"

    @reported_as("transform_type.<locals>._f")
    def value(
        x: Any,
        default: Any = None,
        defined: Any = True,
        required: Any = None,
        description: Any = None,
        enum: Any = None,
        example: Any = None,
        format: Any = None,
    ) -> Any:
        if type(x) is Placeholder:
            x = default or scalar.stand_in
        elif x is None:
            x = default
            if x is None:
                if defined:
                    raise MissingParameter
                return None
        if takes_anything:
            return convert(x.text if type(x) is TextArray else x)
        if type(x) in (TypedInteger, TypedFloat):
            x = int(x) if type(x) is TypedInteger else float(x)
        if accepts(str(x)):
            return convert(x)
        raise syntax_error(f"Error validating '{x}' to type {scalar.name}")

    return value


@reported_as("boolean")
def boolean(x: Any, default: Any = None) -> int:
    if x is None or isinstance(x, Placeholder):
        x = default
    if isinstance(x, str) and (x == "0" or x.lower() == "false"):
        return 0
    return int(bool(x))


@reported_as("array_type.<locals>._f")
def array(
    x: Any,
    _type: Any = None,
    default: Any = None,
    defined: Any = True,
    required: Any = None,
    description: Any = None,
    enum: Any = None,
    example: Any = None,
    format: Any = None,
) -> Sql | None:
    """An array literal; elements of a type we do not know are written as texts."""
    if isinstance(x, Placeholder):
        x = default or _array_stand_in(_type)
    elif x is None:
        x = default
        if x is None:
            if defined:
                raise MissingParameter
            return None
    elements = array_elements(x, _type)
    return Sql("[" + ",".join([to_sql(element, "") for element in elements]) + "]")


def array_elements(x: Any, element_type: Any) -> list[Any]:
    """The elements of comma-separated text or of a list, checked against the type."""
    if isinstance(x, str):
        parts: Any = x.split(",")
    elif isinstance(x, (list, tuple)):
        parts = x
    else:
        raise syntax_error("transform type function Array is not well defined")
    return [_array_element(part, position, x, element_type) for position, part in enumerate(parts)]


def _array_element(part: Any, position: int, whole: Any, element_type: Any) -> Any:
    if element_type in ("Boolean", "bool"):
        return boolean(part)
    scalar = BARE_INTEGER if element_type in ("Int", "Integer") else SCALARS.get(str(element_type))
    if scalar is None:
        return part
    if scalar.accepts(str(part)):
        return scalar.element(part)
    shown = "empty string" if part == "" else part
    raise syntax_error(f"Error validating [{whole}][{position}] ({shown}) to type {scalar.name}")


def _array_stand_in(element_type: Any) -> str:
    scalar = SCALARS.get(str(element_type))
    if scalar is None or scalar.name == "String":
        return "0,0" if element_type in ("Int", "Integer", "Boolean", "bool") else ""
    return f"{scalar.stand_in},{scalar.stand_in}"


@reported_as("json_type")
def json_value(x: Any, default: Any = None) -> Any:
    """Lists and dicts for loops and lookups, never SQL."""
    if isinstance(x, Placeholder):
        x = default or "{}"
    if x is None:
        x = default if isinstance(default, (str, list, dict)) else "{}"
    if not isinstance(x, str):
        return x
    try:
        return json.loads(x)
    except (ValueError, RecursionError) as error:
        shown = x[:16] + "..." if len(x) > 16 else x
        raise syntax_error(f"Error parsing JSON: '{shown}' - {error}") from error


VALUE_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: _value_function(scalar) for name, scalar in SCALARS.items()},
    "Int": _value_function(BARE_INTEGER),
    "Integer": _value_function(BARE_INTEGER),
    "Boolean": boolean,
    "Array": array,
    "JSON": json_value,
}

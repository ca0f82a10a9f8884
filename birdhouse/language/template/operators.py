"""Python's operators on template values, each refusing results that are too large."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from birdhouse.language.template.limits import INTEGER_BITS_MAX, TemplateLimit, check_length, weigh

_CONTAINERS = (list, tuple, dict, set)
_SEQUENCES = (str, list, tuple)


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, _SEQUENCES) and isinstance(right, _SEQUENCES):
        check_length(len(left) + len(right))
    return _number(left + right)


def _multiply(left: Any, right: Any) -> Any:
    for sequence, times in ((left, right), (right, left)):
        if isinstance(sequence, _SEQUENCES) and isinstance(times, int):
            check_length(len(sequence) * times)
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())
    return left * right


def _power(left: Any, right: Any) -> Any:
    _require_numbers(left, right, "** or pow()")
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() * abs(right))
    result = left**right
    if isinstance(result, complex):
        raise ValueError("a negative number has no such root")
    return result


def _of_numbers(function: Callable[[Any, Any], Any], sign: str) -> Callable[[Any, Any], Any]:
    # On a text, % would be formatting, which can reach into values and make them any length.
    def operate(left: Any, right: Any) -> Any:
        _require_numbers(left, right, sign)
        return function(left, right)

    return operate


def _require_numbers(left: Any, right: Any, sign: str) -> None:
    if not (isinstance(left, (int, float)) and isinstance(right, (int, float))):
        kinds = f"'{type(left).__name__}' and '{type(right).__name__}'"
        raise TypeError(f"unsupported operand type(s) for {sign}: {kinds}")


def _number(result: Any) -> Any:
    if isinstance(result, int):
        _check_bits(result.bit_length())
    return result


def _check_bits(bits: int) -> None:
    if bits > INTEGER_BITS_MAX:
        raise TemplateLimit("computes a number that is too large", f"{INTEGER_BITS_MAX} bits")


def _compared(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def compare(left: Any, right: Any) -> Any:
        if isinstance(left, _CONTAINERS):
            weigh(left)
        if isinstance(right, _CONTAINERS):
            weigh(right)
        return function(left, right)

    return compare


BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: _add,
    ast.Sub: operator.sub,
    ast.Mult: _multiply,
    ast.Div: _of_numbers(operator.truediv, "/"),
    ast.FloorDiv: _of_numbers(operator.floordiv, "//"),
    ast.Mod: _of_numbers(operator.mod, "%"),
    ast.Pow: _power,
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: _compared(operator.eq),
    ast.NotEq: _compared(operator.ne),
    ast.Lt: _compared(operator.lt),
    ast.LtE: _compared(operator.le),
    ast.Gt: _compared(operator.gt),
    ast.GtE: _compared(operator.ge),
    ast.In: _compared(lambda left, right: left in right),
    ast.NotIn: _compared(lambda left, right: left not in right),
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}

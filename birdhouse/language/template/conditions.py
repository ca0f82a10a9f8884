"""The functions for conditions, lists, LIKE patterns and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from birdhouse.errors import CustomTemplateError, TemplateError
from birdhouse.language.template.limits import weigh
from birdhouse.language.template.literals import (
    NO_VALUE,
    Comment,
    Placeholder,
    Sql,
    TextArray,
    escape_text,
    syntax_error,
    to_sql,
)
from birdhouse.language.template.run import Run

_OPERATORS = {"in": "in", "not_in": "not in", "gt": ">", "lt": "<", "gte": ">=", "lte": "<="}
_HARMLESS = ("%", '"', "`")


def defined(x: Any = None) -> bool:
    return x is not None and not isinstance(x, Placeholder)


def sql_and(**conditions: Any) -> Sql:
    """Conditions whose value is null are left out."""
    parts = (_condition(key, value) for key, value in conditions.items() if value is not None)
    return Sql(" and ".join(parts))


def _condition(key: str, value: Any) -> str:
    name, separator, suffix = key.rpartition("__")
    if not separator:
        return f"{key} = {to_sql(value, key)}"
    if suffix not in _OPERATORS:
        raise syntax_error(f"operand {suffix} not supported")
    return f"{name} {_OPERATORS[suffix]} {to_sql(value, key)}"


def split_to_array(x: Any, default: Any = "", separator: Any = ",") -> list[str]:
    if x is None or isinstance(x, Placeholder):
        x = default
    if isinstance(x, TextArray):
        x = x.text
    if not isinstance(x, str):
        raise syntax_error(
            "First argument of split_to_array has to be a value that can be split to a list of elements, "
            "but found a PlaceHolder with no value instead"
        )
    return [part.strip() for part in x.split(separator)]


def enumerate_with_last(arr: Any) -> list[tuple[bool, Any]]:
    items = list(arr)
    return [(position == len(items), item) for position, item in enumerate(items, 1)]


def sql_unescape(x: Any, what: Any = "") -> Sql:
    """A text literal in which `what` keeps its meaning, such as % in LIKE; without it, everything that may.

    Quotes and backslashes stay escaped whatever the template asks for: they would end the literal.
    """
    if x is None:
        raise syntax_error("Missing sql_unescape() value, give the parameter a value or a default")
    text = escape_text(NO_VALUE if isinstance(x, Placeholder) else str(x))
    for kept in [str(what)] if what else _HARMLESS:
        if not kept[0].isalnum() and "'" not in kept and "\\" not in kept:
            text = text.replace("\\" + kept, kept)
    return Sql(f"'{text}'")


def error(run: Run, s: Any, code: Any = 400) -> Comment:
    if run.check:
        return Comment()
    weigh(s)
    raise TemplateError(str(s))


def custom_error(run: Run, s: Any, code: Any = 400) -> Comment:
    if run.check:
        return Comment()
    weigh(s)
    raise CustomTemplateError(s, code if isinstance(code, int) and 100 <= code <= 599 else 400)


CONDITION_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "defined": defined,
    "sql_and": sql_and,
    "split_to_array": split_to_array,
    "enumerate_with_last": enumerate_with_last,
    "sql_unescape": sql_unescape,
}
ERROR_FUNCTIONS: dict[str, Callable[..., Any]] = {"error": error, "custom_error": custom_error}

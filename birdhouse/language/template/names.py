"""The functions that put names of columns and tables into SQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from birdhouse.language.template.literals import Placeholder, Sql, Symbol, escape_name, syntax_error

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\([0-9., ]*\))?")
_QUOTES = ("`", '"', "")


def _in_backticks(name: Any) -> str:
    return "`" + escape_name(str(name)) + "`"


def _path(name: Any) -> str:
    return ".".join(map(_in_backticks, str(name).split(".")))


def column(x: Any, default: Any = None) -> Symbol:
    if x is None or isinstance(x, Placeholder):
        if default is None:
            raise syntax_error("Missing column() default value, use `column(column_name, 'default_column_name')`")
        x = default
    return Symbol(_path(x))


def columns(x: Any, default: Any = None, fn: Any = None) -> Sql:
    """With `fn` every column becomes `fn(column) as column`."""
    if x is None or isinstance(x, Placeholder):
        if default is None:
            raise syntax_error("Missing columns() default value, use `columns(column_names, 'default_column_name')`")
        x = default
    if not isinstance(x, str):
        raise syntax_error("The 'columns' function expects a String not an Array")
    names = [name.strip() for name in x.split(",")]
    if not fn:
        return Sql(",".join(map(_path, names)))
    if _FUNCTION.fullmatch(str(fn)) is None:
        raise syntax_error(f"The 'columns' function cannot apply '{fn}': it is not the name of a function")
    return Sql(",".join(f"{fn}({_path(name)}) as {_alias(name)}" for name in names))


def _alias(name: str) -> str:
    # The alias comes from the request too: what is not plainly a name has to be quoted.
    return name if _PLAIN_NAME.fullmatch(name) else _in_backticks(name)


def symbol(x: Any, quote: Any = "`") -> Symbol:
    if isinstance(x, Placeholder):
        return Symbol("`placeholder`")
    if x is None:
        raise syntax_error("Missing symbol() value, give the parameter a value or a default")
    if quote not in _QUOTES:
        raise syntax_error("Invalid symbol() quote, use a backtick, a double quote or an empty text")
    return Symbol(f"{quote}{escape_name(str(x))}{quote}")


def table(x: Any, quote: Any = "`") -> Symbol:
    """The name goes out without quotes: whoever runs the SQL resolves it to a table the token may read."""
    if isinstance(x, Placeholder):
        return Symbol("placeholder")
    if x is None:
        raise syntax_error("Missing table() name, give the parameter a value or a default")
    return Symbol(escape_name(str(x)))


NAME_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "column": column,
    "columns": columns,
    "symbol": symbol,
    "table": table,
    "TABLE": table,
}

"""How a value is written into SQL, and the kinds of value that only templates have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from birdhouse.errors import TemplateError
from birdhouse.language.template.limits import weigh

SYNTAX_ERROR = "Template Syntax Error: "
NO_VALUE = "__no_value__"

_ESCAPES = {
    "\0": "\\0",
    "\r": "\\r",
    "\n": "\\n",
    "\t": "\\t",
    "\b": "\\b",
    "\x1a": "\\x1a",
    "'": "\\'",
    '"': '\\"',
    "`": "\\`",
    "\\": "\\\\",
    "%": "\\%",
}
_TEXT_ESCAPES = str.maketrans(_ESCAPES)
_NAME_ESCAPES = str.maketrans({**_ESCAPES, '"': ""})


class MissingParameter(TemplateError):
    """Template Syntax Error: Required parameter is not defined"""


def syntax_error(message: str, *, line: int = 0) -> TemplateError:
    return TemplateError(SYNTAX_ERROR + message, detail=f"(line {line})" if line else "")


class Sql(str):
    """Text that is SQL already and is written as it is."""

    __slots__ = ()


class Symbol:
    """A name that is SQL already. Unlike Sql it is no text: it cannot be joined or cut."""

    __slots__ = ("sql",)

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def __str__(self) -> str:
        return self.sql

    __repr__ = __str__


class TypedInteger(int):
    """An integer that is written with its type, `toInt32('5')`; the result of arithmetic on it is bare."""

    type: str

    @property
    def digits(self) -> str:
        return str(int(self))

    def __str__(self) -> str:
        return f"to{self.type}('{self.digits}')"


class TypedFloat(float):
    type: str

    @property
    def digits(self) -> str:
        return str(float(self))

    def __str__(self) -> str:
        return f"to{self.type}('{self.digits}')"


def typed_integer(value: Any, type: str) -> TypedInteger:
    number = TypedInteger(value)
    number.type = type
    return number


def typed_float(value: Any, type: str) -> TypedFloat:
    number = TypedFloat(value)
    number.type = type
    return number


class TextArray(list[Any]):
    """A parameter that is declared as an Array: a list, which remembers the text the request gave."""

    __slots__ = ("text",)
    __hash__ = None

    def __init__(self, items: list[Any], text: str) -> None:
        super().__init__(items)
        self.text = text

    def __eq__(self, other: object) -> bool:
        return self.text == other if isinstance(other, str) else super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def split(self, separator: str | None = None, maxsplit: int = -1) -> list[str]:
        return self.text.split(separator, maxsplit)


class Comment:
    """What error() and custom_error() give in check mode."""

    __slots__ = ()


class Placeholder:
    """Stands for a parameter in check mode. Looping over it gives three of its kind."""

    __slots__ = ("line", "name")

    def __init__(self, name: str = NO_VALUE, line: int = 0) -> None:
        self.name = name
        self.line = line

    def __str__(self) -> str:
        return NO_VALUE

    __repr__ = __str__

    def __getitem__(self, position: Any) -> Placeholder:
        if isinstance(position, int) and position > 2:
            raise IndexError
        return Placeholder(self.name, self.line)

    def __add__(self, other: Any) -> Placeholder:
        return Placeholder(self.name, self.line)

    def split(self, *_: Any, **__: Any) -> list[Placeholder]:
        return [Placeholder(self.name, self.line), Placeholder(self.name, self.line)]

    def startswith(self, *_: Any) -> bool:
        return False


class Builtin:
    """A Python function or type that blocks may name: `isinstance(x, str)`, `map(str, xs)`."""

    __slots__ = ("call", "name", "type")

    def __init__(self, name: str, call: Callable[..., Any], type: type | None = None) -> None:
        self.name = name
        self.call = call
        self.type = type

    def __repr__(self) -> str:
        return self.name


def escape_text(text: str) -> str:
    return text.translate(_TEXT_ESCAPES)


def escape_name(text: str) -> str:
    return text.translate(_NAME_ESCAPES)


def text_literal(text: str) -> str:
    return "'" + text.translate(_TEXT_ESCAPES) + "'"


def to_sql(value: Any, source: str) -> str:
    """`source` is the expression that gave the value; it names the place when the value is null."""
    kind = type(value)
    if kind is str:
        return text_literal(value)
    if kind is Sql:
        return str(value)
    if isinstance(value, (list, tuple, set, dict)):
        weigh(value)
        return _container(value)
    if value is None:
        shown = source[:20] + "..." if len(source) > 20 else source
        raise syntax_error(f'expression "{shown}" evaluated to null')
    if kind is Placeholder:
        return text_literal(NO_VALUE)
    if kind is Comment:
        return "-- error launched \n"
    if isinstance(value, (int, float, Symbol)):
        return str(value)
    raise syntax_error(f'expression "{source[:20]}" is not a value that SQL can hold')


def _container(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_item(key)}: {_item(item)}" for key, item in value.items()) + "}"
    items = ", ".join(map(_item, value))
    if isinstance(value, tuple):
        return f"({items},)" if len(value) == 1 else f"({items})"
    return f"[{items}]"


def _item(value: Any) -> str:
    return "NULL" if value is None else to_sql(value, "")

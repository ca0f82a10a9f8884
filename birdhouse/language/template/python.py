"""The Python functions and methods that templates may call, each bounded. No other is reachable."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from birdhouse.language.template.limits import (
    FORMAT_WIDTH_MAX,
    LOOP_ITERATIONS_MAX,
    TemplateLimit,
    check_length,
    weigh,
)
from birdhouse.language.template.literals import (
    Builtin,
    Placeholder,
    Symbol,
    TextArray,
    syntax_error,
)
from birdhouse.language.template.values import boolean

_PRINTABLE = (str, int, float, list, tuple, dict, set, Symbol, Placeholder)
_KEY_FUNCTIONS = frozenset({"abs", "bool", "float", "int", "len", "max", "min", "str", "sum"})
"""What map, filter, sorted, min and max may apply to every item: functions that give small values."""
_ROUND_DIGITS_MAX = 30


def text_of(value: Any) -> str:
    """`str(value)` for values of templates only."""
    if value is not None and not isinstance(value, _PRINTABLE):
        raise syntax_error("a function is not a text")
    weigh(value)
    return str(value)


def _text(value: Any = "") -> str:
    return text_of(value)


def _list(values: Iterable[Any] = ()) -> list[Any]:
    return list(values)


def _tuple(values: Iterable[Any] = ()) -> tuple[Any, ...]:
    return tuple(values)


def _set(values: Iterable[Any] = ()) -> set[Any]:
    return set(values)


def _dict(pairs: Any = (), **more: Any) -> dict[Any, Any]:
    return dict(pairs, **more)


def _range(*bounds: Any) -> list[int]:
    numbers = range(*bounds)
    if numbers and (abs(numbers[0]) + abs(numbers[-1])) >> 63:
        raise TemplateLimit("counts too far", 2**63)
    if len(numbers) > LOOP_ITERATIONS_MAX:
        raise TemplateLimit("counts too far", LOOP_ITERATIONS_MAX)
    return list(numbers)


def _sum(values: Iterable[Any], start: Any = 0) -> Any:
    numbers = [start, *values]
    if not all(isinstance(number, (int, float)) for number in numbers):
        raise TypeError("sum() takes numbers only")
    return sum(numbers)


def _round(number: Any, digits: Any = None) -> Any:
    if digits is not None and abs(digits) > _ROUND_DIGITS_MAX:
        raise TemplateLimit("rounds to too many digits", _ROUND_DIGITS_MAX)
    return round(number, digits)


def _function(value: Any) -> Callable[..., Any] | None:
    if value is None:
        return None
    if isinstance(value, Builtin) and value.name in _KEY_FUNCTIONS:
        return value.call
    raise TypeError(f"a function to apply has to be one of {', '.join(sorted(_KEY_FUNCTIONS))}")


def _sorted(values: Iterable[Any], *, key: Any = None, reverse: Any = False) -> list[Any]:
    return sorted(values, key=_function(key), reverse=bool(reverse))


def _min(*values: Any, key: Any = None, **default: Any) -> Any:
    return min(*values, key=_function(key), **default)


def _max(*values: Any, key: Any = None, **default: Any) -> Any:
    return max(*values, key=_function(key), **default)


def _map(function: Any, *lists: Any) -> list[Any]:
    return list(map(_function(function) or _text, *lists))


def _filter(function: Any, values: Any) -> list[Any]:
    return list(filter(_function(function), values))


def _isinstance(value: Any, kinds: Any) -> bool:
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    types = [kind.type for kind in wanted if isinstance(kind, Builtin) and kind.type is not None]
    if len(types) != len(wanted):
        raise TypeError("isinstance() takes the types str, int, float, bool, list, dict, tuple and set")
    return isinstance(value, tuple(types))


def _enumerate(values: Any, start: Any = 0) -> list[tuple[int, Any]]:
    return list(enumerate(values, start))


def _zip(*lists: Any) -> list[tuple[Any, ...]]:
    return list(zip(*lists, strict=False))


def _reversed(values: Any) -> list[Any]:
    return list(reversed(values))


BUILTINS: dict[str, Builtin] = {
    builtin.name: builtin
    for builtin in (
        Builtin("str", _text, str),
        Builtin("int", int, int),
        Builtin("float", float, float),
        Builtin("bool", boolean, bool),
        Builtin("list", _list, list),
        Builtin("tuple", _tuple, tuple),
        Builtin("set", _set, set),
        Builtin("dict", _dict, dict),
        Builtin("len", len),
        Builtin("min", _min),
        Builtin("max", _max),
        Builtin("abs", abs),
        Builtin("round", _round),
        Builtin("sum", _sum),
        Builtin("any", any),
        Builtin("all", all),
        Builtin("sorted", _sorted),
        Builtin("reversed", _reversed),
        Builtin("range", _range),
        Builtin("enumerate", _enumerate),
        Builtin("zip", _zip),
        Builtin("map", _map),
        Builtin("filter", _filter),
        Builtin("isinstance", _isinstance),
    )
}
OUTPUT_BUILTINS = frozenset({"len", "list", "min", "max", "int", "float"})
"""The only ones allowed in `{{ }}`."""

SHALLOW = frozenset({"len", "list", "tuple", "enumerate", "zip", "reversed", "isinstance"})
"""Those that look no deeper than the list they are given, so it need not be weighed."""


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    check_length(len(text) + text.count(old) * max(0, len(new) - len(old)))
    return text.replace(old, new, count)


def _join(separator: str, parts: Iterable[Any]) -> str:
    texts = list(parts)
    check_length(len(separator) * len(texts) + sum(len(part) for part in texts if isinstance(part, str)))
    return separator.join(texts)


def _padding(method: Callable[..., str]) -> Callable[..., str]:
    def pad(text: str, width: int, *fill: str) -> str:
        if width > FORMAT_WIDTH_MAX:
            raise TemplateLimit("pads a text too far", FORMAT_WIDTH_MAX)
        return method(text, width, *fill)

    return pad


def _extend(items: list[Any], more: Iterable[Any]) -> None:
    added = list(more)
    check_length(len(items) + len(added))
    items.extend(added)


def _sort(items: list[Any], *, key: Any = None, reverse: Any = False) -> None:
    weigh(items)
    items.sort(key=_function(key), reverse=bool(reverse))


def _weighed(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(items: Any, *arguments: Any) -> Any:
        weigh(items)
        return method(items, *arguments)

    return call


def _listed(method: Callable[..., Iterable[Any]]) -> Callable[..., list[Any]]:
    return lambda mapping: list(method(mapping))


_TEXT_METHODS = (
    "capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha",
    "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "lower",
    "lstrip", "partition", "removeprefix", "removesuffix", "rfind", "rindex", "rpartition",
    "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper"
)  # fmt: skip

METHODS: dict[type, dict[str, Callable[..., Any]]] = {
    str: {
        **{name: getattr(str, name) for name in _TEXT_METHODS},
        **{name: _padding(getattr(str, name)) for name in ("center", "ljust", "rjust", "zfill")},
        "join": _join,
        "replace": _replace,
    },
    list: {
        "append": list.append,
        "clear": list.clear,
        "copy": list.copy,
        "count": _weighed(list.count),
        "extend": _extend,
        "index": _weighed(list.index),
        "insert": list.insert,
        "pop": list.pop,
        "remove": _weighed(list.remove),
        "reverse": list.reverse,
        "sort": _sort,
    },
    TextArray: {"split": TextArray.split},
    tuple: {"count": _weighed(tuple.count), "index": _weighed(tuple.index)},
    dict: {
        "copy": dict.copy,
        "get": dict.get,
        "items": _listed(dict.items),
        "keys": _listed(dict.keys),
        "pop": dict.pop,
        "setdefault": dict.setdefault,
        "update": dict.update,
        "values": _listed(dict.values),
    },
    set: {
        "add": set.add,
        "difference": set.difference,
        "discard": set.discard,
        "intersection": set.intersection,
        "union": set.union,
    },
    Placeholder: {"split": Placeholder.split, "startswith": Placeholder.startswith},
}
METHOD_NAMES = frozenset(name for methods in METHODS.values() for name in methods)
OUTPUT_METHODS = frozenset({"split", "get", "join", "replace"})
"""The only ones allowed in `{{ }}`."""


def call_method(value: Any, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    for kind in type(value).__mro__:
        method = METHODS.get(kind, {}).get(name)
        if method is not None:
            result = method(value, *arguments, **keywords)
            if isinstance(result, (str, list, tuple)):
                check_length(len(result))
            return result
    raise AttributeError(f"'{_kind(value)}' object has no attribute '{name}'")


def _kind(value: Any) -> str:
    return next((kind.__name__ for kind in METHODS if isinstance(value, kind)), type(value).__name__)

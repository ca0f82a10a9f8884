"""Which request parameters and tables a template names, found without rendering it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from birdhouse.language.template.python import BUILTINS
from birdhouse.language.template.tree import For, If, Node, Output, Set, Text, Try, While
from birdhouse.language.template.values import VALUE_FUNCTIONS

FUNCTION_CALL = "function_call"
JOB_TIMESTAMP = "job_timestamp"
_SAFE_INTEGER_MAX = 2**53 - 1
_BARE_INTEGERS = ("Int", "Integer")
_KEYWORDS = ("default", "description", "required", "enum", "example", "format")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One use of a request parameter. `used_in` is `function_call` where nothing says its type.

    `options` are further keywords as written, such as `defined`.
    """

    name: str
    type: str = "String"
    default: Any = None
    description: str | None = None
    required: bool | None = None
    enum: tuple[Any, ...] | None = None
    example: Any = None
    format: str | None = None
    used_in: str | None = None
    typed: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reads:
    """What the expressions of a template read."""

    parameters: tuple[Parameter, ...]
    names: frozenset[str]
    """Every name read, those a `set` or a loop gives included."""
    required: tuple[str, ...]
    """Parameters that have no default anywhere, except names that are a whole expression: those may be null."""


def find_reads(nodes: tuple[Node, ...]) -> Reads:
    found: list[Parameter] = []
    names: set[str] = set()
    declared: list[Parameter] = []
    bound: set[str] = set()
    for item in _in_order(nodes):
        if isinstance(item, _Bound):
            bound.update(_names(item.target))
            continue
        names.update(_names(item))
        uses = _Uses(bound).of(item)
        found.extend(uses)
        if not isinstance(item, ast.Name):
            declared.extend(uses)
    required = dict.fromkeys(_without_default(declared))
    return Reads(tuple(found), frozenset(names), tuple(required))


def merged(parameters: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """One for each name: a typed use wins over a bare one, that over an argument; later uses fill gaps."""
    best: dict[str, Parameter] = {}
    for parameter in parameters:
        known = best.get(parameter.name)
        if known is None or _rank(parameter) > _rank(known):
            best[parameter.name] = parameter
        elif parameter.typed and parameter.type == known.type:
            gaps = {key: getattr(parameter, key) for key in _KEYWORDS if getattr(known, key) is None}
            best[parameter.name] = replace(known, **gaps)
    return tuple(best.values())


def array_types(parameters: Iterable[Parameter]) -> dict[str, str]:
    """The element types of the parameters that are an Array anywhere."""
    return {
        parameter.name: parameter.type[len("Array(") : -1]
        for parameter in parameters
        if parameter.type.startswith("Array(")
    }


def _without_default(parameters: list[Parameter]) -> Iterator[str]:
    with_default = {parameter.name for parameter in parameters if parameter.default is not None}
    for parameter in parameters:
        if parameter.used_in is None and parameter.name not in with_default | {JOB_TIMESTAMP}:
            yield parameter.name


def find_tables(nodes: tuple[Node, ...]) -> set[str]:
    """Names in `table('x')`, in every branch; those built from parameters are not known before rendering."""
    calls = (
        node
        for item in _in_order(nodes)
        if not isinstance(item, _Bound)
        for node in ast.walk(item)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("table", "TABLE")
    )
    names = (_text(call.args[0]) for call in calls if call.args)
    return {name for name in names if name is not None}


@dataclass(frozen=True, slots=True)
class _Bound:
    target: ast.expr


def _in_order(nodes: tuple[Node, ...]) -> Iterator[ast.expr | _Bound]:
    """Expressions in the order they are first evaluated, with the names that are bound in between."""
    for node in nodes:
        match node:
            case Text():
                pass
            case Output():
                yield node.expression
            case If():
                for branch in node.branches:
                    if branch.condition is not None:
                        yield branch.condition
                    yield from _in_order(branch.body)
            case For():
                yield node.iterable
                yield _Bound(node.target)
                yield from _in_order(node.body + node.otherwise)
            case While():
                yield node.condition
                yield from _in_order(node.body + node.otherwise)
            case Set():
                yield node.value
                yield from map(_Bound, node.targets)
            case Try():
                yield from _in_order(node.body)
                if node.name:
                    yield _Bound(ast.Name(node.name, ast.Store()))
                yield from _in_order((node.handler or ()) + node.otherwise + node.final)


def _names(node: ast.AST) -> set[str]:
    return {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}


def _rank(parameter: Parameter) -> int:
    return 2 if parameter.typed else 1 if parameter.used_in is None else 0


class _Uses:
    """The parameters of one expression: each name once, by its best use."""

    def __init__(self, bound: set[str]) -> None:
        self.bound = bound

    def of(self, expression: ast.expr) -> tuple[Parameter, ...]:
        inner = {
            name for node in ast.walk(expression) if isinstance(node, ast.comprehension) for name in _names(node.target)
        }
        uses = self._walk(expression, in_call=False)
        return merged(use for use in uses if use.name not in self.bound and use.name not in inner)

    def _walk(self, node: ast.AST, *, in_call: bool) -> Iterator[Parameter]:
        if isinstance(node, ast.Name):
            if node.id not in BUILTINS:
                yield Parameter(node.id, used_in=FUNCTION_CALL if in_call else None)
            return
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            for child in ast.iter_child_nodes(node):
                yield from self._walk(child, in_call=False)
            return
        arguments = list(node.args)
        if node.func.id in VALUE_FUNCTIONS and arguments and isinstance(arguments[0], ast.Name):
            yield _typed(node, arguments.pop(0))
        for argument in arguments:
            yield from self._walk(argument, in_call=True)
        for keyword in node.keywords:
            yield from self._walk(keyword.value, in_call=False)


def _typed(call: ast.Call, name: ast.expr) -> Parameter:
    function = call.func.id if isinstance(call.func, ast.Name) else ""
    type_name = "Int32" if function in _BARE_INTEGERS else function
    default_position = 1
    if function == "Array":
        default_position = 2
        element = _text(call.args[1]) if len(call.args) > 1 else "String"
        type_name = f"Array({element})"
    keywords = {keyword.arg: _literal(keyword.value) for keyword in call.keywords if keyword.arg}
    if "default" not in keywords and len(call.args) > default_position:
        keywords["default"] = _literal(call.args[default_position])
    known = {key: keywords.pop(key) for key in _KEYWORDS if key in keywords}
    known["default"] = _json_safe(known.get("default"))
    if isinstance(known.get("enum"), list):
        known["enum"] = tuple(known["enum"])
    return Parameter(name.id if isinstance(name, ast.Name) else "", type_name, typed=True, options=keywords, **known)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return None


def _json_safe(value: Any) -> Any:
    """Integers that JavaScript would round are given as text."""
    if isinstance(value, int) and not isinstance(value, bool) and value > _SAFE_INTEGER_MAX:
        return str(value)
    return value


def _text(node: ast.expr) -> str | None:
    """A literal text, also one put together with +."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return None if left is None or right is None else left + right
    return None

"""Turns an allowed expression into one closure over the Run, so that rendering never looks at syntax."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any, cast

from birdhouse.language.template.allowlist import format_spec
from birdhouse.language.template.failures import WRONG_CALL
from birdhouse.language.template.functions import PURE_FUNCTIONS, RUN_FUNCTIONS
from birdhouse.language.template.limits import check_length, weigh
from birdhouse.language.template.literals import Placeholder, syntax_error
from birdhouse.language.template.operators import BINARY, COMPARE, UNARY
from birdhouse.language.template.python import BUILTINS, SHALLOW, call_method, text_of
from birdhouse.language.template.run import Run

Evaluate = Callable[[Run], Any]
Bind = Callable[[Run, Any], None]

_CONTAINERS = (list, tuple, dict, set)


def compile_output(expression: ast.expr, line: int) -> Evaluate:
    return _Compiler(line, in_block=False).compile(expression)


def compile_block(expression: ast.expr, line: int) -> Evaluate:
    return _Compiler(line, in_block=True).compile(expression)


def compile_target(target: ast.expr, line: int) -> Bind:
    return _Compiler(line, in_block=True).target(target)


def turns(values: Any, run: Run) -> Iterator[Any]:
    """Iterates with every turn charged to the rendering."""
    for value in values:
        run.turn()
        yield value


class _Compiler:
    def __init__(self, line: int, *, in_block: bool) -> None:
        self.line = line
        self.in_block = in_block

    def compile(self, node: ast.expr) -> Evaluate:
        method = getattr(self, "_" + type(node).__name__.lower())
        return cast(Evaluate, method(node))

    def _all(self, nodes: list[ast.expr]) -> list[Evaluate]:
        return [self.compile(node) for node in nodes]

    def _constant(self, node: ast.Constant) -> Evaluate:
        value = node.value
        return lambda run: value

    def _name(self, node: ast.Name) -> Evaluate:
        name, line = node.id, self.line
        builtin = BUILTINS.get(name) if self.in_block else None

        def load(run: Run) -> Any:
            names = run.names
            if name in names:
                return names[name]
            return run.missing(name, line) if builtin is None else builtin

        return load

    def _tuple(self, node: ast.Tuple) -> Evaluate:
        items = self._all(node.elts)
        return lambda run: tuple([item(run) for item in items])

    def _list(self, node: ast.List) -> Evaluate:
        items = self._all(node.elts)
        return lambda run: [item(run) for item in items]

    def _set(self, node: ast.Set) -> Evaluate:
        items = self._all(node.elts)
        return lambda run: {item(run) for item in items}

    def _dict(self, node: ast.Dict) -> Evaluate:
        keys, values = self._all([key for key in node.keys if key is not None]), self._all(node.values)
        return lambda run: {key(run): value(run) for key, value in zip(keys, values, strict=True)}

    def _binop(self, node: ast.BinOp) -> Evaluate:
        left, right, operate = self.compile(node.left), self.compile(node.right), BINARY[type(node.op)]
        return lambda run: run.built(operate(left(run), right(run)))

    def _unaryop(self, node: ast.UnaryOp) -> Evaluate:
        operand, operate = self.compile(node.operand), UNARY[type(node.op)]
        return lambda run: operate(operand(run))

    def _boolop(self, node: ast.BoolOp) -> Evaluate:
        first, *rest = self._all(node.values)
        stops_at = isinstance(node.op, ast.Or)

        def decide(run: Run) -> Any:
            value = first(run)
            for following in rest:
                if bool(value) is stops_at:
                    return value
                value = following(run)
            return value

        return decide

    def _compare(self, node: ast.Compare) -> Evaluate:
        first = self.compile(node.left)
        steps = [(COMPARE[type(op)], self.compile(right)) for op, right in zip(node.ops, node.comparators, strict=True)]
        if len(steps) == 1:
            compare, second = steps[0]
            return lambda run: compare(first(run), second(run))

        def chain(run: Run) -> Any:
            left = first(run)
            result: Any = True
            for operate, following in steps:
                right = following(run)
                result = operate(left, right)
                if not result:
                    return result
                left = right
            return result

        return chain

    def _ifexp(self, node: ast.IfExp) -> Evaluate:
        test, body, otherwise = self.compile(node.test), self.compile(node.body), self.compile(node.orelse)
        return lambda run: body(run) if test(run) else otherwise(run)

    def _subscript(self, node: ast.Subscript) -> Evaluate:
        value, key, sliced = self.compile(node.value), self._key(node.slice), isinstance(node.slice, ast.Slice)
        if sliced:
            return lambda run: run.built(value(run)[key(run)])
        return lambda run: value(run)[key(run)]

    def _key(self, node: ast.expr) -> Evaluate:
        if not isinstance(node, ast.Slice):
            return self.compile(node)
        none = ast.Constant(None)
        lower, upper, step = self._all([node.lower or none, node.upper or none, node.step or none])
        return lambda run: slice(lower(run), upper(run), step(run))

    def _joinedstr(self, node: ast.JoinedStr) -> Evaluate:
        parts = self._all(node.values)

        def join(run: Run) -> str:
            text = "".join([part(run) for part in parts])
            check_length(len(text))
            run.built(text)
            return text

        return join

    def _formattedvalue(self, node: ast.FormattedValue) -> Evaluate:
        value, spec, quoted = self.compile(node.value), format_spec(node) or "", node.conversion in (97, 114)

        def write(run: Run) -> str:
            result = value(run)
            if spec and isinstance(result, (int, float)) and not quoted:
                return format(result, spec)
            text = text_of(result)
            return format(repr(text) if quoted and isinstance(result, str) else text, spec)

        return write

    def _call(self, node: ast.Call) -> Evaluate:
        function, line = node.func, self.line
        # Keyword values follow the rules of blocks everywhere, as in the allow-list.
        block = _Compiler(line, in_block=True)
        keywords = [(keyword.arg or "", block.compile(keyword.value)) for keyword in node.keywords]
        arguments = self._all(node.args)
        if isinstance(function, ast.Attribute):
            return self._method(function, arguments, keywords)
        if not isinstance(function, ast.Name):
            return _always_fails(WRONG_CALL)
        name = function.id
        if name in PURE_FUNCTIONS:
            return _pure_call(PURE_FUNCTIONS[name], arguments, keywords)
        if name in RUN_FUNCTIONS:
            return _run_call(RUN_FUNCTIONS[name], arguments, keywords)
        if name in BUILTINS:
            return _pure_call(BUILTINS[name].call, arguments, keywords, shallow=name in SHALLOW)
        return _unknown_call(name, line)

    def _method(
        self, function: ast.Attribute, arguments: list[Evaluate], keywords: list[tuple[str, Evaluate]]
    ) -> Evaluate:
        value, name = self.compile(function.value), function.attr

        def call(run: Run) -> Any:
            target, given = value(run), _arguments(arguments, run)
            return run.built(call_method(target, name, given, {key: item(run) for key, item in keywords}))

        return call

    def _listcomp(self, node: ast.ListComp) -> Evaluate:
        return self._comprehension(node.elt, node.generators, list)

    def _generatorexp(self, node: ast.GeneratorExp) -> Evaluate:
        return self._comprehension(node.elt, node.generators, list)

    def _setcomp(self, node: ast.SetComp) -> Evaluate:
        return self._comprehension(node.elt, node.generators, set)

    def _dictcomp(self, node: ast.DictComp) -> Evaluate:
        pair = ast.Tuple([node.key, node.value], ast.Load())
        return self._comprehension(pair, node.generators, dict)

    def _comprehension(
        self, element: ast.expr, generators: list[ast.comprehension], gather: Callable[[list[Any]], Any]
    ) -> Evaluate:
        compiled = self.compile(element)
        loops = [(self.target(loop.target), self.compile(loop.iter), self._all(loop.ifs)) for loop in generators]

        def collect(run: Run, depth: int, found: list[Any]) -> None:
            if depth == len(loops):
                found.append(compiled(run))
                return
            bind, values, conditions = loops[depth]
            for value in turns(values(run), run):
                bind(run, value)
                if all(condition(run) for condition in conditions):
                    collect(run, depth + 1, found)

        def comprehend(run: Run) -> Any:
            found: list[Any] = []
            # The names of a comprehension are its own, and gone after it.
            outside = run.names
            run.names = dict(outside)
            try:
                collect(run, 0, found)
            finally:
                run.names = outside
            return run.built(gather(found))

        return comprehend

    def target(self, node: ast.expr) -> Bind:
        if isinstance(node, (ast.Tuple, ast.List)):
            return _unpack([self.target(part) for part in node.elts])
        if isinstance(node, ast.Subscript):
            value, key = self.compile(node.value), self._key(node.slice)

            def put(run: Run, item: Any) -> None:
                container = value(run)
                if not isinstance(container, (list, dict)):
                    raise TypeError(f"'{type(container).__name__}' object does not support item assignment")
                container[key(run)] = item

            return put
        name = cast(ast.Name, node).id

        def bind(run: Run, value: Any) -> None:
            run.names[name] = value

        return bind


def _unpack(targets: list[Bind]) -> Bind:
    def bind(run: Run, value: Any) -> None:
        values = [value] * len(targets) if isinstance(value, Placeholder) else list(value)
        if len(values) != len(targets):
            raise ValueError(f"expected {len(targets)} values to unpack, got {len(values)}")
        for target, item in zip(targets, values, strict=True):
            target(run, item)

    return bind


def _arguments(arguments: list[Evaluate], run: Run) -> list[Any]:
    values = [argument(run) for argument in arguments]
    for value in values:
        if isinstance(value, _CONTAINERS):
            weigh(value)
    return values


def _pure_call(
    function: Callable[..., Any],
    arguments: list[Evaluate],
    keywords: list[tuple[str, Evaluate]],
    *,
    shallow: bool = False,
) -> Evaluate:
    if shallow and not keywords:
        return lambda run: run.built(function(*[argument(run) for argument in arguments]))
    if not keywords:
        return lambda run: run.built(function(*_arguments(arguments, run)))
    return lambda run: run.built(function(*_arguments(arguments, run), **{key: value(run) for key, value in keywords}))


def _run_call(
    function: Callable[..., Any], arguments: list[Evaluate], keywords: list[tuple[str, Evaluate]]
) -> Evaluate:
    return lambda run: function(run, *_arguments(arguments, run), **{key: value(run) for key, value in keywords})


def _unknown_call(name: str, line: int) -> Evaluate:
    def fail(run: Run) -> Any:
        raise syntax_error(f"'{name}' is not a valid function, line {line}" if run.check else WRONG_CALL)

    return fail


def _always_fails(message: str) -> Evaluate:
    def fail(run: Run) -> Any:
        raise syntax_error(message)

    return fail

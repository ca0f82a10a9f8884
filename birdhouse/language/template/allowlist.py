"""Which Python a template may contain. What passes here is all that `expressions` knows how to run."""

from __future__ import annotations

import ast
import builtins
import re
import sys

from birdhouse.errors import TemplateError
from birdhouse.language.template.functions import FUNCTION_NAMES
from birdhouse.language.template.limits import EXPRESSION_DEPTH_MAX, TemplateLimit
from birdhouse.language.template.literals import syntax_error
from birdhouse.language.template.python import BUILTINS, METHOD_NAMES, OUTPUT_BUILTINS, OUTPUT_METHODS

FORBIDDEN_NAMES = ("q", "format")
_FORMAT_SPEC = re.compile(r"[<>^]?0?[0-9]{0,2}(\.[0-9]{1,2})?[dfsx%]?")
_OUTPUT_FUNCTIONS = FUNCTION_NAMES | OUTPUT_BUILTINS

_OPERATORS = (ast.Add, ast.Sub, ast.Mult)
_BLOCK_OPERATORS = (*_OPERATORS, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
_CONSTANTS = (int, float, str, type(None))
_LITERALS = (ast.Tuple, ast.List, ast.Set)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def check_output(expression: ast.expr, line: int) -> None:
    """The rules of `{{ }}`."""
    _Check(line, in_block=False).expression(expression, 0)


def check_block(expression: ast.expr, line: int) -> None:
    """The rules of block headers and `{% set %}`."""
    _Check(line, in_block=True).expression(expression, 0)


def check_target(target: ast.expr, line: int) -> None:
    """What a value may be bound to: names, tuples of them, an item of a list or dict."""
    if isinstance(target, ast.Attribute):
        raise syntax_error(f"Invalid attribute: {target.attr}", line=line)
    if isinstance(target, (ast.Tuple, ast.List)):
        for part in target.elts:
            check_target(part, line)
    elif isinstance(target, (ast.Name, ast.Subscript)):
        check_block(target, line)
    else:
        raise _Check(line, in_block=True).refuse("expression type", target)


def _dumped(node: ast.AST) -> str:
    """The node as the official messages show it: with empty lists, which newer versions of Python leave out."""
    options = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    return ast.dump(node, **options)


class _Check:
    def __init__(self, line: int, *, in_block: bool) -> None:
        self.line = line
        self.in_block = in_block

    def refuse(self, what: str, node: ast.AST) -> TemplateError:
        return syntax_error(f"Invalid {what}: {_dumped(node)}", line=self.line)

    def expression(self, node: ast.expr, depth: int) -> None:
        if depth > EXPRESSION_DEPTH_MAX:
            raise TemplateLimit("has an expression that is nested too deeply", EXPRESSION_DEPTH_MAX)
        if isinstance(node, ast.Name):
            self._name(node)
        elif isinstance(node, ast.Constant):
            if not isinstance(node.value, _CONSTANTS):
                raise self.refuse("Constant", node)
        elif isinstance(node, ast.Call):
            self._call(node, depth)
        elif isinstance(node, ast.Subscript):
            self._subscript(node, depth)
        elif isinstance(node, ast.FormattedValue):
            self._formatted(node, depth)
        elif isinstance(node, ast.Dict):
            if None in node.keys:
                raise self.refuse("expression type", node)
            self._children(node, depth)
        elif self._is_allowed(node):
            self._children(node, depth)
        elif isinstance(node, ast.Attribute) and self.in_block:
            raise syntax_error(f"Invalid attribute: {node.attr}", line=self.line)
        else:
            raise self.refuse("expression type", node)

    def _is_allowed(self, node: ast.expr) -> bool:
        if isinstance(node, ast.BinOp):
            if not isinstance(node.op, _BLOCK_OPERATORS if self.in_block else _OPERATORS):
                raise self.refuse("BinOp", node.op)
            return True
        if isinstance(node, ast.UnaryOp):
            if not isinstance(node.op, (ast.USub, ast.Not)) and not (self.in_block and type(node.op) is ast.UAdd):
                raise self.refuse("UnaryOp", node.op)
            return True
        if isinstance(node, (*_LITERALS, ast.JoinedStr, ast.IfExp)):
            return True
        return self.in_block and isinstance(node, (ast.Compare, ast.BoolOp, *_COMPREHENSIONS))

    def _children(self, node: ast.AST, depth: int) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.expression(child, depth + 1)
            elif isinstance(child, ast.comprehension):
                if child.is_async:
                    raise self.refuse("expression type", node)
                check_target(child.target, self.line)
                self._children(child, depth + 1)

    def _name(self, node: ast.Name) -> None:
        if node.id in FORBIDDEN_NAMES:
            raise TemplateError(f'"{node.id}" can not be used as a variable name, line {self.line}')
        if _is_dunder(node.id):
            raise syntax_error(f"Invalid name: {node.id}", line=self.line)

    def _call(self, node: ast.Call, depth: int) -> None:
        function = node.func
        if isinstance(function, ast.Name):
            self._function(function.id)
        elif isinstance(function, ast.Attribute):
            self._method(function.attr)
            self.expression(function.value, depth + 1)
        elif isinstance(function, ast.Call):
            self.expression(function, depth + 1)
        else:
            raise self.refuse("function", node)
        for argument in node.args:
            self.expression(argument, depth + 1)
        # Keyword values follow the rules of blocks everywhere: the service leaves them unchecked.
        for keyword in node.keywords:
            if keyword.arg is None or _is_dunder(keyword.arg):
                raise self.refuse("expression type", node)
            _Check(self.line, in_block=True).expression(keyword.value, depth + 1)

    def _function(self, name: str) -> None:
        if self.in_block:
            # A name that is nobody's function fails only when the call is reached, as on the service.
            known = name in FUNCTION_NAMES or name in BUILTINS
            allowed = known or not (hasattr(builtins, name) or name.startswith("_"))
        else:
            allowed = name in _OUTPUT_FUNCTIONS
        if not allowed:
            raise syntax_error(f"Invalid function name: {name}", line=self.line)

    def _method(self, name: str) -> None:
        if self.in_block and (name.startswith("_") or name in ("format", "format_map")):
            raise syntax_error(f"Invalid attribute: {name}", line=self.line)
        if name not in (METHOD_NAMES if self.in_block else OUTPUT_METHODS):
            raise syntax_error(f"Invalid method name: {name}", line=self.line)

    def _subscript(self, node: ast.Subscript, depth: int) -> None:
        self.expression(node.value, depth + 1)
        index = node.slice
        if isinstance(index, ast.Slice):
            for bound in (index.lower, index.upper, index.step):
                if bound is not None:
                    self.expression(bound, depth + 1)
        elif self.in_block or isinstance(index, (ast.Constant, ast.Subscript)):
            self.expression(index, depth + 1)
        else:
            raise self.refuse("Slice expression", index)

    def _formatted(self, node: ast.FormattedValue, depth: int) -> None:
        self.expression(node.value, depth + 1)
        if node.format_spec is not None and format_spec(node) is None:
            raise self.refuse("format", node.format_spec)


def format_spec(node: ast.FormattedValue) -> str | None:
    """The constant text after the colon; None when it is none of the short forms allowed."""
    if node.format_spec is None:
        return ""
    parts = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
    texts = [part.value for part in parts if isinstance(part, ast.Constant)]
    text = "".join(part for part in texts if isinstance(part, str))
    return text if len(texts) == len(parts) and _FORMAT_SPEC.fullmatch(text) else None


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")

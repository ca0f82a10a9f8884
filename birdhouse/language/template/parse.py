"""Tokens to tree. Everything a template can get wrong without its parameters is found here."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from birdhouse.errors import TemplateError
from birdhouse.language.template.allowlist import check_block, check_output, check_target
from birdhouse.language.template.limits import TEMPLATE_DEPTH_MAX, TEMPLATE_LENGTH_MAX, TemplateLimit
from birdhouse.language.template.literals import syntax_error
from birdhouse.language.template.tokens import Kind, Token, parse_error, tokenize
from birdhouse.language.template.tree import (
    Branch,
    Break,
    Continue,
    For,
    If,
    Node,
    Output,
    Set,
    Text,
    Try,
    While,
)

_PARENTS = {
    "else": ("if", "for", "while", "try"),
    "elif": ("if",),
    "except": ("try",),
    "finally": ("try",),
}
_FORBIDDEN = {
    "import": "import",
    "from": "import",
    "include": "include",
    "extends": "extends",
    "block": "block",
    "apply": "apply",
    "module": "module",
    "raw": "raw",
    "autoescape": "autoescape",
}
_EXCEPT = re.compile(r"(\(?[\w\s,]+?\)?)?(\s+as\s+(?P<name>[A-Za-z_]\w*))?", re.ASCII)
_WHITESPACE: dict[str, Callable[[str], str]] = {
    "all": lambda text: text,
    "single": lambda text: re.sub(r"\s*\n\s*", "\n", re.sub(r"[\t ]+", " ", text)),
    "oneline": lambda text: re.sub(r"\s+", " ", text),
}
_Clause = tuple[str, str, int, tuple[Node, ...]]
"""One arm of a block as written: its word, what follows the word, its line, its body."""


def parse_tree(text: str) -> tuple[Node, ...]:
    if len(text) > TEMPLATE_LENGTH_MAX:
        raise TemplateLimit("is too long", TEMPLATE_LENGTH_MAX)
    return _Parser(tokenize(text)).body(inside="", in_loop=False, depth=0)


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.position = 0
        self.whitespace = "all"
        self.stop: Token | None = None
        """The token that ended the last body: an end or the next arm of the same block."""

    def body(self, inside: str, in_loop: bool, depth: int) -> tuple[Node, ...]:
        if depth > TEMPLATE_DEPTH_MAX:
            raise TemplateLimit("has blocks nested too deeply", TEMPLATE_DEPTH_MAX)
        nodes: list[Node] = []
        while self.position < len(self.tokens):
            token = self.tokens[self.position]
            self.position += 1
            if token.kind is Kind.TEXT:
                nodes.append(Text(_WHITESPACE[self.whitespace](token.value)))
            elif token.kind is Kind.EXPRESSION:
                nodes.append(_output(token))
            elif token.kind is Kind.BLOCK:
                word, rest = _split(token)
                if word == "end" or word in _PARENTS:
                    _check_place(word, inside, token)
                    self.stop = token
                    return tuple(nodes)
                nodes.extend(self._block(word, rest, token, in_loop, depth))
        if inside:
            before = [token for token in self.tokens if token.kind is not Kind.TEXT]
            raise TemplateError(f"Missing {{% end %}} block for if at line {before[-1].end_line}")
        return tuple(nodes)

    def _block(self, word: str, rest: str, token: Token, in_loop: bool, depth: int) -> list[Node]:
        if word in _FORBIDDEN:
            raise parse_error(f"{_FORBIDDEN[word]} is forbidden", token.end_line)
        if word == "comment":
            return []
        if word == "whitespace":
            if rest not in _WHITESPACE:
                raise TemplateError(f"invalid whitespace mode {rest}", detail=f"(line {token.line})")
            self.whitespace = rest
            return []
        if word == "set":
            return [_set(rest, token)]
        if word in ("break", "continue"):
            if not in_loop:
                raise parse_error(f"{word} outside for or while block", token.end_line)
            return [Break(token.line) if word == "break" else Continue(token.line)]
        if word in ("if", "for", "while", "try"):
            clauses = self._clauses(word, rest, token, in_loop or word in ("for", "while"), depth)
            return [_BLOCKS[word](clauses)]
        raise parse_error(f"unknown operator: {word!r}", token.end_line)

    def _clauses(self, word: str, rest: str, token: Token, in_loop: bool, depth: int) -> list[_Clause]:
        clauses: list[_Clause] = []
        inside = word
        while word != "end":
            body = self.body(inside, in_loop, depth + 1)
            clauses.append((word, rest, token.line, body))
            if self.stop is None:
                raise AssertionError("a body inside a block ends with a token")
            token = self.stop
            word, rest = _split(token)
        return clauses


def _split(token: Token) -> tuple[str, str]:
    if not token.value:
        raise parse_error("Empty block tag ({% %})", token.end_line)
    word, *rest = token.value.split(None, 1)
    return word, rest[0].strip() if rest else ""


def _check_place(word: str, inside: str, token: Token) -> None:
    if word == "end":
        if not inside:
            raise parse_error("Extra {% end %} block", token.end_line)
    elif not inside:
        raise parse_error(f"{word} outside {' or '.join(_PARENTS[word])} block", token.end_line)
    elif inside not in _PARENTS[word]:
        raise parse_error(f"{word} block cannot be attached to {inside} block", token.end_line)


def _output(token: Token) -> Output:
    if not token.value:
        raise parse_error("Empty expression", token.end_line)
    if token.value.split(None, 1)[0] == "from":
        raise parse_error('"from" is a forbidden word', token.end_line)
    expression = _expression(token.value, token.line)
    check_output(expression, token.line)
    return Output(expression, token.value, token.line)


def _expression(source: str, line: int) -> ast.expr:
    """In parentheses, so that it may run over several lines; the line break ends a Python comment."""
    if not source:
        raise syntax_error(f"invalid syntax, line {line}", line=line)
    parsed = _python(f"({source}\n)", line)
    statement = parsed[0] if len(parsed) == 1 else None
    if not isinstance(statement, ast.Expr):
        raise syntax_error("invalid syntax", line=line)
    return statement.value


def _condition(source: str, line: int) -> ast.expr:
    expression = _expression(source, line)
    check_block(expression, line)
    return expression


def _python(source: str, line: int) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError as error:
        raise syntax_error(f"{error.msg}, line {line}", line=line) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise syntax_error(f"invalid syntax, line {line}", line=line) from error


def _set(source: str, token: Token) -> Set:
    line = token.line
    if not source:
        raise parse_error("set missing statement", token.end_line)
    statements = _python(source, line)
    statement = statements[0] if len(statements) == 1 else None
    if isinstance(statement, ast.Assign):
        targets, value = tuple(statement.targets), statement.value
    elif isinstance(statement, ast.AugAssign):
        targets, value = (statement.target,), _written_out(statement)
    else:
        raise syntax_error("Invalid set: one assignment is expected, name = expression", line=line)
    for target in targets:
        check_target(target, line)
    check_block(value, line)
    return Set(targets, value, line)


def _written_out(statement: ast.AugAssign) -> ast.expr:
    if not isinstance(statement.target, ast.Name):
        raise syntax_error(f"Invalid set: {ast.unparse(statement)}")
    return ast.BinOp(ast.Name(statement.target.id, ast.Load()), statement.op, statement.value)


def _if(clauses: list[_Clause]) -> If:
    branches = []
    for position, (word, rest, line, body) in enumerate(clauses):
        if word == "else" and position < len(clauses) - 1:
            raise syntax_error("invalid syntax, else has to be the last branch of an if", line=line)
        branches.append(Branch(None if word == "else" else _condition(rest, line), body, line))
    return If(tuple(branches), clauses[0][2])


def _for(clauses: list[_Clause]) -> For:
    _, rest, line, body = clauses[0]
    statements = _python(f"for {rest}:\n pass", line)
    loop = statements[0] if len(statements) == 1 else None
    if not isinstance(loop, ast.For) or loop.orelse or not isinstance(loop.body[0], ast.Pass):
        raise syntax_error(f"invalid syntax, line {line}", line=line)
    check_target(loop.target, line)
    check_block(loop.iter, line)
    return For(loop.target, loop.iter, body, _otherwise(clauses), line)


def _while(clauses: list[_Clause]) -> While:
    _, rest, line, body = clauses[0]
    return While(_condition(rest, line), body, _otherwise(clauses), line)


def _otherwise(clauses: list[_Clause]) -> tuple[Node, ...]:
    if len(clauses) > 2:
        raise syntax_error("invalid syntax, a loop has one else", line=clauses[2][2])
    return clauses[1][3] if len(clauses) == 2 else ()


def _try(clauses: list[_Clause]) -> Try:
    _, _, line, body = clauses[0]
    parts: dict[str, _Clause] = {}
    order = ["except", "else", "finally"]
    for clause in clauses[1:]:
        word = clause[0]
        if word not in order:
            raise syntax_error("invalid syntax, a try has except, else and finally once, in this order", line=clause[2])
        del order[: order.index(word) + 1]
        parts[word] = clause
    if "except" not in parts and ("else" in parts or "finally" not in parts):
        raise syntax_error("expected 'except' or 'finally' block", line=line)
    handler = parts.get("except")
    name = _error_name(handler) if handler else None
    final, otherwise = parts.get("finally"), parts.get("else")
    return Try(
        body, handler[3] if handler else None, name,
        otherwise[3] if otherwise else (), final[3] if final else (), line,
    )  # fmt: skip


def _error_name(clause: _Clause) -> str | None:
    """Any class may be named after except; all errors are caught, for a template knows no classes."""
    _, rest, line, _ = clause
    found = _EXCEPT.fullmatch(rest)
    if found is None:
        raise syntax_error(f"invalid syntax, line {line}", line=line)
    name = found["name"]
    if name:
        check_target(ast.Name(name, ast.Store()), line)
    return name


_BLOCKS: dict[str, Callable[[list[_Clause]], Node]] = {"if": _if, "for": _for, "while": _while, "try": _try}

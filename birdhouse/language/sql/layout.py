"""Lays out the SQL of a node for reading, its template and its comments included, as the official formatter does.

That one is sqlfmt with a few rules of its own, and the outcome has to be the same to the byte: so this is the same
version of the same library, with the same rules. It knows words, not SQL, and is not sure of a template's Python;
what comes out is therefore taken only when it says the same as what went in and stays as it is when laid out again.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import NamedTuple

import black
from sqlfmt.analyzer import Analyzer
from sqlfmt.comment import Comment
from sqlfmt.dialect import ClickHouse
from sqlfmt.exception import SqlfmtBracketError
from sqlfmt.formatter import QueryFormatter
from sqlfmt.jinjafmt import BlackWrapper, JinjaFormatter, JinjaTag
from sqlfmt.line import Line
from sqlfmt.mode import Mode
from sqlfmt.node import Node, get_previous_token
from sqlfmt.node_manager import NodeManager
from sqlfmt.token import Token, TokenType

LINE_CHARACTERS_MAX = 100
ROUNDS_MAX = 4
"""How often a text is laid out again before it is left as it was, because it will not settle."""
SQL_CHARACTERS_MAX = 200_000
EXPRESSIONS_KEPT = 4096

_INDENT = " " * 4


def laid_out(sql: str) -> str:
    """The text laid out, without blank lines; or as it is, when that cannot be done without changing what it says."""
    before = _without_blank_lines(sql)
    if len(before) > SQL_CHARACTERS_MAX:
        return before
    text = before
    for _ in range(ROUNDS_MAX):
        after = _once(text)
        if after == text:
            return text if text == before or says_the_same(text, before) else before
        text = after
    return before


def _once(sql: str) -> str:
    mark, body = ("%\n", sql[1:]) if sql.startswith("%") else ("", sql)
    try:
        query = _dialect().initialize_analyzer(LINE_CHARACTERS_MAX).parse_query(source_string=body)
        text = str(_Layout(_mode()).format(query))
    except Exception:
        # The library raises whatever it stumbles over. What it cannot lay out stays as it is.
        return sql
    return _without_blank_lines(mark + text.strip())


def _without_blank_lines(text: str) -> str:
    return "\n".join(line for line in text.strip().split("\n") if line.strip())


class _Words(NodeManager):
    """Keeps words as they are written, and brackets that close nothing: what is wrong there is told by others."""

    def create_node(self, token: Token, previous_node: Node | None) -> Node:
        try:
            return super().create_node(token, previous_node)
        except SqlfmtBracketError:
            previous, has_space = get_previous_token(previous_node)
            prefix = self.whitespace(token, previous, has_space)
            return Node(token, previous_node, prefix, self.standardize_value(token))

    def raise_on_mismatched_bracket(self, token: Token, last_bracket: Node) -> None:
        """Whatever closes, closes the last bracket."""

    def standardize_value(self, token: Token) -> str:
        return " ".join(token.token.split()) if token.type in _KEYWORDS else token.token


_KEYWORDS = frozenset(
    {
        TokenType.UNTERM_KEYWORD,
        TokenType.STATEMENT_START,
        TokenType.STATEMENT_END,
        TokenType.WORD_OPERATOR,
        TokenType.ON,
        TokenType.BOOLEAN_OPERATOR,
        TokenType.SET_OPERATOR,
    }
)


def _with_variables(pattern: str) -> str:
    """`$NAME` is a name too: the variable of an included file."""
    return f"{pattern[:-1]}|{_VARIABLE})"


_VARIABLE = r"((?<!\\)\$[\w$]+)"
_PATTERNS: dict[str, Callable[[str], str]] = {
    "quoted_name": _with_variables,
    "jinja_if_block_end": lambda _: r"(\{%-?\s*end(\s+if)?\s*-?%\})",
    "jinja_for_block_end": lambda _: r"(\{%-?\s*end(\s+for)?\s*-?%\})",
}


class _Dialect(ClickHouse):
    def __init__(self) -> None:
        super().__init__()
        for rules in self.RULES.values():
            for index, rule in enumerate(rules):
                if pattern := _PATTERNS.get(rule.name):
                    rules[index] = replace(rule, pattern=pattern(rule.pattern))

    def initialize_analyzer(self, line_length: int) -> Analyzer:
        return Analyzer(line_length, self.get_rules(), _Words(self.case_sensitive_names))


@lru_cache(maxsize=1)
def _dialect() -> _Dialect:
    return _Dialect()


@lru_cache(maxsize=1)
def _mode() -> Mode:
    mode = Mode(line_length=LINE_CHARACTERS_MAX)
    mode.dialect = _dialect()
    return mode


class _Python(BlackWrapper):
    """The expressions of templates, with their quotes left alone. The same ones come again and again."""

    def __init__(self) -> None:
        super().__init__()
        mode = partial(black.Mode, string_normalization=False)
        self.black = SimpleNamespace(Mode=mode, format_str=black.format_str)
        self.format_string = lru_cache(maxsize=EXPRESSIONS_KEPT)(super().format_string)


_python = lru_cache(maxsize=1)(_Python)


class _Tags(JinjaFormatter):
    """Indents what is inside a tag by the blocks around it as well as by the brackets."""

    def _format_jinja_node(self, node: Node, max_length: int) -> bool:
        if not node.is_jinja:
            return False
        depth = sum(node.depth)
        tag = JinjaTag.from_string(node.value, depth)
        if tag.code:
            tag.code, tag.is_blackened = self.code_formatter.format_string(tag.code, tag.max_code_length(max_length))
            if "{%" in node.value:
                tag.code = tag.code.replace("\n", f"\n{_INDENT * depth}")
        node.value = str(tag)
        return bool(tag.is_blackened)


class _Layout(QueryFormatter):
    def _format_jinja(self, lines: list[Line]) -> list[Line]:
        tags = _Tags(self.mode, _python())
        return [new for line in lines for new in tags.format_line(line)]


def _line_indent(line: Line) -> str:
    return _INDENT * int(sum(line.depth))


def _comment_line(comment: Comment) -> str:
    if comment.is_multiline:
        return f"{comment.token.token}\n"
    marker, text = comment._comment_parts()
    return f"{marker} {text}\n" if text else f"{marker}\n"


# The library makes its lines and comments in many places and asks nobody what they are made of.
Line.prefix = property(_line_indent)
Comment._calc_str = property(_comment_line)


def says_the_same(a: str, b: str) -> bool:
    """Whether two texts differ in blanks outside quotes only, in commas and brackets of Python, and in comments' lines.

    Sure, but not clever: where it is in doubt, texts that differ do not say the same.
    """
    return _words(a) == _words(b) and _comments(a) == _comments(b)


class _Word(NamedTuple):
    text: str
    is_glued: bool
    """Whether it stands right behind the word before, where a blank between them would mean something else."""


_PIECE = re.compile(
    r"""(?P<output>\{\{.*?\}\})|(?P<block>\{%.*?%\})
    |(?P<comment>\{\#.*?\#\}|--[^\n]*|\#[^\n]*|/\*.*?\*/)
    |(?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.)*`)
    |(?P<word>[\w$]+)|(?P<blank>\s+)|(?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)
_NAMES = frozenset({"output", "quoted", "word"})
_SIGNS = frozenset("<>=!|&:-+*/%^~?.@")
_BRANCH = re.compile(r"\{%-?\s*(else|elif|except|finally)\b")


def _words(text: str) -> list[_Word]:
    found: list[_Word] = []
    before = ""
    for piece in _PIECE.finditer(text):
        kind = str(piece.lastgroup)
        if kind in ("blank", "comment"):
            before = ""
        elif kind == "block":
            found.append(_Word(_normal_tag(piece[0]), False))
            before = "" if _BRANCH.match(piece[0]) else before
        else:
            edge = "name" if kind in _NAMES else "sign" if piece[0] in _SIGNS else ""
            found.append(_Word(_normal_tag(piece[0]) if kind == "output" else piece[0], bool(edge) and edge == before))
            before = edge
    return found


def _comments(text: str) -> list[str]:
    """The words of all comments; a long one may have been given more lines."""
    pieces = (piece["comment"] for piece in _PIECE.finditer(text) if piece["comment"])
    return [word for comment in pieces for word in comment.strip("-#{}").split()]


@lru_cache(maxsize=EXPRESSIONS_KEPT)
def _normal_tag(tag: str) -> str:
    """A tag whose Python is written in one way only, as far as it is Python."""
    word, _, rest = tag[2:-2].strip().strip("-").strip().partition(" ")
    is_block = tag.startswith("{%")
    code = rest.strip() if is_block else f"{word} {rest}"
    for start, end in (("(", "\n)"), ("for ", ":\n pass"), ("", "")):
        try:
            tree = ast.dump(ast.parse(f"{start}{code.strip()}{end}"))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        return f"{tag[:2]}{word if is_block else ''} {tree}"
    return "".join(tag.split())

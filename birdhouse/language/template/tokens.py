"""Cuts template text into text, `{{ expression }}`, `{% block %}` and `{# comment #}`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from birdhouse.errors import TemplateError


class Kind(Enum):
    TEXT = "text"
    EXPRESSION = "expression"
    BLOCK = "block"
    COMMENT = "comment"


@dataclass(frozen=True, slots=True)
class Token:
    """`value` is without its braces and trimmed, except for text. Lines count from 1."""

    kind: Kind
    value: str
    line: int
    end_line: int


_DIRECTIVES = {
    "{{": (Kind.EXPRESSION, "}}", "Missing end expression }}"),
    "{%": (Kind.BLOCK, "%}", "Missing end block %}"),
    "{#": (Kind.COMMENT, "#}", "Missing end comment #}"),
}


def parse_error(message: str, line: int) -> TemplateError:
    return TemplateError(f"{message} at <string>:{line}")


def tokenize(text: str) -> list[Token]:
    tokens: list[Token] = []
    position, line = 0, 1
    while (start := _next_directive(text, position)) >= 0:
        if start > position:
            end_line = line + text.count("\n", position, start)
            tokens.append(Token(Kind.TEXT, text[position:start], line, end_line))
            line = end_line
        opening = text[start : start + 2]
        if text.startswith("!", start + 2):
            tokens.append(Token(Kind.TEXT, opening, line, line))
            position = start + 3
            continue
        kind, closing, unclosed = _DIRECTIVES[opening]
        end = text.find(closing, start + 2)
        if end < 0:
            raise parse_error(unclosed, line)
        end_line = line + text.count("\n", start, end)
        tokens.append(Token(kind, text[start + 2 : end].strip(), line, end_line))
        position, line = end + 2, end_line
    if position < len(text):
        tokens.append(Token(Kind.TEXT, text[position:], line, line + text.count("\n", position)))
    return tokens


def _next_directive(text: str, position: int) -> int:
    """Where the next directive opens, or -1. Of more than two braces in a row the innermost two count."""
    while (start := text.find("{", position)) >= 0:
        if text[start + 1 : start + 3] != "{{" and text[start + 1 : start + 2] in ("{", "%", "#"):
            return start
        position = start + 1
    return -1

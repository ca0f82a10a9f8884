"""Gives a table another name in the text of a query or template, and leaves every other character as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<skipped>\s+|--[^\n]*|/\*.*?\*/|\{\#.*?\#\})
    |(?P<template>\{\{.*?\}\}|\{%.*?%\})
    |(?P<text>'(?:\\.|''|[^'\\])*')
    |(?P<name>`[^`]+`|"[^"]+"|[A-Za-z_]\w*)
    |(?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)
_BEFORE_TABLE = frozenset({"from", "join", "in"})


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    before: str
    """The word or sign before it, in lower case."""
    after: str
    """The character right after it."""

    @property
    def name(self) -> str:
        return self.text.strip('`"')


def rename_table(sql: str, old: str, new: str) -> str:
    """Where `old` is read (after FROM, JOIN or IN, or by `table('…')`) and where it qualifies a column.

    Other ways to name a table are left alone: compare what the new text reads with what it should.
    """
    tokens = list(_tokens(sql))
    is_alias = any(token.kind == "name" and token.before == "as" and token.name == old for token in tokens)
    call = re.compile(rf"(\btable\(\s*)(['\"]){re.escape(old)}\2", re.IGNORECASE)
    out = []
    for token in tokens:
        if token.kind == "template":
            out.append(call.sub(rf"\g<1>\g<2>{new}\g<2>", token.text))
        elif token.kind == "name" and token.name == old and _is_table(token, is_alias):
            out.append(token.text.replace(old, new))
        else:
            out.append(token.text)
    return "".join(out)


def _is_table(token: _Token, is_alias: bool) -> bool:
    if token.before in _BEFORE_TABLE:
        return token.after != "."
    return token.after == "." and token.before != "." and not is_alias


def _tokens(sql: str) -> Iterator[_Token]:
    before = ""
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "sign"
        yield _Token(kind, match[0], before, sql[match.end() : match.end() + 1])
        if kind != "skipped":
            before = match[0].lower()

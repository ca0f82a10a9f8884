"""The parsed form of a template: what stands where, with the Python expressions as syntax trees."""

from __future__ import annotations

import ast
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Output:
    """`{{ expression }}`; `source` is its text, for messages."""

    expression: ast.expr
    source: str
    line: int


@dataclass(frozen=True, slots=True)
class Branch:
    """One arm of an if; `condition` is None for else."""

    condition: ast.expr | None
    body: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class If:
    branches: tuple[Branch, ...]
    line: int


@dataclass(frozen=True, slots=True)
class For:
    target: ast.expr
    iterable: ast.expr
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class While:
    condition: ast.expr
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Set:
    """`{% set %}`; an augmented assignment is already written out as `x = x + value`."""

    targets: tuple[ast.expr, ...]
    value: ast.expr
    line: int


@dataclass(frozen=True, slots=True)
class Try:
    """`name` is bound to the error's text inside `handler`; without a handler the error goes on."""

    body: tuple[Node, ...]
    handler: tuple[Node, ...] | None
    name: str | None
    otherwise: tuple[Node, ...]
    final: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Break:
    line: int


@dataclass(frozen=True, slots=True)
class Continue:
    line: int


Node = Text | Output | If | For | While | Set | Try | Break | Continue

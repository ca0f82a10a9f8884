"""Refuses SQL so long or so deeply nested that the parser itself would fail.

The parser recurses without looking at its stack: some thousand chained operators end the process, and some
hundred open brackets take it seconds. So an upper bound of the depth is taken from the tokens first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from birdhouse.errors import SqlError

SQL_BYTES_MAX = 262_144
DEPTH_MAX = 1000
BRACKETS_MAX = 150
SUBQUERIES_NAMED_MAX = 500

# Text this short cannot reach the depth at which the parser fails, whatever it says.
_SHORT_CHARACTERS = 1000

_TOKEN = re.compile(
    r"""(?P<skip>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`|--[^\n]*|/\*.*?\*/)"""
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<reset>,|\b(?:and|or|union)\b)|(?P<between>\bbetween\b)|(?P<other>\w+|[^\s\w])",
    re.IGNORECASE | re.DOTALL,
)
_NAMED_SUBQUERY = re.compile(r"\bas\s*\(", re.IGNORECASE)
# Here-documents, hash comments and typographic quotes: rare, and not worth a second lexer.
_OTHER_QUOTES = re.compile("[$#‘’“”]")


def check_size(sql: str) -> None:
    """Raises SqlError for SQL that must not reach the parser."""
    if len(sql) > SQL_BYTES_MAX or len(sql.encode(errors="replace")) > SQL_BYTES_MAX:
        raise SqlError(
            "The SQL is too long.",
            detail=f"({len(sql)} characters)",
            hint=f"At most {SQL_BYTES_MAX} bytes can be read.",
        )
    brackets = sql.count("(") + sql.count("[") + sql.count("{")
    if len(sql) <= _SHORT_CHARACTERS and brackets <= BRACKETS_MAX:
        return
    if len(_NAMED_SUBQUERY.findall(sql)) > SUBQUERIES_NAMED_MAX:
        raise SqlError(f"The SQL has more than {SUBQUERIES_NAMED_MAX} subqueries in WITH.")
    if not _OTHER_QUOTES.search(sql):
        _check_depth(sql)
    elif brackets > BRACKETS_MAX or len(re.findall(r"\w+|[^\s\w]", sql)) > DEPTH_MAX:
        raise SqlError("The SQL is too long for text with $, # or typographic quotes.", hint="Leave these signs out.")


@dataclass(frozen=True, slots=True)
class Size:
    """Upper bounds for a text and for what it holds when others are put into it."""

    bytes: int
    subqueries: int
    depth: int
    brackets: int

    @property
    def is_small(self) -> bool:
        """Whether a text within these bounds is accepted without a look at it."""
        return (
            self.bytes <= SQL_BYTES_MAX
            and self.subqueries <= SUBQUERIES_NAMED_MAX
            and self.depth <= DEPTH_MAX
            and self.brackets <= BRACKETS_MAX
        )

    def holding(self, inner: Size, times: int) -> Size:
        """With `inner` as a subquery in that many places."""
        return Size(
            self.bytes + times * (inner.bytes + len("(\n)")),
            self.subqueries + times * inner.subqueries,
            self.depth + inner.depth + 1,
            self.brackets + inner.brackets + 1,
        )


def size_of(sql: str) -> Size | None:
    """None where the depth cannot be told."""
    if _OTHER_QUOTES.search(sql):
        return None
    depth, brackets, _ = _depth(sql)
    return Size(len(sql.encode(errors="replace")), len(_NAMED_SUBQUERY.findall(sql)), depth, brackets)


def _check_depth(sql: str) -> None:
    depth, brackets, place = _depth(sql)
    if depth > DEPTH_MAX or brackets > BRACKETS_MAX:
        raise SqlError("The SQL is nested too deeply.", detail=f"(near character {place})")


def _depth(sql: str) -> tuple[int, int, int]:
    """How deep tokens and brackets are, and where the first limit is passed.

    Adds up, over the open brackets, the tokens since the last one that starts a sibling, not a child.
    """
    outer = here = fixed = deepest = most = place = 0
    levels: list[tuple[int, int, int]] = []
    for token in _TOKEN.finditer(sql):
        kind = token.lastgroup
        if kind == "open":
            levels.append((outer, here, fixed))
            outer, here, fixed = outer + here + fixed + 1, 0, 0
        elif kind == "close":
            outer, here, fixed = levels.pop() if levels else (0, 0, 0)
            here += 1
        elif kind == "reset":
            here = 0
        elif kind == "between":
            fixed += 1  # the AND of a BETWEEN is no conjunction: a chain of them nests
        else:
            here += 1
        if outer + here + fixed > deepest:
            deepest = outer + here + fixed
        if len(levels) > most:
            most = len(levels)
        if not place and (deepest > DEPTH_MAX or most > BRACKETS_MAX):
            place = token.start()
    return deepest, most, place

"""Where in a datafile the words of its definition stand, for errors that are found long after it was read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from birdhouse.errors import DatafileError
from birdhouse.language.datafile.lines import Place, SourceLine, Statement, source_lines, statements
from birdhouse.language.datafile.parse import normal_sql, value_of


class Spot(NamedTuple):
    """Lines and columns count from 1; 0 is unknown."""

    file: str
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class NodePlaces:
    """`node` is where the node begins; `lines` are those its SQL consists of, as they are written."""

    node: Place
    lines: tuple[SourceLine, ...] = ()

    def at(self, line: int, column: int = 0) -> Spot:
        """The spot of a line and column of the SQL; the node's own when the SQL has no such line."""
        if not 0 < line <= len(self.lines):
            return Spot(*self.node)
        written = self.lines[line - 1]
        sql = normal_sql("\n".join(each.text for each in self.lines)).split("\n")
        taken_off = len(written.text) - len(sql[line - 1]) if line <= len(sql) else 0
        return Spot(*written.place, column + max(0, taken_off) if column else 0)

    def of_word(self, word: str) -> Spot:
        """Where the word first stands in the SQL; the node's own spot when it does not."""
        return _of_word(self.lines, word) or Spot(*self.node)


def node_places(text: str, file: str, node: str) -> NodePlaces:
    """Of the text as it was read: an UnrolledText knows the files its lines came from."""
    found = NodePlaces(Place(file, 0))
    is_inside = False
    for statement in _statements(text, file):
        if statement.directive == "NODE":
            is_inside = _value(statement) == node
            found = NodePlaces(statement.place) if is_inside else found
        elif statement.directive == "SQL" and is_inside:
            found = NodePlaces(found.node, tuple(_of_sql(statement.block or ())))
    return found


def places_in_sql(sql: str) -> NodePlaces:
    """For a node without a datafile: its own lines, in no file."""
    return NodePlaces(Place("", 0), tuple(source_lines(sql)))


def word_place(text: str, file: str, word: str) -> Spot:
    """Where the word first stands in the datafile, comments aside."""
    return _of_word(source_lines(text, file), word) or Spot(file)


def _statements(text: str, file: str) -> Iterable[Statement]:
    return statements(source_lines(text, file), [])


def _value(statement: Statement) -> str:
    try:
        return value_of(statement)
    except DatafileError:
        return ""


def _of_sql(block: Sequence[SourceLine]) -> Iterable[SourceLine]:
    """One for each line of the SQL. A template that begins behind its `%` has that line twice."""
    is_first = True
    for line in block:
        text = line.text.strip()
        if not text or text.startswith("#"):
            continue
        if is_first and text.startswith("%") and text != "%":
            yield line
        is_first = False
        yield line


def _of_word(lines: Iterable[SourceLine], word: str) -> Spot | None:
    if not word:
        return None
    pattern = re.compile(rf"(?<![\w.]){re.escape(word)}(?!\w)")
    for line in lines:
        if not line.text.lstrip().startswith("#") and (match := pattern.search(line.text)):
            return Spot(*line.place, match.start() + 1)
    return None

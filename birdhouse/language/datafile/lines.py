"""The line grammar under every datafile: how a line splits into words, and which lines form one statement.

A statement is a directive with its words, or with a block when its first word is `>`:

    ENGINE_SORTING_KEY "user, ts"      # a comment, outside quotes, anywhere in a line
    DESCRIPTION >
        Lines of the block, until a line that starts in the first column with a directive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from birdhouse.errors import DatafileError
from birdhouse.language.datafile.directives import DIRECTIVES

DATAFILE_CHARACTERS_MAX = 8_000_000

_WORD = re.compile(
    r"""[ \t\r]*(?:(?P<comment>\#.*)|(?P<quoted>"[^"]*"|'[^']*')|(?P<open>["'].*)|(?P<plain>[^ \t\r#]+))"""
)


class Place(NamedTuple):
    file: str
    line: int


class SourceLine(NamedTuple):
    text: str
    place: Place


class UnrolledText(str):
    """Datafile text after its INCLUDE lines were replaced; it knows where each line came from."""

    places: tuple[Place, ...]

    @classmethod
    def of(cls, lines: Sequence[SourceLine]) -> UnrolledText:
        text = cls("".join(f"{line.text}\n" for line in lines))
        text.places = tuple(line.place for line in lines)
        return text


class Word(NamedTuple):
    text: str
    """As written, quotes included."""
    column: int
    """The first column of a line is 1."""


class UnbalancedQuote(ValueError):
    def __init__(self, column: int) -> None:
        self.column = column
        super().__init__(column)


def split_words(line: str) -> list[Word]:
    """Quotes bind only at the start of a word, and a closing one ends it: `"a"b` is two words, `it's` is one.

    Raises UnbalancedQuote when a word opens a quote that the line does not close.
    """
    words = []
    for match in _WORD.finditer(line):
        if match["comment"]:
            break
        if match["open"]:
            raise UnbalancedQuote(match.start("open") + 1)
        kind = match.lastgroup or ""
        words.append(Word(match[kind], match.start(kind) + 1))
    return words


def comment_of(line: str) -> str:
    """The comment at the end of a line, `#` included; an empty text when there is none."""
    for match in _WORD.finditer(line):
        if match["open"]:
            return ""
        if match["comment"]:
            return match["comment"].rstrip()
    return ""


def unquote(text: str) -> str:
    """Removes the quotes around the whole text; like the official client, it looks at the two ends only."""
    if len(text) >= 2 and text[0] in "\"'" and text[-1] in "\"'":
        return text[1:-1]
    return text


def source_lines(text: str, file: str = "") -> list[SourceLine]:
    if len(text) > DATAFILE_CHARACTERS_MAX:
        raise DatafileError(
            f"A datafile has at most {DATAFILE_CHARACTERS_MAX} characters",
            file=file,
            hint="Split the resource.",
        )
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    if isinstance(text, UnrolledText):
        return [SourceLine(line, place) for line, place in zip(lines, text.places, strict=True)]
    return [SourceLine(line, Place(file, number)) for number, line in enumerate(lines, start=1)]


@dataclass(frozen=True, slots=True)
class Statement:
    """One directive. `block` has every line of its block, also the blank ones; None when it has no block."""

    directive: str
    words: tuple[Word, ...]
    place: Place
    column: int = 1
    block: tuple[SourceLine, ...] | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        return tuple(word.text for word in self.words)

    def text_lines(self) -> list[str]:
        """The lines of the block that count: those that are blank or only a `#` comment are left out."""
        lines = (line.text for line in self.block or ())
        return [line for line in lines if line.strip() and not line.lstrip(" \t").startswith("#")]

    def error(self, message: str, *, hint: str = "", column: int | None = None) -> DatafileError:
        where = self.column if column is None else column
        return DatafileError(message, file=self.place.file, line=self.place.line, column=where, hint=hint)


def starts_statement(line: str, words: Sequence[Word]) -> bool:
    """Whether a line ends the block above it. `from` never does, for it starts lines of SQL too."""
    return (
        bool(words)
        and words[0].text.upper() in DIRECTIVES
        and not line.startswith((" ", "\t"))
        and not line.lower().startswith("from")
    )


def opens_block(words: Sequence[Word]) -> bool:
    return len(words) > 1 and words[1].text == ">"


def statements(lines: Sequence[SourceLine], errors: list[DatafileError]) -> Iterator[Statement]:
    """Yields what can be read; what cannot be read is appended to `errors`."""
    opened: Statement | None = None
    block: list[SourceLine] = []
    for line in lines:
        try:
            words = split_words(line.text)
        except UnbalancedQuote as unbalanced:
            if opened is None:
                errors.append(_unbalanced(line, unbalanced.column))
            words = []
        if opened is not None and not starts_statement(line.text, words):
            block.append(line)
            continue
        if opened is not None:
            yield _close(opened, block)
            opened, block = None, []
        if not words:
            continue
        statement = Statement(words[0].text.upper(), tuple(words[1:]), line.place, words[0].column)
        if not opens_block(words):
            yield statement
            continue
        opened = statement
        if len(words) > 2:
            errors.append(_text_after_block(statement, words[2]))
    if opened is not None:
        yield _close(opened, block)


def _close(opened: Statement, block: list[SourceLine]) -> Statement:
    return Statement(opened.directive, (), opened.place, opened.column, tuple(block))


def _unbalanced(line: SourceLine, column: int) -> DatafileError:
    return DatafileError(
        f"The quote {line.text[column - 1]} is never closed",
        file=line.place.file,
        line=line.place.line,
        column=column,
        hint="Close it on this line, or use a block: the directive, a blank, >, then indented lines.",
    )


def _text_after_block(statement: Statement, word: Word) -> DatafileError:
    return statement.error(
        f"Text after {statement.directive} > is lost",
        column=word.column,
        hint="Put it on the next line, indented.",
    )

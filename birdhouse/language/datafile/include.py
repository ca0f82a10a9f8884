"""INCLUDE lines replaced by the text they name, with variables filled in; reading files is the caller's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from string import Template
from typing import NamedTuple

from birdhouse.errors import BirdhouseError, DatafileError
from birdhouse.language.datafile.lines import (
    Place,
    SourceLine,
    UnbalancedQuote,
    UnrolledText,
    Word,
    opens_block,
    source_lines,
    split_words,
    starts_statement,
    unquote,
)

INCLUDE_DEPTH_MAX = 16
UNROLLED_LINES_MAX = 200_000


class _Pending(NamedTuple):
    line: SourceLine
    chain: tuple[str, ...]
    """The included files that this line came through, outermost first."""


def unroll(
    text: str, *, read: Callable[[str], str], file: str = "", env: Mapping[str, str] | None = None
) -> UnrolledText:
    """`read` gets the file name of the INCLUDE line, variables of `env` filled in, and returns the text.

    Names are relative to the folder of the outermost datafile, also inside included files. `read` reports a
    missing file with OSError, LookupError or NotFound. In an included text `$K` and `${K}` stand for the
    variables of the INCLUDE line, `$$` for `$`; other names stay. The result remembers where each line came
    from.
    """
    pending = deque(_Pending(line, ()) for line in source_lines(text, file))
    out: list[SourceLine] = []
    in_block = False
    while pending:
        line, chain = pending.popleft()
        words = _words(line.text)
        in_block = in_block and not starts_statement(line.text, words)
        if in_block or not words or words[0].text.upper() != "INCLUDE":
            in_block = in_block or opens_block(words)
            out.append(line)
        else:
            included = _included(line, words, chain, read, env)
            pending.extendleft(reversed(included))
        if len(out) + len(pending) > UNROLLED_LINES_MAX:
            raise _error(line.place, f"The datafile has more than {UNROLLED_LINES_MAX} lines with its includes")
    return UnrolledText.of(out)


def includes(text: str, *, env: Mapping[str, str] | None = None) -> list[str]:
    """The file names on the INCLUDE lines of a text, in order; those inside the files are not followed."""
    names: list[str] = []

    def note(name: str) -> str:
        names.append(name)
        return ""

    unroll(text, read=note, env=env)
    return names


def _words(line: str) -> list[Word]:
    try:
        return split_words(line)
    except UnbalancedQuote:
        return []


def _included(
    line: SourceLine,
    words: list[Word],
    chain: tuple[str, ...],
    read: Callable[[str], str],
    env: Mapping[str, str] | None,
) -> list[_Pending]:
    place = line.place
    if len(words) < 2:
        raise _error(place, "INCLUDE needs a file name", 'Write INCLUDE "includes/name.incl" "KEY=value".')
    name = Template(unquote(words[1].text)).safe_substitute(env or {})
    if name in chain:
        raise _error(place, f"'{name}' includes itself: {' -> '.join((*chain, name))}", "Remove one INCLUDE.")
    if len(chain) >= INCLUDE_DEPTH_MAX:
        raise _error(place, f"INCLUDE nests at most {INCLUDE_DEPTH_MAX} deep")
    variables = dict(_variable(word, place) for word in words[2:])
    text = Template(_text_of(name, place, read)).safe_substitute(variables)
    return [_Pending(included, (*chain, name)) for included in source_lines(text, name)]


def _variable(word: Word, place: Place) -> tuple[str, str]:
    key, separator, value = unquote(word.text).partition("=")
    if not separator or not key.isidentifier():
        raise _error(place, f"{word.text} is not a variable", 'Write each one as "KEY=value".', column=word.column)
    return key, value


def _text_of(name: str, place: Place, read: Callable[[str], str]) -> str:
    try:
        return read(name)
    except (OSError, LookupError, UnicodeError, BirdhouseError) as cause:
        raise _error(
            place,
            f"The included file '{name}' cannot be read",
            "The path starts in the folder of the datafile that is deployed, also in nested includes.",
        ) from cause


def _error(place: Place, message: str, hint: str = "", *, column: int = 1) -> DatafileError:
    return DatafileError(message, file=place.file, line=place.line, column=column, hint=hint)

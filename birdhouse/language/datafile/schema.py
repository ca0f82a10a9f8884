"""Columns and indexes: the SCHEMA and INDEXES blocks, also the `schema` and `indexes` fields of the API.

The parts of a column come in this order; only the name and the type, or a DEFAULT in its place, are needed:

    `name` Type `json:$.path` DEFAULT expression CODEC(ZSTD(1))

A `Column` holds them bare: `jsonpath` is `$.path`, `default` the expression, `codec` is `ZSTD(1)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from birdhouse.errors import DatafileError
from birdhouse.language.datafile.lines import Place
from birdhouse.language.datafile.model import Column, DefaultKind, Index
from birdhouse.language.datafile.types import split_list

COLUMNS_MAX = 10_000
SCHEMAS_KEPT = 64
INDEX_CHARACTERS_MAX = 2_000

_OPENING, _CLOSING = "([{", ")]}"
_PAIRS = dict(zip(_CLOSING, _OPENING, strict=True))
_NAME = re.compile(r"`([^`]+)`|([\w.*<>+'-]+)")
_WORD = re.compile(r"[A-Za-z_][\w.]*")
_NON_BLANK = re.compile(r"\S")
_BRACKET = re.compile(r"\s*\(")
_REFUSED = {
    "ALIAS": "Compute the value in a pipe, or use MATERIALIZED.",
    "EPHEMERAL": "Read the value with a jsonpath into a column.",
    "TTL": "Only the whole table can have one: ENGINE_TTL.",
    "NULL": "Write the type as Nullable(…).",
    "NOT": "Columns are not null unless the type is Nullable(…); leave it out.",
    "COMMENT": "Write the comment after -- instead.",
}
_NULLABLE_AGGREGATE = re.compile(r"Nullable\(SimpleAggregateFunction\((\w+),\s*(?!Nullable)(.+)\)\)$")
_INDEX = re.compile(
    r"(?:INDEX\s+)?(?P<name>`[^`]+`|[\w.-]+)\s+(?P<expression>.+?)\s+TYPE\s+"
    r"(?P<type>\w+(?:\s*\(.*\))?)(?:\s+GRANULARITY\s+(?P<granularity>\d+))?$",
    re.IGNORECASE,
)
_SECOND_TYPE = re.compile(r"\sTYPE\s")
"""Inside an expression it means two indexes on one line."""


def parse_schema(text: str, *, file: str = "", line: int = 1) -> tuple[Column, ...]:
    """Reads a list of columns; `line` is the line of the file that the text starts on, for errors."""
    try:
        return _read_columns(text)
    except _Misread as misread:
        raise misread.at(text, file, line) from None


@lru_cache(maxsize=SCHEMAS_KEPT)
def _read_columns(text: str) -> tuple[Column, ...]:
    """Of many data sources that include the same schema it is read once."""
    pieces = _columns(_without_comments(text))
    if len(pieces) > COLUMNS_MAX:
        raise _Misread(f"A data source has at most {COLUMNS_MAX} columns", 0)
    return tuple(_column(piece, start) for piece, start in pieces if not _is_inline_index(piece))


@dataclass(frozen=True, slots=True)
class Comments:
    """The comments of a schema, by the number of the column that they are above or behind; the last ones by the count.

    Both kinds: those after `--`, and lines that start with `#`.
    """

    above: dict[int, list[str]]
    behind: dict[int, list[str]]


def comments_of(text: str) -> Comments:
    """The text is a schema that can be read."""
    lines = text.split("\n")
    bare = "\n".join("" if line.lstrip().startswith("#") else line for line in lines)
    code = _without_comments(bare)
    begins = [begin for _, begin in _columns(code)]
    found = Comments({}, {})
    offset = 0
    for line, kept in zip(lines, code.split("\n"), strict=True):
        has_code = bool(kept.strip())
        at = offset + len(kept.rstrip()) - 1 if has_code else offset
        comment = (line[len(kept.rstrip()) :] if has_code else line).strip()
        column = sum(begin <= at for begin in begins) - 1 if code[at:].strip() else len(begins)
        if comment:
            (found.behind if has_code else found.above).setdefault(column, []).append(comment)
        offset += len(kept) + 1
    return found


def format_column(column: Column) -> str:
    parts = [f"`{column.name}`", column.type]
    if column.jsonpath is not None:
        parts.append(f"`json:{column.jsonpath}`")
    if column.default_kind is not None:
        parts.append(f"{column.default_kind} {column.default}")
    if column.codec is not None:
        parts.append(f"CODEC({column.codec})")
    return " ".join(part for part in parts if part)


def format_schema(columns: Iterable[Column]) -> str:
    """One line, a comma without blank between columns: what the official client sends and compares."""
    return ",".join(format_column(column) for column in columns)


def parse_indexes(text: str, *, file: str = "", line: int = 1) -> tuple[Index, ...]:
    """One index per line: `[INDEX] name expression TYPE type(arguments) [GRANULARITY n]`."""
    indexes = []
    for number, written in enumerate(text.replace("\r\n", "\n").split("\n"), start=line):
        index = written.strip().rstrip(",").rstrip()
        if index and not index.startswith("--"):
            column = len(written) - len(written.lstrip()) + 1
            indexes.append(_index(index, Place(file, number), column))
    return tuple(indexes)


def format_index(index: Index) -> str:
    """The line of an INDEXES block; the API puts the word INDEX before it."""
    text = f"{index.name} {index.expression} TYPE {index.type}"
    return text if index.granularity is None else f"{text} GRANULARITY {index.granularity}"


def _index(text: str, place: Place, column: int) -> Index:
    match = _INDEX.match(text) if len(text) <= INDEX_CHARACTERS_MAX else None
    if match is None or _SECOND_TYPE.search(match["expression"]):
        raise DatafileError(
            f"Cannot read the index '{text}'",
            file=place.file,
            line=place.line,
            column=column,
            hint="Write it as: name expression TYPE bloom_filter(0.01) GRANULARITY 4.",
        )
    granularity = match["granularity"]
    return Index(
        name=match["name"].strip("`"),
        expression=" ".join(match["expression"].split()),
        type=" ".join(match["type"].split()),
        granularity=int(granularity) if granularity else None,
    )


class _Misread(Exception):
    def __init__(self, message: str, offset: int, hint: str = "") -> None:
        self.message, self.offset, self.hint = message, offset, hint
        super().__init__(message)

    def at(self, text: str, file: str, line: int) -> DatafileError:
        before = text[: self.offset]
        column = len(before) - (before.rfind("\n") + 1) + 1
        return DatafileError(self.message, file=file, line=line + before.count("\n"), column=column, hint=self.hint)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A character outside quotes; `depth` counts the brackets around it, an opening one excluded."""

    offset: int
    character: str
    depth: int


def _marks(text: str) -> Iterator[_Mark]:
    """Characters outside quotes; of a quoted text the opening quote. Raises for what is never closed."""
    opened: list[int] = []
    position = 0
    while position < len(text):
        character = text[position]
        if character in "'\"`":
            yield _Mark(position, character, len(opened))
            position = _end_of_quoted(text, position) + 1
            continue
        if character in _CLOSING:
            if not opened or text[opened[-1]] != _PAIRS[character]:
                raise _Misread(f"Unexpected '{character}'", position, "Check the brackets before it.")
            opened.pop()
        yield _Mark(position, character, len(opened))
        if character in _OPENING:
            opened.append(position)
        position += 1
    if opened:
        raise _Misread(f"The bracket '{text[opened[-1]]}' is never closed", opened[-1])


def _end_of_quoted(text: str, start: int) -> int:
    quote, position = text[start], start + 1
    while position < len(text):
        if text[position] == "\\" and quote != "`":
            position += 1
        elif text[position] == quote:
            return position
        position += 1
    raise _Misread(f"The quote {quote} is never closed", start)


def _without_comments(text: str) -> str:
    """The text with `--` comments blanked out, so that offsets stay what they were."""
    kept, position = [], 0
    while position < len(text):
        if text.startswith("--", position):
            end = text.find("\n", position)
            end = len(text) if end < 0 else end
            kept.append(" " * (end - position))
        elif text[position] in "'\"`":
            end = _end_of_quoted(text, position) + 1
            kept.append(text[position:end])
        else:
            end = position + 1
            kept.append(text[position])
        position = end
    return "".join(kept)


def _columns(code: str) -> list[tuple[str, int]]:
    """The pieces between the commas of the list, each with its offset."""
    commas = [mark.offset for mark in _marks(code) if mark.character == "," and mark.depth == 0]
    if not commas and not code.strip():
        return []
    pieces = []
    for begin, end in zip([0, *(comma + 1 for comma in commas)], [*commas, len(code)], strict=True):
        if not code[begin:end].strip():
            where = commas[-1] if end == len(code) else end
            raise _Misread("Expected a column, found nothing", where, "Remove the extra comma.")
        pieces.append((code[begin:end], begin))
    return pieces


def _is_inline_index(piece: str) -> bool:
    """`INDEX name …` among the columns: the official client leaves it out without a word, and so do we."""
    return piece.split()[0] == "INDEX" and len(piece.split()) > 3


@dataclass(slots=True)
class _Part:
    keyword: str
    start: int
    """Where the keyword starts, in the piece."""
    content: str


def _column(piece: str, start: int) -> Column:
    indent = len(piece) - len(piece.lstrip())
    match = _NAME.match(piece, indent)
    if match is None or piece[match.end() : match.end() + 1].strip():
        at = start + (indent if match is None else match.end())
        raise _Misread(f"Unexpected '{piece[at - start]}' in a column name", at, "Put an unusual name in backticks.")
    name = match[1] or match[2]
    try:
        parts = _parts(piece, match.end())
    except _Misread as misread:
        misread.offset += start
        raise
    return _assemble(name, parts, start)


def _parts(piece: str, begin: int) -> list[_Part]:
    """The piece after its name, cut where JSONPATH, DEFAULT, MATERIALIZED or CODEC start; type first."""
    cuts: list[tuple[str, int, int]] = [("TYPE", begin, begin)]
    for mark in _marks(piece):
        if mark.offset < begin or mark.depth or mark.offset == 0:
            continue
        if not piece[mark.offset - 1].isspace() and piece[mark.offset - 1] not in "`)":
            continue
        keyword, end = _keyword(piece, mark.offset, cuts)
        if keyword:
            cuts.append((keyword, mark.offset, end))
    ends = [cut[1] for cut in cuts[1:]] + [len(piece)]
    return [_Part(keyword, at, tidy(piece[after:end])) for (keyword, at, after), end in zip(cuts, ends, strict=True)]


def _keyword(piece: str, at: int, cuts: list[tuple[str, int, int]]) -> tuple[str, int]:
    """The keyword that starts a part at this offset and where its content begins, or an empty text."""
    if piece.startswith("`json:", at):
        return "JSONPATH", at
    match = _WORD.match(piece, at)
    word = match[0].upper() if match else ""
    end = match.end() if match else at
    opened, _, content = cuts[-1]
    in_expression = opened in ("DEFAULT", "MATERIALIZED")
    if in_expression and not _NON_BLANK.search(piece, content, at):
        return "", at  # the first word of an expression is never a keyword: `DEFAULT ttl + 1`
    if word == "CODEC" and _BRACKET.match(piece, end):
        return word, end
    if word in ("DEFAULT", "MATERIALIZED"):
        return word, end
    if in_expression:
        return "", at
    if word in _REFUSED and (opened != "TYPE" or _NON_BLANK.search(piece, content, at)):
        raise _Misread(f"{'NOT NULL' if word == 'NOT' else word} is not supported in a column", at, _REFUSED[word])
    return "", at


_ORDER = (
    "The order is: name, type, jsonpath, DEFAULT or MATERIALIZED, CODEC. Or a comma is missing between two columns."
)
_MAY_FOLLOW = {
    "TYPE": {"JSONPATH", "DEFAULT", "MATERIALIZED", "CODEC"},
    "JSONPATH": {"DEFAULT", "MATERIALIZED", "CODEC"},
    "DEFAULT": {"CODEC"},
    "MATERIALIZED": {"CODEC"},
    "CODEC": {"JSONPATH"},
}


def _assemble(name: str, parts: list[_Part], start: int) -> Column:
    found: dict[str, str] = {}
    for before, part in zip([None, *parts], parts, strict=False):
        if before is not None and (part.keyword in found or part.keyword not in _MAY_FOLLOW[before.keyword]):
            raise _Misread(f"Unexpected {part.keyword} after {before.keyword}", start + part.start, _ORDER)
        if part.keyword == "JSONPATH":
            part.content = _jsonpath(part, start)
        if part.keyword == "CODEC":
            _require_one_bracket(part, start)
        if not part.content and part.keyword != "TYPE":
            raise _Misread(f"{part.keyword} of column '{name}' is empty", start + part.start)
        found[part.keyword] = part.content
    if not found["TYPE"] and "DEFAULT" not in found and "MATERIALIZED" not in found:
        raise _Misread(f"Column '{name}' has no type", start + parts[0].start, "Write one such as String.")
    return _finished(name, found)


def _jsonpath(part: _Part, start: int) -> str:
    end = part.content.find("`", 1)
    rest = part.content[end + 1 :].strip()
    if rest:
        raise _Misread(f"Unexpected '{rest}' after the jsonpath", start + part.start + end + 1, _ORDER)
    return part.content[len("`json:") : end]


def _require_one_bracket(part: _Part, start: int) -> None:
    end = _closes_at(part.content)
    if end != len(part.content) - 1:
        rest = part.content[end + 1 :].strip()
        raise _Misread(f"Unexpected '{rest}' after CODEC", start + part.start, _ORDER)


def _finished(name: str, found: dict[str, str]) -> Column:
    kind = next((kind for kind in DefaultKind if kind in found), None)
    default = found[kind] if kind else None
    type_ = canonical_type_text(found["TYPE"])
    if type_.startswith("Nullable(") and kind is DefaultKind.DEFAULT and (default or "").upper() == "NULL":
        kind, default = None, None
    codec = found.get("CODEC")
    return Column(
        name=name,
        type=type_,
        jsonpath=found.get("JSONPATH"),
        default_kind=kind,
        default=default,
        codec=codec[1:-1].strip() if codec else None,
    )


def canonical_type_text(written: str) -> str:
    """The type as the official client sends it: `nullable(…)` capitalised, and moved inside an aggregate."""
    if written.lower().startswith("nullable("):
        written = "Nullable(" + written[len("nullable(") :]
    return _NULLABLE_AGGREGATE.sub(r"SimpleAggregateFunction(\1, Nullable(\2))", written)


def tidy(text: str) -> str:
    """Blanks and line ends outside quotes become one blank."""
    out, position = [], 0
    while position < len(text):
        if text[position] in "'\"`":
            end = _end_of_quoted(text, position) + 1
            out.append(text[position:end])
        elif text[position].isspace():
            end = position
            while end < len(text) and text[end].isspace():
                end += 1
            out.append(" ")
        else:
            end = position + 1
            out.append(text[position])
        position = end
    return "".join(out).strip()


def spaced_list(text: str) -> str:
    """A list as the official formatter writes it: each comma outside quotes is followed by one blank."""
    try:
        code = tidy(_without_comments(text))
    except _Misread:
        return text.strip()  # an open quote: the engine explains it when it reads the expression
    cut, out = 0, []
    for offset in _commas(code):
        out.append(code[cut:offset].strip())
        cut = offset + 1
    return ", ".join([*out, code[cut:].strip()])


def _commas(code: str) -> list[int]:
    commas, position = [], 0
    while position < len(code):
        if code[position] in "'\"`":
            position = _end_of_quoted(code, position)
        elif code[position] == ",":
            commas.append(position)
        position += 1
    return commas


def columns_of_list(text: str) -> list[str]:
    """The elements of a key such as `(user, toDate(ts))`, without the brackets around all of it."""
    inner = text.strip()
    if inner.startswith("(") and inner.endswith(")") and _closes_at(inner) == len(inner) - 1:
        inner = inner[1:-1]
    return [piece.strip() for piece, _ in split_list(inner)]


def _closes_at(text: str) -> int:
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return position
    return -1

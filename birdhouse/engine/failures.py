"""Turns the engine's error text, `Code: 47. DB::Exception: … (UNKNOWN_IDENTIFIER)`, into our errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from birdhouse.errors import (
    BirdhouseError,
    Busy,
    Cancelled,
    InvalidRows,
    MemoryLimit,
    PartialWrite,
    QueryTimeout,
    RowLimit,
    SqlError,
    StorageFull,
)

_CODE = re.compile(r"Code: (\d+)\. DB::Exception: ")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)\s*$")
_VERSION = re.compile(r" \(version [\d.]+\)\.?")
_INPUT_PLACE = re.compile(r"(: )?\(in file/uri [^)]*\)|: While executing .*: data for INSERT was parsed from file")

# The rest of the statement is ours, not the caller's: physical names, and SQL of pipes that it may not see.
_SCOPE = re.compile(r"\.? [Ii]n (?:scope|query) (?:WITH|SELECT)\b.*?(?=\. Maybe you meant|$)", re.DOTALL)
_DATABASE = re.compile(r"`?\w+`?\.(?=`?[tv]_[0-9a-f]{32})")

_VIEW_FAILED = re.compile(r": while pushing to view (?:\S+\.)?`?(\w+)`?")
_EXECUTED = re.compile(r": while executing (?:'FUNCTION .*?'|function .*?)(?=: while|\.?$)", re.DOTALL)
_NO_SPACE = ("No space left on device", "errno: 28")
_WHOLE_SERVER = "(total) memory limit exceeded"

_LIMITS: dict[str, type[BirdhouseError]] = {
    "TIMEOUT_EXCEEDED": QueryTimeout,
    "TOO_SLOW": QueryTimeout,
    "MEMORY_LIMIT_EXCEEDED": MemoryLimit,
    "TOO_MANY_ROWS": RowLimit,
    "TOO_MANY_BYTES": RowLimit,
    "TOO_MANY_ROWS_OR_BYTES": RowLimit,
    "QUERY_WAS_CANCELLED": Cancelled,
    "NOT_ENOUGH_SPACE": StorageFull,
    "TOO_MANY_SIMULTANEOUS_QUERIES": Busy,
}

_UNREADABLE_ROWS = {
    "ARGUMENT_OUT_OF_BOUND",
    "ATTEMPT_TO_READ_AFTER_EOF",
    "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    "CANNOT_READ_ALL_DATA",
    "DECIMAL_OVERFLOW",
    "INCORRECT_DATA",
    "INCORRECT_NUMBER_OF_COLUMNS",
    "TOO_LARGE_ARRAY_SIZE",
    "TOO_LARGE_STRING_SIZE",
    "TYPE_MISMATCH",
    "UNKNOWN_ELEMENT_OF_ENUM",
    "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    "VIOLATED_CONSTRAINT",
}

Translation = Callable[[str], BirdhouseError]


TELLING_CHARACTERS = 6
"""As many consecutive characters of a bound value in a message give it away."""


def discreet(translate: Translation, values: Iterable[str]) -> Translation:
    """The same translation, but a message that repeats a part of one of the bound values is left out."""

    def failure(text: str) -> BirdhouseError:
        error = translate(text)
        if any(_tells(f"{error.message} {error.detail}", value) for value in values):
            error.message, error.detail = "The statement failed on the value of a secret.", ""
        return error

    return failure


def _tells(text: str, value: str) -> bool:
    width = min(len(value), TELLING_CHARACTERS)
    return width > 2 and any(value[i : i + width] in text for i in range(len(value) - width + 1))


def statement_failure(text: str) -> BirdhouseError:
    """The error for a failed SELECT, DDL or INSERT … SELECT; PartialWrite when the rows were written before."""
    message, code, name = parts(text)
    if view := _VIEW_FAILED.search(message):
        return _view_failure(message, view[1])
    if _WHOLE_SERVER in text:
        return Busy("The server is out of memory.", detail=message, hint="Try again shortly.")
    if any(sign in text for sign in _NO_SPACE):
        return StorageFull(detail=message)
    if limit := _LIMITS.get(name):
        return limit(detail=message)
    return SqlError(message, code=code, name=name)


def insert_failure(text: str) -> BirdhouseError:
    """The error for a failed block of rows: it says whether the rows, a view or the server is to blame."""
    message, _, name = parts(text)
    if view := _VIEW_FAILED.search(message):
        return _view_failure(message, view[1])
    if name in _UNREADABLE_ROWS or name.startswith("CANNOT_PARSE_"):
        return InvalidRows(detail=_INPUT_PLACE.sub("", message))
    if name == "TOO_MANY_PARTS":
        return _too_many_parts(message)
    return statement_failure(text)


def _view_failure(message: str, view: str) -> PartialWrite:
    reason = without_place(_VIEW_FAILED.split(message)[0])
    return PartialWrite(detail=reason, hint="Repeat with the same token once the view works.", view=view)


def without_place(message: str) -> str:
    """The message without the function of the plan in which it came up."""
    return _EXECUTED.sub("", message).strip()


def _too_many_parts(message: str) -> BirdhouseError:
    """The engine has one code for a block over too many partitions and for a table that merges too slowly."""
    if "partitions for single INSERT block" not in message:
        return Busy(detail=message)
    fact = message.split("(", 1)[0].strip()
    return InvalidRows(
        "The rows belong to more partitions than one block may touch.",
        detail=fact,
        hint="Send smaller blocks, sorted by the partition key, or choose a coarser ENGINE_PARTITION_KEY.",
    )


def parts(text: str) -> tuple[str, int, str]:
    """Message, code and name; code 0 and no name when the text is not the engine's."""
    codes = list(_CODE.finditer(text))
    named = _NAME.search(text)
    if not codes:
        return text.strip(), 0, ""
    message = text[codes[-1].end() :]
    name = named.group(1) if named else ""
    message = _DATABASE.sub("", _VERSION.sub("", message))
    while name and (bare := re.sub(rf"\s*\({name}\)\.?\s*$", "", message)) != message:
        message = bare
    return _SCOPE.sub("", message).strip(), int(codes[0].group(1)), name

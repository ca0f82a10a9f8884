"""The only file that knows the parser library: every call of it, and its errors made ours."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from chtoolset import query as _library

from birdhouse.errors import SqlError
from birdhouse.language.sql.size import check_size

_PLACE = re.compile(r"failed at position (\d+)(?: \([^)]*\))?(?: \(line (\d+), col (\d+)\))?")
_RESTRICTED = re.compile(r"Usage of (function|setting) '?([^' ]+)'? is restricted")
_UNKNOWN_FUNCTION = re.compile(r"Unknown (?:table )?function (\S+?)\.?(?: Maybe you meant: \[(.*)\])?\.? Contact")
_EXPECTED = re.compile(r"(Expected one of: (?:[^,]+, ){4}[^,]+),.*$", re.DOTALL)
_ADVICE = re.compile(r"\s*\.?\s*Contact support@\S+.*$", re.DOTALL)

DICTIONARY_FUNCTIONS = [
    "dictGet",
    "dictGetAll",
    "dictGetOrDefault",
    "dictGetOrNull",
    "dictHas",
    "dictGetHierarchy",
    "dictIsIn",
    "dictGetChildren",
    "dictGetDescendants",
    *(
        f"dictGet{kind}{tail}"
        for tail in ("", "OrDefault")
        for kind in (
            *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)),
            *("Float32", "Float64", "Date", "DateTime", "UUID", "String", "IPv4", "IPv6"),
        )
    ),
]


def referenced_tables(
    sql: str, functions_allowed: Collection[str] = (), functions_denied: Collection[str] = ()
) -> list[tuple[str, str, str]]:
    """(database, table, table function) for everything that is read; one of the last two is empty, mostly."""
    check_size(sql)
    try:
        found: list[tuple[str, str, str]] = _library.tables(
            sql, function_allow_list=list(functions_allowed), function_deny_list=list(functions_denied)
        )
    except ValueError as failure:
        raise _sql_error(sql, failure) from failure
    return found


def replaced_tables(
    sql: str, replacements: Mapping[tuple[str, str], tuple[str, str]], functions_allowed: Collection[str] = ()
) -> str:
    check_size(sql)
    try:
        text: str = _library.replace_tables(
            sql, dict(replacements), one_line=True, function_allow_list=list(functions_allowed)
        )
    except ValueError as failure:
        raise _sql_error(sql, failure) from failure
    return text


def formatted(sql: str, *, one_line: bool) -> str:
    check_size(sql)
    try:
        text: str = _library.format(sql, one_line=one_line)
    except ValueError as failure:
        raise _sql_error(sql, failure) from failure
    return text


def statement_type(sql: str) -> str:
    check_size(sql)
    try:
        name: str = _library.query_get_type(sql)
    except ValueError as failure:
        raise _sql_error(sql, failure) from failure
    return name


def syntax_tree(sql: str) -> list[str]:
    """One line per node, indented by depth. The library does not escape line ends in identifiers.

    So a line below the first may be made up by the text; only the absence of a line is certain.
    """
    check_size(sql)
    try:
        tree: str = _library.explain_ast(sql)
    except ValueError as failure:
        raise _sql_error(sql, failure) from failure
    return tree.splitlines()


def _sql_error(sql: str, failure: ValueError) -> SqlError:
    text = str(failure).removeprefix("DB::Exception: ")
    if restricted := _RESTRICTED.search(text):
        return SqlError(f"The {restricted.group(1)} {restricted.group(2)} cannot be used in a query.")
    if "Can't replace" in text:
        name = text.rpartition("Can't replace ")[2].removesuffix(" with a subquery").strip("'")
        return SqlError(
            f"{name} cannot stand after IN by its name alone.", hint=f"Write IN (SELECT column FROM {name})."
        )
    if unknown := _UNKNOWN_FUNCTION.search(text):
        hint = f"Did you mean {unknown.group(2)}?" if unknown.group(2) else ""
        return SqlError(f"There is no function {unknown.group(1)}.", hint=hint)
    message = _EXPECTED.sub(r"\1, …", _PLACE.sub("", _ADVICE.sub("", text)).replace(": :", ":"))
    return SqlError(message.strip(), detail=_place(sql, text))


def _place(sql: str, text: str) -> str:
    """`(line 2, column 11)`; the parser names the line only when there are several."""
    found = _PLACE.search(text)
    if not found:
        return ""
    position, line, column = found.groups()
    if line:
        return f"(line {line}, column {column})"
    before = sql.encode(errors="replace")[: int(position) - 1].decode(errors="replace")
    return f"(line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))})"

"""Decides which statement of a client may run: one SELECT that only reads tables we can resolve.

Anything the parser cannot read is refused. What runs is the parser's own rendering of what it read, so that
the engine's newer parser never sees the client's text. The engine adds `readonly` and limits.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, takewhile

from birdhouse.errors import SqlError
from birdhouse.language.sql.parser import (
    DICTIONARY_FUNCTIONS,
    formatted,
    referenced_tables,
    statement_type,
    syntax_tree,
)
from birdhouse.language.sql.tables import GENERAL_TABLE_FUNCTIONS, TableRef

SYSTEM_TABLES_ALLOWED = frozenset({"functions", "numbers", "numbers_mt", "one"})

_SELECT = "SelectWithUnionQuery"
_PLAIN_ROOT = f"{_SELECT} (children 1)"
_FORMAT = re.compile(r"^(.*) FORMAT (\w+)$", re.DOTALL)
# Words without which the parser's rendering has no clause or node that is looked for in the tree.
_NEEDS_TREE = re.compile(r"SETTINGS|FORMAT|OUTFILE|Identifier|dict", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CheckedSelect:
    """`tables` are those to resolve, without harmless system tables. `format` is None if not stated."""

    sql: str
    tables: frozenset[TableRef]
    table_functions: frozenset[str]
    format: str | None


def check_select(sql: str, *, functions_allowed: Collection[str] = GENERAL_TABLE_FUNCTIONS) -> CheckedSelect:
    """Raises SqlError unless the text is one SELECT a client may run once its tables are replaced."""
    text, output_format = split_format(sql)
    # Asking for the type is another parse; what the parser writes with this word first is a SELECT.
    kind = _SELECT if text.startswith("SELECT ") else statement_type(sql)
    if kind != _SELECT:
        raise SqlError("Only SELECT statements can be run.", detail=f"(This is a {_in_words(kind)}.)")
    references = referenced_tables(text, functions_allowed, DICTIONARY_FUNCTIONS)
    if _NEEDS_TREE.search(text):
        _check_tree(text)
    for database, name, function in references:
        _check_reference(database, name, function, functions_allowed)
    return CheckedSelect(
        sql=text,
        tables=frozenset(TableRef(database, name) for database, name, _ in references if name and database != "system"),
        table_functions=frozenset(function for _, _, function in references if function),
        format=output_format,
    )


def selects_parameter(sql: str) -> bool:
    """Whether a SELECT, or one inside it, gives a query parameter as a column of its result.

    A parameter that is only used for one, as in decrypt(), does not count.
    """
    return any(
        part.text.startswith("QueryParameter ")
        for select in _all(_tree(sql))
        if select.text.startswith("SelectQuery ")
        for part in _result(select)
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A node of the syntax tree and what is below it."""

    text: str
    parts: list[_Part]


def _tree(sql: str) -> list[_Part]:
    path = [_Part("", [])]
    for line in syntax_tree(sql):
        text = line.lstrip()
        del path[len(line) - len(text) + 1 :]
        path[-1].parts.append(part := _Part(text, []))
        path.append(part)
    return path[0].parts


def _all(parts: Iterable[_Part]) -> Iterator[_Part]:
    for part in parts:
        yield part
        yield from _all(part.parts)


def _result(select: _Part) -> Iterator[_Part]:
    """The columns of a SELECT: its last list before FROM, a WITH being in front of it; casts are looked through."""
    lists = list(takewhile(lambda part: part.text.startswith("ExpressionList "), select.parts))
    has_from = len(lists) < len(select.parts) and select.parts[len(lists)].text.startswith("TablesInSelectQuery ")
    for part in chain.from_iterable(each.parts for each in (lists[-1:] if has_from else lists)):
        is_cast = part.text.startswith(("Function CAST ", "Function toString "))
        yield from part.parts[0].parts[:1] if is_cast and part.parts else (part,)


def check_expression(text: str) -> str:
    """An expression, or several with commas, that reads no table: a key, a default, a TTL, a condition.

    Returns the parser's own rendering of it, which is what may be put into a statement. Raises SqlError.
    """
    checked = check_select(f"SELECT {text}", functions_allowed=())
    rendered = checked.sql.removeprefix("SELECT ")
    if checked.tables or checked.table_functions or checked.format is not None or " FROM " in f" {rendered} ":
        raise SqlError(f"'{text}' is not an expression over the columns of one table")
    return rendered


def split_format(sql: str) -> tuple[str, str | None]:
    """The SQL on one line without its FORMAT clause, and the format it names."""
    text = formatted(sql, one_line=True)
    clause = _FORMAT.match(text)
    if clause is None or syntax_tree(text)[0] == _PLAIN_ROOT:
        return text, None
    return clause.group(1), clause.group(2)


def _check_tree(text: str) -> None:
    """Looks for what the library does not report. A line made up by the text can only lead to a refusal."""
    root, *lines = syntax_tree(text)
    nodes = [line.strip() for line in lines]
    if any(node == "Set" for node in nodes):
        raise SqlError("SETTINGS cannot be used in a query.")
    if root != _PLAIN_ROOT:
        raise SqlError("INTO OUTFILE and FORMAT cannot be used here.")
    if any(node.startswith("QueryParameter ") and node.endswith(":Identifier") for node in nodes):
        raise SqlError("A query parameter cannot stand for a table or column.")
    if any(node.startswith("Function dict") for node in nodes):
        raise SqlError("Dictionaries cannot be read in a query.")


def _check_reference(database: str, name: str, function: str, functions_allowed: Collection[str]) -> None:
    if function and name:
        raise SqlError(f"The table function {function} cannot read a table.")
    if function and function not in functions_allowed:
        raise SqlError(f"The table function {function} cannot be used in a query.")
    if database == "system" and name not in SYSTEM_TABLES_ALLOWED:
        raise SqlError(f"The table system.{name} cannot be read.")


def _in_words(kind: str) -> str:
    """`CreateQuery` → `CREATE statement`."""
    words = re.findall(r"[A-Z][a-z]*", kind.removesuffix("Query"))
    return " ".join(word.upper() for word in words) + " statement"

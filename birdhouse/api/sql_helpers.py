"""`/v0/sql_tables`, `/v0/sql_replace` and `/v0/sql_format`: parse SQL for clients that cannot.

One push of a project asks hundreds of times, so they parse and do nothing else.
"""

from __future__ import annotations

import re

import orjson
from starlette.responses import Response

from birdhouse.api.call import TRUE_WORDS, Call, required
from birdhouse.api.responses import json_response
from birdhouse.errors import InvalidParameter, SqlError
from birdhouse.language.sql.format import format_sql
from birdhouse.language.sql.rewrite import Replacement, replace_tables
from birdhouse.language.sql.tables import COPY_TABLE_FUNCTIONS, GENERAL_TABLE_FUNCTIONS, table_functions, tables

_TABLE_NAME = re.compile(r"(?:(\w+)\.)?(\w+)", re.ASCII)


async def used_tables(call: Call) -> Response:
    """`[database, name]` of each table that `q` reads, the database empty where it names none.

    `is_copy` lets it read outside sources, such as url(). `table_functions` adds entries `["", "", function]`.
    What cannot be parsed reads nothing, unless it is `raising`.
    """
    values = await call.form()
    sql = required(values.get("q"), "q")
    allowed = COPY_TABLE_FUNCTIONS if _is_true(values, "is_copy") else GENERAL_TABLE_FUNCTIONS
    found: list[list[str]] = []
    try:
        found += ([each.database, each.name] for each in sorted(tables(sql, functions_allowed=allowed)))
        if _is_true(values, "table_functions"):
            found += (["", "", each] for each in sorted(table_functions(sql, functions_allowed=allowed)))
    except SqlError:
        if _is_true(values, "raising"):
            raise
    return json_response({"tables": found})


async def replaced(call: Call) -> Response:
    """`q` on one line with the tables of `replacements`, a JSON object of names to names or SELECTs, replaced."""
    values = await call.form()
    sql = required(values.get("q"), "q")
    return json_response({"query": replace_tables(sql, _replacements(values.get("replacements") or "{}"))})


async def formatted(call: Call) -> Response:
    """`q` laid out for reading, or with `with_clickhouse_format` on one line."""
    sql = required(call.text("q"), "q")
    return json_response({"q": format_sql(sql, one_line=call.flag("with_clickhouse_format"))})


def _is_true(values: dict[str, str], name: str) -> bool:
    return values.get(name, "").lower() in TRUE_WORDS


def _replacements(text: str) -> dict[tuple[str, str], Replacement]:
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidParameter("'replacements' is not valid JSON", detail=f"({error})") from error
    if not isinstance(content, dict) or not all(isinstance(target, str) for target in content.values()):
        raise InvalidParameter("'replacements' must be a JSON object of names", hint='Write {"old": "new"}.')
    return {_pair(name): _target(target) for name, target in content.items()}


def _pair(name: str) -> tuple[str, str]:
    database, _, table = name.rpartition(".")
    return database, table


def _target(target: str) -> Replacement:
    """A name stays a name; anything else is the SQL of a subquery."""
    named = _TABLE_NAME.fullmatch(target)
    return (named[1] or "", named[2]) if named else target

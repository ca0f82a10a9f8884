"""Turns a node into one SELECT over physical tables: renders templates and inlines nodes and pipes as subqueries."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from secrets import token_hex

from birdhouse.catalog.resources import QUARANTINE_SUFFIX, DataSource, Pipe
from birdhouse.catalog.workspace import MAIN_DATABASE, SERVICE_DATABASE, Workspace
from birdhouse.engine.types import TableName
from birdhouse.errors import BirdhouseError, MissingScope, SqlError, TemplateError
from birdhouse.language.datafile.model import Node
from birdhouse.language.sql.rewrite import FilteredTable, Replacement, replace_tables, with_filters
from birdhouse.language.sql.statements import CheckedSelect, check_select
from birdhouse.language.sql.tables import GENERAL_TABLE_FUNCTIONS, TableRef
from birdhouse.language.template import Hints, Rendered, Slots, is_template, parse_template, render, template_body
from birdhouse.usage.reading import ORGANIZATION_DATABASE, rows_of_organization, rows_of_workspace

DEPTH_MAX = 64
"""How deep nodes and pipes may be nested. Cycles are refused at push; this bounds what templates choose later."""

CHECKED_KEPT = 2048
CHECKED_LENGTH_MAX = 8192
"""How many texts, and how long ones, are remembered with what the parser found in them.

A node without a template has the same text in each call.
"""

REPLACED_KEPT = 1024
"""How many texts are remembered with their tables replaced.

They have slots in the place of values, or none at all: each push checks the same pipes with those that read them.
"""

FILLED_LENGTH_MAX = 65_536
"""Longer SQL is composed as it is: then the parser sees that it is not too long."""

_FINAL = re.compile(r"\bFINAL\b", re.IGNORECASE)

RESULT_OF_PIPE = "_"
"""What `q` and `pipeline` call the result of the pipe they are about."""


@dataclass(frozen=True, slots=True)
class Composed:
    """`sql` is one SELECT over physical tables; `query_parameters` travel beside it."""

    sql: str
    query_parameters: Mapping[str, str] = field(default_factory=dict)
    max_threads: int | None = None
    is_repeatable: bool = True
    """Whether the same request gives the same SQL later."""


class Composer:
    """Composes for one request: one workspace, one set of parameters, one set of row filters.

    `filters` are conditions by resource name; every use of such a data source or pipe, however deep, becomes a
    filtered subquery. `secrets` are those that a SELECT from outside may use; nodes use the workspace's.
    `table_functions` are those that its nodes may use. `check` renders templates with stand-ins for missing values,
    as a push does. With `slots` the composed SQL still has to be filled. `stand_ins` are put in place of nodes, by the
    names of pipe and node. `main` is the workspace whose data sources a SELECT from outside reads as `main.NAME`.
    """

    def __init__(
        self,
        workspace: Workspace,
        parameters: Mapping[str, str],
        *,
        services: Workspace | None = None,
        filters: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        table_functions: frozenset[str] = GENERAL_TABLE_FUNCTIONS,
        check: bool = False,
        slots: Slots | None = None,
        stand_ins: Mapping[tuple[str, str], str] | None = None,
        main: Workspace | None = None,
    ) -> None:
        self._workspace = workspace
        self._services = services
        self._main = main
        self._parameters = parameters
        self._filters = filters or {}
        self._secrets = secrets or {}
        self._table_functions = table_functions
        self._check = check
        self._slots = slots
        self._done: dict[tuple[str, str], str] = dict(stand_ins or {})
        self._open: list[tuple[str, str]] = []
        self._query_parameters: dict[str, str] = {}
        self._salt = ""
        self._max_threads: int | None = None
        self._depends_on_time = False

    def pipe(self, pipe: Pipe) -> Composed:
        return self._composed(self._result(pipe))

    def node(self, pipe: Pipe, node: Node) -> Composed:
        return self._composed(self._node(pipe, node))

    def select(self, sql: str, *, result_of: Pipe | None = None) -> Composed:
        """A SELECT from outside the workspace. `_` in it stands for the result of the pipe `result_of`."""
        return self._composed(self._resolve(self.rendered(sql), result_of, result_of))

    def rendered(self, sql: str) -> str:
        return self._render(sql, self._secrets)

    def _composed(self, sql: str) -> Composed:
        return Composed(sql, self._query_parameters, self._max_threads, not self._depends_on_time)

    def _node(self, pipe: Pipe, node: Node) -> str:
        key = (pipe.name, node.name)
        if key in self._done:
            return self._done[key]
        if key in self._open or len(self._open) >= DEPTH_MAX:
            path = " -> ".join(f"{a}.{b}" for a, b in (*self._open, key))
            raise SqlError(f"Circular or too deep reference: {path}")
        self._open.append(key)
        try:
            sql = self._resolve(self._render(node.sql, self._workspace.variables), pipe, None)
        except (TemplateError, SqlError) as error:
            raise _placed(error, pipe, node) from error
        finally:
            self._open.pop()
        self._done[key] = sql
        return sql

    def _render(self, sql: str, secrets: Mapping[str, str]) -> str:
        if not is_template(sql):
            return sql
        template = parse_template(template_body(sql))
        rendered = render(template, self._parameters, secrets=secrets, check=self._check, slots=self._slots)
        if rendered.missing_secrets:
            raise _missing_secret(min(rendered.missing_secrets))
        self._depends_on_time |= "job_timestamp" in template.names - self._parameters.keys()
        self._follow(rendered.hints)
        return self._with_secrets(rendered) if rendered.query_parameters else rendered.sql

    def _with_secrets(self, rendered: Rendered) -> str:
        """Under names that nobody can guess: who writes `{name: String}` beside a pipe gets nothing of its secret."""
        self._salt = self._salt or token_hex(8)
        sql = rendered.sql
        for name, value in rendered.query_parameters.items():
            bound = f"{name}_{self._salt}"
            sql = sql.replace(f"{{{name}: String}}", f"{{{bound}: String}}")
            self._query_parameters[bound] = value
        return sql

    def _follow(self, hints: Hints) -> None:
        if hints.max_threads is not None:
            self._max_threads = hints.max_threads

    def _resolve(self, sql: str, pipe: Pipe | None, result_of: Pipe | None) -> str:
        """Every text is checked as rendered: values of a request may stand where names do."""
        check = _remembered if len(sql) <= CHECKED_LENGTH_MAX else _checked
        checked = check(sql, self._table_functions)
        filtered: dict[str, FilteredTable] = {}
        replacements: dict[tuple[str, str], Replacement] = {}
        for ref in checked.tables:
            replacement = self._replacement(ref, pipe, result_of)
            if isinstance(replacement, TableName):
                replacements[ref.database, ref.name] = (replacement.database, replacement.table)
            elif isinstance(replacement, FilteredTable) and _FINAL.search(checked.sql):
                stand_in = f"filtered_{token_hex(16)}"
                replacements[ref.database, ref.name] = ("", stand_in)
                filtered[stand_in] = replacement
            elif isinstance(replacement, FilteredTable):
                replacements[ref.database, ref.name] = replacement.select
            else:
                replacements[ref.database, ref.name] = replacement
        if filtered:
            composed = replace_tables(checked.sql, replacements, functions_allowed=self._table_functions)
            return with_filters(composed, filtered)
        if self._slots is None and not (self._check and len(sql) <= CHECKED_LENGTH_MAX):
            return replace_tables(checked.sql, replacements, functions_allowed=self._table_functions)
        return _remembered_replaced(checked.sql, tuple(replacements.items()), self._table_functions)

    def _replacement(self, ref: TableRef, pipe: Pipe | None, result_of: Pipe | None) -> TableName | FilteredTable | str:
        """A physical table or the text of a subquery."""
        if ref.database == SERVICE_DATABASE:
            return rows_of_workspace(self._services, ref.name, self._workspace.id)
        if ref.database == ORGANIZATION_DATABASE:
            return self._organization(ref.name, is_node=pipe is not None and result_of is None)
        if ref.database == MAIN_DATABASE and self._main is not None and pipe is None:
            return self._main.datasource(ref.name).table
        name = f"{ref.database}.{ref.name}" if ref.database else ref.name
        if result_of is not None and name == RESULT_OF_PIPE:
            return self._result(result_of)
        if pipe is not None and (node := pipe.definition.node(name)) is not None:
            return self._node(pipe, node) if result_of is None else self._node_for_caller(pipe, node)
        return self._resource(name)

    def _resource(self, name: str) -> TableName | FilteredTable | str:
        found = self._workspace.resources.get(name)
        if isinstance(found, Pipe):
            return self._result(found)
        if isinstance(found, DataSource):
            condition = self._filters.get(name)
            return found.table if condition is None else FilteredTable(name, str(found.table), condition)
        quarantine = self._workspace.quarantine_of(name)
        if quarantine is not None:
            self._refuse_filtered(name.removesuffix(QUARANTINE_SUFFIX), "its quarantine")
            return quarantine
        shared = self._workspace.shared.get(name)
        if shared is not None:
            return shared.table
        raise self._unknown(name)

    def _result(self, pipe: Pipe) -> str:
        sql = self._node(pipe, pipe.output)
        condition = self._filters.get(pipe.name)
        return sql if condition is None else f"SELECT * FROM (\n{sql}\n) WHERE {condition}"

    def _node_for_caller(self, pipe: Pipe, node: Node) -> str:
        """The condition on a pipe is about its result: other nodes may have none of the columns it names."""
        if node.name == pipe.output.name:
            return self._result(pipe)
        self._refuse_filtered(pipe.name, f"its node '{node.name}'")
        return self._node(pipe, node)

    def _refuse_filtered(self, name: str, part: str) -> None:
        if name in self._filters:
            raise MissingScope(
                f"The token may read some rows of '{name}' only, and {part} cannot be limited to those.",
                hint=f"It needs a scope on '{name}' without a filter.",
            )

    def _organization(self, name: str, *, is_node: bool) -> str:
        """Only what a caller wrote may read it: a pipe would pass it on to whoever may read the pipe."""
        if is_node:
            raise SqlError(
                f"'{ORGANIZATION_DATABASE}.{name}' cannot be read in a pipe",
                hint=f"Ask for it with /v0/sql, or read '{SERVICE_DATABASE}.{name}'.",
            )
        return rows_of_organization(self._services, name)

    def _unknown(self, name: str) -> SqlError:
        hint = self._workspace.hint_for_unknown(name)
        return SqlError(f"Resource '{name}' not found", code=60, name="UNKNOWN_TABLE", hint=hint)


def _checked(sql: str, table_functions: frozenset[str]) -> CheckedSelect:
    return check_select(sql, functions_allowed=table_functions)


_remembered = lru_cache(maxsize=CHECKED_KEPT)(_checked)


@lru_cache(maxsize=REPLACED_KEPT)
def _remembered_replaced(
    sql: str, replacements: tuple[tuple[tuple[str, str], Replacement], ...], table_functions: frozenset[str]
) -> str:
    return replace_tables(sql, dict(replacements), functions_allowed=table_functions)


def compose(work: Callable[[Slots | None], Composed]) -> Composed:
    """What `work` composes with the slots it is given, filled. Where that does not do, it is given none.

    So calls that differ in values alone share all the parser's work. What is wrong with a query is told from its own
    text, without slots.
    """
    slots = Slots()
    with suppress(BirdhouseError):
        composed = work(slots)
        sql = slots.fill(composed.sql)
        if sql is not None and len(sql) <= FILLED_LENGTH_MAX:
            return replace(composed, sql=sql)
    return work(None)


def _missing_secret(name: str) -> TemplateError:
    return TemplateError(
        f"Cannot access secret '{name}': the workspace has none of that name.",
        hint=f"Set it with POST /v0/variables (name={name}, value=…), or give a default: tb_secret('{name}', '…').",
    )


def _placed(error: TemplateError | SqlError, pipe: Pipe, node: Node) -> BirdhouseError:
    """The same error, saying in which node it is; the innermost node wins."""
    if "in node " in error.detail:
        return error
    place = error.detail.removeprefix("(").removesuffix(")")
    error.detail = f"(in node '{node.name}' of pipe '{pipe.name}'{f', {place}' if place else ''})"
    return error

"""Runs what a request asks for: parameters, render, compose, limits, engine, format."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import orjson

from birdhouse.access.check import Grants, require
from birdhouse.catalog.resources import QUARANTINE_SUFFIX, DataSource, Pipe
from birdhouse.catalog.workspace import MAIN_DATABASE, SERVICE_DATABASE, Workspace
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Limits, Query
from birdhouse.errors import MissingScope, NotFound, SqlError, TooLarge
from birdhouse.language.datafile.model import NodeKind
from birdhouse.language.sql.statements import SYSTEM_TABLES_ALLOWED, split_format
from birdhouse.language.sql.tables import tables
from birdhouse.language.template import Slots
from birdhouse.query.answer import Answer, StreamedAnswer
from birdhouse.query.compose import RESULT_OF_PIPE, Composed, Composer, compose
from birdhouse.query.filters import row_filters
from birdhouse.query.formats import Format, endpoint_format, sql_format
from birdhouse.query.locate import located
from birdhouse.query.prometheus import PROMETHEUS, as_gauges
from birdhouse.usage.reading import ORGANIZATION_DATABASE

COMPOSED_KEPT = 2048
"""How many composed queries are remembered. Their text follows from the request and the workspace's version."""

OUTPUT_SETTINGS = (
    "output_format_json_quote_64bit_integers",
    "output_format_json_quote_denormals",
    "output_format_parquet_string_as_string",
)
"""Request options that are settings of the engine. Their value is 0 or 1."""

SQL_METRICS = "query"
"""What the metrics of a query are named after that is about no pipe."""

Placed = Callable[[SqlError], Awaitable[SqlError]]
"""Gives an error the node it comes from."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller may ask beside the pipe or the SQL.

    `parameters` are the template's; repeated ones are joined with commas. `q` is SQL over the result, named `_`.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    q: str | None = None
    explain: bool = False
    settings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadableSelect:
    """A SELECT of a caller who may read all it names; rendered, and not yet composed.

    `parameters` are those of the pipes it reads, `filters` the row filters of the caller's token.
    """

    sql: str
    parameters: Mapping[str, str]
    filters: Mapping[str, str]


class QueryRunner:
    """`services` gives the workspace that holds the service data sources."""

    def __init__(self, engine: Engine, services: Callable[[], Workspace | None], *, sql_bytes_max: int) -> None:
        self._engine = engine
        self._services = services
        self._sql_bytes_max = sql_bytes_max
        self._composed: OrderedDict[object, Composed] = OrderedDict()

    async def endpoint(
        self, workspace: Workspace, grants: Grants, name: str, extension: str, request: Request
    ) -> Answer | StreamedAnswer:
        """The result of a published pipe. Raises NotFound for one that is not an endpoint."""
        pipe = workspace.pipe(name)
        allowed = require(grants.may_read_pipe(pipe))
        if pipe.kind is not NodeKind.ENDPOINT:
            raise NotFound(f"The pipe '{pipe.name}' does not have an endpoint yet", hint="Publish one of its nodes.")
        fixed, q = allowed.fixed_params, None
        if request.q is not None:
            # Before anything remembered is used: what one token may read says nothing about another.
            q, _ = split_format(self._limited(request.q))
            fixed = _merged(fixed, self._require_reads(workspace, grants, q, pipe))
        parameters = {**request.parameters, **fixed} if fixed else request.parameters
        composed = self._endpoint_sql(workspace, grants, pipe, parameters, q)
        return await self._run(workspace, composed, endpoint_format(extension), request, pipe)

    async def sql(
        self, workspace: Workspace, grants: Grants, request: Request, *, pipeline: str | None = None
    ) -> Answer | StreamedAnswer:
        """The result of `request.q`, a SELECT that may end with FORMAT. `pipeline` is the pipe that `_` stands for."""
        result_of = workspace.pipe(pipeline) if pipeline else None
        parameters = dict(request.parameters)
        composer = Composer(
            workspace,
            parameters,
            services=self._services(),
            filters=row_filters(workspace, grants),
            secrets=workspace.variables if grants.is_admin else None,
        )
        text, format_name = split_format(composer.rendered(self._limited(request.q or "")))
        parameters |= self._require_reads(workspace, grants, text, result_of)
        composed = composer.select(text, result_of=result_of)
        return await self._run(workspace, composed, sql_format(format_name), request, result_of)

    def readable(
        self, workspace: Workspace, grants: Grants, request: Request, *, main: Workspace | None = None
    ) -> ReadableSelect:
        """`request.q` for a job that runs it later. Raises what running it now would, as far as that can be told.

        In a branch of `main`, its admin may read `main.NAME`.
        """
        filters = row_filters(workspace, grants)
        composer = Composer(workspace, request.parameters, services=self._services(), filters=filters)
        text, format_name = split_format(composer.rendered(self._limited(request.q or "")))
        if format_name is not None:
            raise SqlError("FORMAT cannot be used here.")
        parameters = {**request.parameters, **self._require_reads(workspace, grants, text, None, main)}
        Composer(workspace, parameters, services=self._services(), filters=filters, main=main).select(text)
        return ReadableSelect(text, parameters, filters)

    def _limited(self, sql: str) -> str:
        size_bytes = len(sql.encode())
        if size_bytes > self._sql_bytes_max:
            raise TooLarge(f"The query has {size_bytes} bytes; the limit is {self._sql_bytes_max}")
        return sql

    def require_condition(self, workspace: Workspace, grants: Grants, condition: str) -> None:
        """A condition on rows may look into other tables; then its token must be one that may read them."""
        self._require_reads(workspace, grants, f"SELECT ({condition}\n)", None)

    def _require_reads(
        self,
        workspace: Workspace,
        grants: Grants,
        sql: str,
        result_of: Pipe | None,
        main: Workspace | None = None,
    ) -> Mapping[str, str]:
        """Every table the caller wrote must be one its token may read. What pipes read below is theirs.

        Answers the parameters that the token fixes for those pipes.
        """
        fixed: Mapping[str, str] = {}
        for ref in tables(sql):
            name = f"{ref.database}.{ref.name}" if ref.database else ref.name
            if ref.database == SERVICE_DATABASE:
                require(grants.may_read_all())
            elif ref.database == ORGANIZATION_DATABASE:
                require(grants.may_read_organization())
            elif ref.database == MAIN_DATABASE and main is not None:
                require(grants.may_administer())
            elif ref.database == "system" and ref.name in SYSTEM_TABLES_ALLOWED:
                continue
            elif result_of is not None and (name == RESULT_OF_PIPE or result_of.definition.node(name)):
                fixed = _merged(fixed, require(grants.may_read_pipe(result_of)).fixed_params)
            else:
                fixed = _merged(fixed, self._require_read(workspace, grants, name))
        return fixed

    def _require_read(self, workspace: Workspace, grants: Grants, name: str) -> Mapping[str, str]:
        found = workspace.resources.get(name)
        if found is None and workspace.quarantine_of(name) is not None:
            found = workspace.resources.get(name.removesuffix(QUARANTINE_SUFFIX))
        if isinstance(found, Pipe):
            return require(grants.may_read_pipe(found)).fixed_params
        if isinstance(found, DataSource):
            require(grants.may_read_datasource(found))
        elif name in workspace.shared:
            # A scope on a data source is about one of this workspace, which may have the same name.
            require(grants.may_read_all())
        return {}

    def _endpoint_sql(
        self, workspace: Workspace, grants: Grants, pipe: Pipe, parameters: Mapping[str, str], q: str | None
    ) -> Composed:
        filters = row_filters(workspace, grants)
        key = (
            workspace.id, workspace.version, pipe.id, q,
            tuple(sorted(parameters.items())), tuple(sorted(filters.items())),
        )  # fmt: skip
        composed = self._composed.get(key)
        if composed is not None:
            self._composed.move_to_end(key)
            return composed

        def work(slots: Slots | None) -> Composed:
            composer = Composer(workspace, parameters, services=self._services(), filters=filters, slots=slots)
            return composer.pipe(pipe) if q is None else composer.select(q, result_of=pipe)

        composed = compose(work)
        if composed.is_repeatable:
            self._composed[key] = composed
        if len(self._composed) > COMPOSED_KEPT:
            self._composed.popitem(last=False)
        return composed

    async def _run(
        self, workspace: Workspace, composed: Composed, form: Format, request: Request, pipe: Pipe | None
    ) -> Answer | StreamedAnswer:
        sql = f"EXPLAIN {composed.sql}" if request.explain else composed.sql
        limits = Limits(threads=composed.max_threads)
        query = Query(sql, form.engine, composed.query_parameters, limits, request.settings)
        placed = partial(located, self._engine, workspace, pipe, request.parameters, self._services)
        if form.is_streamed and not request.explain:
            return StreamedAnswer(form, self._streamed(query, placed))
        try:
            if form.engine == PROMETHEUS and not request.explain:
                columns = await self._columns(query)
                query = replace(query, sql=as_gauges(query.sql, columns, pipe.name if pipe else SQL_METRICS))
            result = await self._engine.select(query)
        except SqlError as error:
            raise await placed(error) from error
        return Answer(form, result.body, result.statistics)

    async def _columns(self, query: Query) -> list[tuple[str, str]]:
        """Name and type of each, by the engine's analysis."""
        described = replace(query, sql=f"DESCRIBE TABLE (\n{query.sql}\n)", format="JSONCompactEachRow")
        rows = map(orjson.loads, (await self._engine.select(described)).body.splitlines())
        return [(name, type) for name, type, *_ in rows]

    @asynccontextmanager
    async def _streamed(self, query: Query, placed: Placed) -> AsyncIterator[AsyncIterator[bytes]]:
        try:
            async with self._engine.stream(query) as chunks:
                yield chunks
        except SqlError as error:
            raise await placed(error) from error


def _merged(fixed: Mapping[str, str], others: Mapping[str, str]) -> Mapping[str, str]:
    """Raises MissingScope where two pipes of one query are fixed to different values: it has one set of parameters."""
    for name, value in others.items():
        if fixed.get(name, value) != value:
            raise MissingScope(
                f"The token fixes the parameter '{name}' to different values for the pipes of this query.",
                hint="Read them in separate queries.",
            )
    return {**fixed, **others} if others else fixed

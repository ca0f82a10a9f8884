"""Asks the engine whether a draft would work, on empty copies of the tables that are new or changed."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from birdhouse.catalog import lineage
from birdhouse.catalog.resources import QUARANTINE_SUFFIX, DataSource, Pipe
from birdhouse.catalog.workspace import SERVICE_DATABASE, Workspace
from birdhouse.deploy import ddl
from birdhouse.deploy.apply import create_quarantine
from birdhouse.deploy.draft import Draft, line_of, with_datasource
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query, quote_identifier, quote_string
from birdhouse.errors import BirdhouseError, DatafileError, SqlError
from birdhouse.jobs.copy import shard_of
from birdhouse.language.datafile.format import format_datasource
from birdhouse.language.datafile.model import (
    Column,
    DataSourceDefinition,
    Node,
    NodeKind,
    PipeDefinition,
    TableEngine,
)
from birdhouse.language.datafile.run_options import run_options
from birdhouse.language.sql.tables import COPY_TABLE_FUNCTIONS, GENERAL_TABLE_FUNCTIONS, table_functions
from birdhouse.query.compose import Composer
from birdhouse.query.locate import in_known_names, line_of_word

SCRATCH_PREFIX = "scratch_"


@dataclass(frozen=True, slots=True)
class ResultColumn:
    name: str
    type: str


class DraftCheck:
    """Checks one draft. `draft` grows by the data sources that its materialized nodes create."""

    def __init__(self, engine: Engine, services: Workspace | None, draft: Draft, now: datetime) -> None:
        self._engine = engine
        self._services = services
        self._now = now
        self._database = f"{SCRATCH_PREFIX}{secrets.token_hex(8)}"
        self.draft = draft
        self._scratch = draft.after
        self._read_names: set[str] = set()
        self.problems: list[BirdhouseError] = []

    async def run(self, *, ignore_sql_errors: bool = False) -> None:
        self._read_names = {name for pipe in self._affected() for name in lineage.sources(pipe.definition)}
        async with self._scratch_database():
            for name in self.draft.changed:
                resource = self.draft.after.resources[name]
                if isinstance(resource, DataSource):
                    await self._table(resource)
            for definition in lineage.order(pipe.definition for pipe in self._affected()):
                await self._pipe(definition, ignore_sql_errors)

    @asynccontextmanager
    async def _scratch_database(self) -> AsyncIterator[None]:
        await self._engine.execute(ddl.create_database(self._database))
        try:
            yield
        finally:
            await self._engine.execute(ddl.drop_database(self._database))

    async def _table(self, datasource: DataSource) -> None:
        scratch = replace(datasource, database=self._database)
        definition = datasource.definition
        try:
            await self._engine.execute(
                ddl.create_table(
                    scratch.table, definition.columns, definition.engine, definition.indexes, durable=False
                )
            )
        except BirdhouseError as error:
            self.problems.append(_in_datasource(error, datasource, self.draft))
            return
        if f"{datasource.name}{QUARANTINE_SUFFIX}" in self._read_names:
            await self._engine.execute(create_quarantine(scratch))
        self._scratch = self._scratch.with_changes([scratch])

    def _affected(self) -> list[Pipe]:
        """Changed pipes, and those that read something that changed."""
        names: dict[str, Pipe] = {}
        for name in self.draft.changed:
            resource = self.draft.after.resources[name]
            if isinstance(resource, Pipe):
                names[name] = resource
            if not self.draft.is_new(name):
                names |= {pipe.name: pipe for pipe in lineage.dependents(self.draft.after, name)}
        return list(names.values())

    async def _pipe(self, definition: PipeDefinition, ignore_sql_errors: bool) -> None:
        pipe = self._scratch.pipe(definition.resource_name)
        for node in definition.nodes:
            try:
                columns = await self._describe(pipe, node)
            except BirdhouseError as error:
                if not ignore_sql_errors:
                    self.problems.append(_in_node(error, pipe, node, self.draft))
                return
            if columns is None:
                continue
            if node.kind is NodeKind.MATERIALIZED and not self._reads_services(pipe, node):
                await self._materialized(pipe, node, columns)
            elif node.kind is NodeKind.COPY:
                self._target(pipe, node.target_datasource or "", columns)
                await self._shard_key(pipe, node, columns)

    async def _describe(self, pipe: Pipe, node: Node) -> list[ResultColumn] | None:
        """The columns a node gives, without running it; None when only another server could tell."""
        composer = Composer(
            self._scratch,
            {},
            services=self._services,
            table_functions=COPY_TABLE_FUNCTIONS if pipe.kind is NodeKind.COPY else GENERAL_TABLE_FUNCTIONS,
            check=True,
        )
        sql = composer.node(pipe, node).sql
        if pipe.kind is NodeKind.COPY and table_functions(sql) - GENERAL_TABLE_FUNCTIONS:
            return None
        return await describe(self._engine, sql)

    def _reads_services(self, pipe: Pipe, node: Node) -> bool:
        """Refuses a view that would never run."""
        names = lineage.read_by_node(self._scratch, pipe, node)
        read = sorted(name for name in names if name.startswith(f"{SERVICE_DATABASE}."))
        if read:
            error = SqlError(
                f"A materialized view cannot read '{read[0]}'",
                hint="No view is told of the rows of service data sources. Make the node a copy: TYPE COPY.",
            )
            self.problems.append(_in_node(error, pipe, node, self.draft))
        return bool(read)

    async def _materialized(self, pipe: Pipe, node: Node, columns: list[ResultColumn]) -> None:
        target = node.datasource or ""
        if target in self._scratch.resources:
            self._target(pipe, target, columns)
            return
        definition = DataSourceDefinition(
            target,
            tuple(Column(column.name, column.type) for column in columns),
            engine=node.engine or TableEngine("MergeTree", {"sorting_key": "tuple()"}),
        )
        self.draft = with_datasource(self.draft, definition, format_datasource(definition), self._now)
        await self._table(self.draft.after.datasource(target))

    async def _shard_key(self, pipe: Pipe, node: Node, columns: list[ResultColumn]) -> None:
        key = run_options(node).shard_key
        if key is None:
            return
        typed = ", ".join(f"{quote_identifier(each.name)} {each.type}" for each in columns)
        try:
            await describe(self._engine, f"SELECT {shard_of(key)} FROM null({quote_string(typed)})")
        except BirdhouseError as error:
            hint = f"Use the columns of the result: {', '.join(each.name for each in columns)}."
            self.problems.append(
                _in_node(SqlError(f"shard_key: {error.message}", hint=error.hint or hint), pipe, node, self.draft)
            )

    def _target(self, pipe: Pipe, target: str, columns: list[ResultColumn]) -> None:
        """Rows go into the target by column name: each column of the node must be there."""
        found = self._scratch.resources.get(target)
        if not isinstance(found, DataSource):
            return
        there = {column.name for column in found.definition.columns}
        missing = [column for column in columns if column.name not in there]
        if missing:
            pairs = ", ".join(f"{column.name} {column.type}" for column in missing)
            self.problems.append(
                SqlError(
                    f"Data Source '{target}' has no column for: {pairs}",
                    detail=f"(written by pipe '{pipe.name}')",
                    hint=f"Its columns are {', '.join(sorted(there))}.",
                )
            )


async def describe(engine: Engine, sql: str) -> list[ResultColumn]:
    """The names and types of a SELECT's columns, by the engine's analysis."""
    result = await engine.select(Query(f"DESCRIBE TABLE (\n{sql}\n)", "JSONCompact"))
    return [ResultColumn(row[0], row[1]) for row in json.loads(result.body)["data"]]


def _in_datasource(error: BirdhouseError, datasource: DataSource, draft: Draft) -> BirdhouseError:
    return DatafileError(
        f"Data Source '{datasource.name}': {error.message}",
        file=draft.file_of(datasource.name),
        hint=error.hint,
    )


def _in_node(error: BirdhouseError, pipe: Pipe, node: Node, draft: Draft) -> BirdhouseError:
    """The error with its node and, where the engine names a word of the text, its line: the file's, else the node's."""
    word = error.quoted_word if isinstance(error, SqlError) else ""
    file, line = draft.file_of(pipe.name), line_of_word(node.sql, word)
    message = in_known_names(error.message, draft.after)
    placed = SqlError(
        f"{message} (in node '{node.name}' of pipe '{pipe.name}'{f', line {line}' if line and not file else ''})",
        code=error.code if isinstance(error, SqlError) else 0,
        name=error.name if isinstance(error, SqlError) else "",
        detail=f"({file}:{line_of(pipe.text, node.name, word)})" if file else "",
        hint=error.hint,
    )
    placed.__cause__ = error
    return placed

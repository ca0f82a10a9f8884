"""Asks the engine whether a draft would work, on empty copies of the tables that are new or changed."""

from __future__ import annotations

import difflib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from birdhouse.catalog import lineage
from birdhouse.catalog.resources import QUARANTINE_SUFFIX, DataSource, Pipe
from birdhouse.catalog.workspace import SERVICE_DATABASE, Workspace
from birdhouse.deploy import ddl
from birdhouse.deploy.apply import create_quarantine
from birdhouse.deploy.draft import Draft, with_datasource
from birdhouse.deploy.known_columns import KnownColumns
from birdhouse.deploy.nodes import NodeCheck
from birdhouse.deploy.places import in_datasource, in_node
from birdhouse.deploy.view_check import ViewCheck
from birdhouse.deploy.views import fitting_engine
from birdhouse.engine.protocol import Engine
from birdhouse.engine.tables import StoredColumn, describe_select
from birdhouse.engine.types import quote_identifier, quote_string
from birdhouse.errors import BirdhouseError, DatafileError, SqlError
from birdhouse.jobs.copy import shard_of
from birdhouse.language.datafile.export import JOB_ID, template_columns
from birdhouse.language.datafile.format import format_datasource
from birdhouse.language.datafile.model import (
    Column,
    DataSourceDefinition,
    Node,
    NodeKind,
    PipeDefinition,
)
from birdhouse.language.datafile.places import word_place
from birdhouse.language.datafile.run_options import run_options

SCRATCH_PREFIX = "scratch_"


class DraftCheck:
    """Checks one draft. `draft` grows by the data sources that its materialized nodes create.

    Each problem is told once: what reads something that is broken is not looked at. With `infer_targets` a
    materialized node without ENGINE creates its target too. `known` is what earlier checks have asked the engine.
    """

    def __init__(
        self,
        engine: Engine,
        services: Workspace | None,
        draft: Draft,
        now: datetime,
        *,
        infer_targets: bool = False,
        known: KnownColumns | None = None,
    ) -> None:
        self._engine = engine
        self._services = services
        self._now = now
        self._infer_targets = infer_targets
        self._known = known or KnownColumns()
        self._database = f"{SCRATCH_PREFIX}{secrets.token_hex(8)}"
        self._has_database = False
        self.draft = draft
        self._scratch = draft.after
        self._broken = set(draft.broken)
        self._read_names: set[str] = set()
        self.problems: list[BirdhouseError] = []
        self.views = ViewCheck(engine, self._database, draft)

    async def run(self, *, ignore_sql_errors: bool = False, with_trials: bool = False) -> None:
        """With trials, templates are also checked with the defaults and the examples that they declare."""
        pipes = [self._readable(pipe.definition) for pipe in self._affected() if pipe.name not in self._broken]
        self._read_names = {name for definition in pipes for name in lineage.sources(definition)}
        async with self._scratch_database():
            for name in self.draft.changed:
                resource = self.draft.after.resources[name]
                if isinstance(resource, DataSource) and name not in self._broken:
                    await self._table(resource)
            nodes = NodeCheck(self._engine, self._services, self._scratch, self.draft, self._broken, self._known)
            await nodes.run(pipes)
            for definition in lineage.order(pipes):
                await self._output(definition, nodes)
            self.problems += await self.views.circles()
            if with_trials:
                await nodes.try_values(pipes)
        if not ignore_sql_errors:
            self.problems += nodes.problems

    def _readable(self, definition: PipeDefinition) -> PipeDefinition:
        """Without the nodes whose problems are known."""
        name = definition.resource_name
        nodes = tuple(node for node in definition.nodes if (name, node.name) not in self.draft.broken_nodes)
        return replace(definition, nodes=nodes)

    @asynccontextmanager
    async def _scratch_database(self) -> AsyncIterator[None]:
        """It is made by the first that needs it, which most pipes do not."""
        try:
            yield
        finally:
            if self._has_database:
                await self._engine.execute(ddl.drop_database(self._database))

    async def _make_database(self) -> None:
        if not self._has_database:
            self._has_database = True
            await self._engine.execute(ddl.create_database(self._database))

    async def _table(self, datasource: DataSource) -> None:
        scratch = replace(datasource, database=self._database)
        definition = datasource.definition
        await self._make_database()
        try:
            await self._engine.execute(
                ddl.create_table(
                    scratch.table, definition.columns, definition.engine, definition.indexes, durable=False
                )
            )
        except BirdhouseError as error:
            self.problems.append(in_datasource(error, datasource, self.draft.file_of(datasource.name)))
            self._broken.add(datasource.name)
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

    async def _output(self, definition: PipeDefinition, nodes: NodeCheck) -> None:
        node = definition.output
        if node is None or node.kind not in (NodeKind.MATERIALIZED, NodeKind.COPY, NodeKind.SINK):
            return
        pipe = self._scratch.pipe(definition.resource_name)
        if not nodes.is_fine(pipe.name, node.name) or (columns := nodes.columns(pipe.name, node.name)) is None:
            return
        if node.kind is NodeKind.COPY:
            self._target(pipe, node.target_datasource or "", columns)
            await self._shard_key(pipe, node, columns)
        elif node.kind is NodeKind.SINK:
            self._file_names(pipe, node, columns)
        elif not self._reads_elsewhere(pipe, node):
            await self._materialized(pipe, node, columns)

    def _reads_elsewhere(self, pipe: Pipe, node: Node) -> bool:
        """Refuses a view that would never run, or that inserts of another workspace would have to wait for."""
        names = lineage.read_by_node(self._scratch, pipe, node)
        services = sorted(name for name in names if name.startswith(f"{SERVICE_DATABASE}."))
        shared = sorted(names & self._scratch.shared.keys())
        if services:
            error = SqlError(
                f"A materialized view cannot read '{services[0]}'",
                hint="No view is told of the rows of service data sources. Make the node a copy: TYPE COPY.",
            )
        elif shared:
            error = SqlError(
                f"A materialized view cannot read '{shared[0]}', a data source of another workspace",
                hint="Make the node a copy with a schedule: TYPE COPY.",
            )
        else:
            return False
        self._refuse(error, pipe, node)
        return True

    def _refuse(self, error: BirdhouseError, pipe: Pipe, node: Node) -> None:
        self.problems.append(in_node(error, self.draft.after, pipe, node, self.draft.file_of(pipe.name)))

    async def _materialized(self, pipe: Pipe, node: Node, columns: list[StoredColumn]) -> None:
        name = node.datasource or ""
        try:
            if name not in self._scratch.resources:
                await self._create_target(pipe, node, name, columns)
            target = self._scratch.resources.get(name)
            if isinstance(target, DataSource):
                await self._make_database()
                await self.views.check(self._scratch, pipe, columns, target)
        except BirdhouseError as error:
            self._refuse(error, pipe, node)

    async def _create_target(self, pipe: Pipe, node: Node, name: str, columns: list[StoredColumn]) -> None:
        engine = node.engine or (fitting_engine(columns) if self._infer_targets else None)
        if engine is None:
            problem = DatafileError(
                f"Data Source '{name}', the target of pipe '{pipe.name}', does not exist",
                hint=Workspace.nearest(name, self.draft.after.datasources())
                or f"Push it first, or let node '{node.name}' create it: add ENGINE and ENGINE_SORTING_KEY.",
            )
            file = self.draft.file_of(pipe.name)
            self.problems.append(problem.at(*word_place(pipe.text, file, name)) if file else problem)
            return
        made = tuple(Column(column.name, column.type) for column in columns)
        definition = DataSourceDefinition(name, made, engine=engine)
        self.draft = with_datasource(self.draft, definition, format_datasource(definition), self._now)
        await self._table(self.draft.after.datasource(name))

    async def _shard_key(self, pipe: Pipe, node: Node, columns: list[StoredColumn]) -> None:
        key = run_options(node).shard_key
        if key is None:
            return
        typed = ", ".join(f"{quote_identifier(each.name)} {each.type}" for each in columns)
        try:
            await describe_select(self._engine, f"SELECT {shard_of(key)} FROM null({quote_string(typed)})")
        except BirdhouseError as error:
            hint = f"Use the columns of the result: {', '.join(each.name for each in columns)}."
            self._refuse(SqlError(f"shard_key: {error.message}", hint=error.hint or hint), pipe, node)

    def _file_names(self, pipe: Pipe, node: Node, columns: list[StoredColumn]) -> None:
        """The columns that name the files of a sink must be in its result, and be times where they get a format."""
        types = {column.name: column.type for column in columns}
        for part in template_columns(node.options.get("export_file_template", "")):
            if part.column not in types:
                if part.column != JOB_ID:
                    near = difflib.get_close_matches(part.column, types, n=1)
                    hint = f"Did you mean {near[0]}?" if near else f"Its columns are {', '.join(types)}."
                    message = f"EXPORT_FILE_TEMPLATE names no column of the result: '{part.column}'"
                    self._refuse(SqlError(message, hint=hint), pipe, node)
            elif part.time_format is not None and "Date" not in types[part.column]:
                message = f"EXPORT_FILE_TEMPLATE formats '{part.column}', which is {types[part.column]} and no time"
                hint = f"Write {{{part.column}}} without a format."
                self._refuse(SqlError(message, hint=hint), pipe, node)

    def _target(self, pipe: Pipe, target: str, columns: list[StoredColumn]) -> None:
        """Rows go into the target by column name: each column of the node must be there."""
        found = self._scratch.resources.get(target)
        if not isinstance(found, DataSource):
            return
        there = {column.name for column in found.definition.columns}
        missing = [column for column in columns if column.name not in there]
        if missing:
            pairs = ", ".join(f"{column.name} {column.type}" for column in missing)
            problem = SqlError(
                f"Data Source '{target}' has no column for: {pairs}",
                detail=f"(written by pipe '{pipe.name}')",
                hint=f"Its columns are {', '.join(sorted(there))}.",
            )
            file = self.draft.file_of(pipe.name)
            self.problems.append(problem.at(*word_place(pipe.text, file, missing[0].name)) if file else problem)

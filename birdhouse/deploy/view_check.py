"""Asks the engine whether a materialized view works between empty tables, and which table triggers it."""

from __future__ import annotations

from collections.abc import Sequence

from birdhouse.catalog import lineage
from birdhouse.catalog.resources import DataSource, Pipe
from birdhouse.catalog.views import load_views, trigger_sources
from birdhouse.catalog.workspace import Workspace
from birdhouse.deploy import ddl
from birdhouse.deploy.draft import Draft
from birdhouse.deploy.views import Note, misfit, notes, unkeyed, unkeyed_error
from birdhouse.engine.protocol import Engine
from birdhouse.engine.tables import StoredColumn
from birdhouse.engine.types import TableName
from birdhouse.errors import BirdhouseError, Conflict, SqlError, TemplateError
from birdhouse.language.sql.rewrite import replace_tables
from birdhouse.language.sql.tables import tables
from birdhouse.query.compose import Composer


class ViewCheck:
    """Checks the views of one draft in a scratch database that has the new and changed tables, empty."""

    def __init__(self, engine: Engine, scratch_database: str, draft: Draft) -> None:
        self._engine = engine
        self._database = scratch_database
        self._draft = draft
        self.notes: list[Note] = []
        self.triggers: dict[str, TableName] = {}
        """Of each pipe that was checked: the table whose inserts trigger its view."""

    async def check(self, scratch: Workspace, pipe: Pipe, columns: Sequence[StoredColumn], target: DataSource) -> None:
        """`scratch` is the workspace after the draft, on the tables of the scratch database where there are such."""
        lost = unkeyed(columns, target.definition)
        problem = misfit(pipe.name, columns, target.definition) or unkeyed_error(pipe.name, lost, target.definition)
        if problem is not None:
            raise problem
        try:
            sql = Composer(scratch, {}).pipe(pipe).sql
        except TemplateError as error:
            error.hint = "A materialized view gets no parameters: give each of them a default."
            raise
        self.triggers[pipe.name] = await self._trigger(pipe, target, sql)
        if pipe.name in self._draft.changed:
            self.notes += notes(pipe.name, sql, columns, target.definition)

    async def _trigger(self, pipe: Pipe, target: DataSource, sql: str) -> TableName:
        """The engine makes the view between empty tables, and says which of them triggers it."""
        assert pipe.view is not None
        real = self._draft.after.database
        read = {table.name for table in tables(sql) if table.database == real}
        for name in sorted(read | ({target.id} if target.database == real else set())):
            copy = TableName(self._database, name)
            await self._engine.execute(f"CREATE TABLE IF NOT EXISTS {copy} AS {TableName(real, name)}")
        sql = replace_tables(sql, {(real, name): (self._database, name) for name in read})
        view = TableName(self._database, pipe.view.table)
        try:
            await self._engine.execute(ddl.create_view(view, TableName(self._database, target.id), sql))
        except SqlError as error:
            raise _without_trigger() if error.name == "QUERY_IS_NOT_SUPPORTED_IN_MATERIALIZED_VIEW" else error from None
        source = (await trigger_sources(self._engine, self._database)).get(view.table)
        await self._engine.execute(ddl.drop_view(view))
        if source is None:
            raise _without_trigger()
        return TableName(real, source.table)

    async def circles(self) -> list[BirdhouseError]:
        """The engine refuses every insert into a table that fills itself, through however many views."""
        if not self.triggers:
            return []
        after = self._draft.after
        reads: dict[str, set[str]] = {}
        for view in await load_views(self._engine, self._draft.before):
            if view.pipe not in self.triggers and view.pipe in after.resources:
                reads.setdefault(after.name_of(view.target), set()).add(after.name_of(view.source))
        for name, source in self.triggers.items():
            reads.setdefault(after.pipe(name).target or "", set()).add(after.name_of(source))
        circle = lineage.find_cycle(reads)
        if circle is None:
            return []
        return [
            Conflict(
                f"Materialized views would fill each other for ever: {' <- '.join(circle)}",
                hint="Let one of them write into another Data Source.",
            )
        ]


def _without_trigger() -> SqlError:
    return SqlError(
        "The leftmost table of the query is no Data Source, so no insert would ever run it",
        hint="A materialized view runs on each block of rows that is inserted into the leftmost table of its query.",
    )

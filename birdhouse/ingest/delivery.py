"""Writes a block of rows so that its table and everything that views make of it agree, or the difference is known.

A view that fails leaves the block in its table and takes it from the targets that had not been written. The same block
is sent again with the same token, which adds only what is missing; after some attempts once more with failing views
left out, so that all others have it. Then each view is tried on the rows by itself, and those that fail get the rows
kept for them (`missed.py`).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.views import View, downstream, load_views, triggered_by
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.failures import without_place
from birdhouse.engine.protocol import Engine, HeldEngine
from birdhouse.engine.tables import row_count, stored_tables
from birdhouse.engine.types import Insert, Limits, TableName
from birdhouse.errors import BirdhouseError, PartialWrite
from birdhouse.ingest.missed import keep_missed
from birdhouse.ingest.staging import drop_tables, insert_select, staging_table
from birdhouse.language.sql.rewrite import replace_tables

log = structlog.get_logger(__name__)

PAUSES_SECONDS = (0.05, 0.2)
"""Before the second and further attempts: a view may have failed for lack of memory."""
LEAVING_OUT_FAILED_VIEWS: Mapping[str, str | int] = {"materialized_views_ignore_errors": 1}
TRIAL = Limits(seconds=60)


@dataclass(frozen=True, slots=True)
class ViewFailure:
    """One view that failed on one block. `datasource_id` is of its target; `rows` are those it missed."""

    workspace_id: str
    datasource_id: str
    datasource_name: str
    pipe_id: str
    pipe_name: str
    error: str
    attempts: int
    rows: int
    is_kept: bool
    """Whether the rows are kept for the view."""

    def __str__(self) -> str:
        return f"The materialized view of '{self.pipe_name}' could not take {self.rows} rows: {self.error}"


OnViewFailure = Callable[[ViewFailure], None]
"""Is told of a view that goes on failing. It returns at once and never fails."""


def not_told(failure: ViewFailure) -> None:
    """For parts that work without an observer; the log has it anyway."""


class Block(Protocol):
    """Rows for one table, with a token that is the same each time they are sent."""

    @property
    def table(self) -> TableName: ...

    async def send(self, engine: Engine, settings: Mapping[str, str | int]) -> None:
        """Raises PartialWrite when a view failed."""
        ...

    async def copy_into(self, engine: Engine, table: TableName) -> None:
        """The same rows into a table like the block's."""
        ...


@dataclass(frozen=True, slots=True)
class EncodedBlock:
    insert: Insert

    @property
    def table(self) -> TableName:
        return self.insert.table

    async def send(self, engine: Engine, settings: Mapping[str, str | int]) -> None:
        await engine.insert(replace(self.insert, settings={**self.insert.settings, **settings}))

    async def copy_into(self, engine: Engine, table: TableName) -> None:
        await engine.insert(replace(self.insert, table=table, token=uuid.uuid4().hex))


class Delivery:
    """Nothing that changes tables can come between the attempts for one block: inserts are not held meanwhile."""

    def __init__(self, engine: HeldEngine, catalog: Catalog, on_failure: OnViewFailure = not_told) -> None:
        self._gate = engine
        self._engine = engine.ungated
        self._catalog = catalog
        self._on_failure = on_failure

    async def insert(self, insert: Insert) -> None:
        """Durable, and in the targets of all views, when it returns. Raises a settled PartialWrite otherwise."""
        if failures := await self.deliver(EncodedBlock(insert)):
            raise _told(failures)

    async def deliver(self, block: Block) -> list[ViewFailure]:
        """The views that failed; the others and the table have the rows.

        Raises PartialWrite for a table whose views are not those of pipes, and what else keeps rows out of the table.
        """
        async with self._gate.writing(block.table.database):
            failure = await self._attempt(block)
            if failure is None:
                return []
            workspace = self._catalog.of_database(block.table.database)
            views = await load_views(self._engine, workspace) if workspace is not None else ()
            if workspace is None or not downstream(views, block.table):
                raise failure
            return await self._settle(workspace, views, block, failure)

    async def _attempt(self, block: Block) -> PartialWrite | None:
        failure: PartialWrite | None = None
        for pause_seconds in (0.0, *PAUSES_SECONDS):
            await asyncio.sleep(pause_seconds)
            try:
                await block.send(self._engine, {})
                return None
            except PartialWrite as error:
                failure = error
        return failure

    async def _settle(
        self, workspace: Workspace, views: Iterable[View], block: Block, failure: PartialWrite
    ) -> list[ViewFailure]:
        trial = _Trial(self._engine, workspace.database, tuple(views))
        try:
            await block.send(self._engine, LEAVING_OUT_FAILED_VIEWS)
            rows = await trial.table_like(block.table, "block")
            await block.copy_into(self._engine, rows)
            failed = [each async for each in trial.failing(block.table, rows)]
            if not failed:
                return await self._once_more(workspace, views, block)
            return [await self._kept(workspace, *each) for each in failed]
        except BirdhouseError as trouble:
            log.error("views_not_settled", table=str(block.table), error=str(trouble))
            raise failure from trouble
        finally:
            await trial.drop()

    async def _once_more(self, workspace: Workspace, views: Iterable[View], block: Block) -> list[ViewFailure]:
        """Every view works by itself by now, so what it lacks is added."""
        try:
            await block.send(self._engine, {})
        except PartialWrite as error:
            named = [view for view in views if view.name.table == error.view]
            if not named:
                raise
            return [self._failure(workspace, view, error, 0, is_kept=False) for view in named]
        return []

    async def _kept(self, workspace: Workspace, view: View, rows: TableName, error: BirdhouseError) -> ViewFailure:
        is_kept = await keep_missed(self._engine, view, rows)
        return self._failure(workspace, view, error, await row_count(self._engine, rows), is_kept=is_kept)

    def _failure(
        self, workspace: Workspace, view: View, error: BirdhouseError, rows: int, *, is_kept: bool
    ) -> ViewFailure:
        target = workspace.datasource(view.target.table)
        failure = ViewFailure(
            workspace_id=workspace.id,
            datasource_id=target.id,
            datasource_name=target.name,
            pipe_id=workspace.pipe(view.pipe).id,
            pipe_name=view.pipe,
            error=_reason(error),
            attempts=len(PAUSES_SECONDS) + 2,
            rows=rows,
            is_kept=is_kept,
        )
        log.warning("view_failed", pipe=failure.pipe_name, rows=rows, error=failure.error, is_kept=is_kept)
        self._on_failure(failure)
        return failure


class _Trial:
    """Runs views one by one on rows that nobody else sees."""

    def __init__(self, engine: Engine, database: str, views: tuple[View, ...]) -> None:
        self._engine = engine
        self._database = database
        self._views = views
        self._owner = uuid.uuid4().hex

    async def table_like(self, table: TableName, role: str) -> TableName:
        """An empty one that keeps its rows, also where the table itself would not."""
        made = staging_table(self._database, self._owner, role)
        stored = (await stored_tables(self._engine, table.database, [table.table]))[table.table]
        engine = " ENGINE = MergeTree ORDER BY tuple()" if stored.engine == "Null" else ""
        await self._engine.execute(f"CREATE TABLE {made} AS {table}{engine}")
        return made

    async def failing(
        self, source: TableName, rows: TableName
    ) -> AsyncIterator[tuple[View, TableName, BirdhouseError]]:
        """The views that fail on such rows of that source, and below those that work, each with its rows."""
        for view in triggered_by(self._views, source):
            made = await self.table_like(view.target, f"made_{view.name.table}")
            select = replace_tables(view.select, {(source.database, source.table): (rows.database, rows.table)})
            try:
                await insert_select(self._engine, made, select, TRIAL, "deduplicate_insert = 'disable'")
            except BirdhouseError as error:
                yield view, rows, error
            else:
                async for each in self.failing(view.target, made):
                    yield each

    async def drop(self) -> None:
        await drop_tables(self._engine, staging_table(self._database, self._owner, ""))


def _reason(error: BirdhouseError) -> str:
    if isinstance(error, PartialWrite):
        return error.detail
    return without_place(" ".join(filter(None, (error.message, error.detail)))).rstrip(".")


def _told(failures: Sequence[ViewFailure]) -> PartialWrite:
    names = ", ".join(f"'{each.pipe_name}'" for each in failures)
    if all(each.is_kept for each in failures):
        way_out = "They are kept for it: deploy it corrected and it gets them, or populate it with missed=true."
    else:
        way_out = "Populate it with truncate=true once it works."
    return PartialWrite(
        f"The rows were written, but the materialized view of {names} could not take them",
        detail=f"({failures[0].error})",
        hint=f"Do not send them again. {way_out}",
        is_settled=True,
    )

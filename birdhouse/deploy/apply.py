"""Carries out a plan: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext, suppress

import structlog

from birdhouse.catalog.catalog import Also, Catalog
from birdhouse.catalog.resources import QUARANTINE_SUFFIX, DataSource
from birdhouse.catalog.workspace import Workspace
from birdhouse.deploy import ddl
from birdhouse.deploy.plan import AlterDataSource, CreateDataSource, CreateView, DropView, Plan, Step, TakeSnapshot
from birdhouse.engine.exchange import finish_exchanges
from birdhouse.engine.pool import to_its_end
from birdhouse.engine.protocol import Engine
from birdhouse.engine.tables import clone_statements
from birdhouse.engine.types import TableName
from birdhouse.errors import BirdhouseError, SqlError
from birdhouse.ingest.missed import drop_missed
from birdhouse.ingest.quarantine import quarantine_columns
from birdhouse.jobs.gate import WriteGate
from birdhouse.language.datafile.model import TableEngine

log = structlog.get_logger(__name__)

FILES_SECONDS_MAX = 30.0
"""How long a change of a type waits for imports of files into that table; other deployments wait meanwhile."""
QUARANTINE_ENGINE = TableEngine(
    "MergeTree", {"sorting_key": "insertion_date", "partition_key": "toYYYYMM(insertion_date)"}
)


async def apply(engine: WriteGate, catalog: Catalog, plan: Plan, also: Also | None = None) -> None:
    """Runs the steps, saves the plan, then cleans up. When a step or the saving fails, the steps done are undone.

    Before the first step the metadata database knows how to undo them all, so that a start after a crash can. A
    caller that is cancelled goes on once the plan is carried out or undone. `also` is saved with the plan.
    """
    await to_its_end(_carry_out(engine, catalog, plan, also))


async def _carry_out(engine: WriteGate, catalog: Catalog, plan: Plan, also: Also | None) -> None:
    planned = [pair for step in plan.steps for pair in statements(step)]
    undo = [undo for _, undo in planned if undo]
    cleanup = [ddl.drop_table(table) for each in plan.cleanup for table in _tables(each.datasource)]
    if undo:
        await catalog.keep_unfinished(plan.after.id, undo[::-1])
    async with AsyncExitStack() as stack:
        if retyped := _retyped(plan):
            await engine.layouts.without_files(retyped, FILES_SECONDS_MAX)
            await stack.enter_async_context(engine.layouts.changing(retyped))
        await stack.enter_async_context(_views_change(engine, plan))
        await _change(engine, catalog, plan, planned, cleanup, also)
        await drop_missed(engine, _without_missed_rows(plan))
    for statement in cleanup:
        await engine.execute(statement)
    if cleanup:
        await catalog.keep_unfinished(plan.after.id, ())


def _retyped(plan: Plan) -> list[TableName]:
    """The tables of which a column gets another type: rows that are under way are in the layout of the old one."""
    found = []
    for step in plan.steps:
        if isinstance(step, AlterDataSource):
            old = plan.before.datasource(step.datasource.id).definition
            types = {column.name: column.type for column in old.columns}
            if any(types.get(column.name, column.type) != column.type for column in step.datasource.definition.columns):
                found.append(step.datasource.table)
    return found


def _without_missed_rows(plan: Plan) -> set[TableName]:
    """The views that are gone, or whose targets get everything anew."""
    made = {step.pipe.view for step in plan.steps if isinstance(step, CreateView)}
    populated = {plan.after.pipe(name).view for name in plan.is_populated}
    dropped = {step.pipe.view for step in plan.steps if isinstance(step, DropView)}
    return {view for view in (dropped - made) | populated if view is not None}


def _views_change(engine: WriteGate, plan: Plan) -> AbstractAsyncContextManager[None]:
    """A row that came while a view is replaced would never reach its target: inserts wait meanwhile."""
    if any(isinstance(step, DropView | CreateView) for step in plan.steps):
        return engine.held(plan.after.database)
    return nullcontext()


async def _change(
    engine: Engine,
    catalog: Catalog,
    plan: Plan,
    planned: Sequence[tuple[str, str | None]],
    cleanup: Sequence[str],
    also: Also | None,
) -> None:
    done: list[str] = []
    try:
        for statement, undo in planned:
            await engine.execute(statement)
            if undo:
                done.append(undo)
        await catalog.commit(plan.before, plan.after, unfinished=cleanup, also=also)
    except BaseException:
        await _undo(engine, catalog, plan, done[::-1])
        raise


async def _undo(engine: Engine, catalog: Catalog, plan: Plan, statements: Sequence[str]) -> None:
    """What cannot be undone now is undone at the next start."""
    is_undone = True
    for statement in statements:
        try:
            await engine.execute(statement)
        except BirdhouseError as error:
            is_undone = False
            log.warning("undo_postponed", statement=statement, error=str(error))
    if is_undone:
        with suppress(BirdhouseError):  # the failure that led here is the one to tell; undoing twice does no harm
            await catalog.keep_unfinished(plan.before.id, ())


async def finish_interrupted(engine: Engine, catalog: Catalog, workspace: Workspace) -> None:
    """Undoes the change that a crash interrupted, or cleans up behind it when it was saved already.

    Tables that were taking the places of others do so now.
    """
    if exchanges := await catalog.exchanges(workspace.id):
        await finish_exchanges(engine, exchanges)
        await catalog.keep_exchanges(workspace.id, ())
    unfinished = await catalog.unfinished(workspace.id)
    for statement in unfinished:
        try:
            await engine.execute(statement)
        except SqlError as error:
            # The statement that this one undoes was never reached.
            log.info("nothing_to_undo", statement=statement, error=str(error))
    if unfinished:
        log.warning("interrupted_change_put_right", workspace=workspace.name)
        await catalog.keep_unfinished(workspace.id, ())


def _tables(datasource: DataSource) -> tuple[TableName, TableName]:
    return datasource.table, datasource.quarantine


def statements(step: Step) -> Iterator[tuple[str, str | None]]:
    """Each statement of a step with the one that takes it back."""
    match step:
        case CreateDataSource(datasource):
            yield from create_tables(datasource)
        case AlterDataSource(_, alterations):
            for alteration in alterations:
                yield from alteration.changes
        case DropView(pipe) if pipe.view is not None:
            yield ddl.drop_view(pipe.view), pipe.view_statement
        case TakeSnapshot(_, source, _, snapshot, has_parts):
            making, *filling = clone_statements(source, snapshot, has_parts=has_parts)
            yield making, ddl.drop_table(snapshot)
            yield from ((statement, None) for statement in filling)
        case CreateView(pipe, _) if pipe.view is not None and pipe.view_statement is not None:
            yield pipe.view_statement, ddl.drop_view(pipe.view)
        case _:
            return


def create_tables(datasource: DataSource) -> Iterator[tuple[str, str | None]]:
    definition = datasource.definition
    table = ddl.create_table(
        datasource.table, definition.columns, definition.engine, definition.indexes, comment=datasource.name
    )
    yield table, ddl.drop_table(datasource.table)
    yield create_quarantine(datasource), ddl.drop_table(datasource.quarantine)


def create_quarantine(datasource: DataSource, table: TableName | None = None) -> str:
    """`table` is where it is made, when not in its own place."""
    columns = quarantine_columns(datasource.definition.columns)
    comment = f"{datasource.name}{QUARANTINE_SUFFIX}"
    return ddl.create_table(table or datasource.quarantine, columns, QUARANTINE_ENGINE, comment=comment)

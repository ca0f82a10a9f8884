"""Filling a data source afresh from where its rows come from, while its readers go on seeing the old ones.

For a replicated table: everything is sent again, and what is sent goes into the data source as always. A second one,
and a view that passes every new row on to it, make the difference: it has the new rows alone. At the end it gives its
table to the first one, and the old rows go.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.resources import DataSource, Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import Clock
from birdhouse.deploy import ddl
from birdhouse.deploy.deployer import Deployer
from birdhouse.deploy.draft import Desired
from birdhouse.deploy.switch import Place, Switch, is_made
from birdhouse.engine.pool import to_its_end
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Limits, Query, quote_identifier, quote_string
from birdhouse.errors import Conflict, NotFound
from birdhouse.ingest.quarantine import ingested
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job
from birdhouse.jobs.queue import Run
from birdhouse.jobs.staging import table_uuid
from birdhouse.language.datafile.format import format_datasource, format_pipe
from birdhouse.language.datafile.model import Node, NodeKind, PipeDefinition

SUFFIX = "_backfill"
FEED_SUFFIX = "_backfill_feed"
FEWER_ROWS_SHARE = 0.5
"""With less than this share of the old rows a backfill is not taken for complete."""

_MERGING = ("Replacing", "Summing", "Aggregating", "Collapsing", "VersionedCollapsing")


@dataclass(frozen=True, slots=True)
class Backfill:
    """A backfill that is under way. Rows are counted as readers see them: versions of one row are one."""

    datasource: DataSource
    successor: DataSource
    feed: Pipe
    old_rows: int = 0
    new_rows: int = 0

    @property
    def seems_complete(self) -> bool:
        return self.new_rows >= FEWER_ROWS_SHARE * self.old_rows


class Backfills:
    """`limits` are for counting rows."""

    def __init__(self, engine: Engine, catalog: Catalog, deployer: Deployer, limits: Limits) -> None:
        self._engine = engine
        self._catalog = catalog
        self._deployer = deployer
        self._limits = limits

    async def begin(self, workspace_id: str, name: str) -> Backfill:
        """From now on new rows are collected apart as well. One that is under way goes on."""
        workspace = self._catalog.workspace(workspace_id)
        datasource = workspace.datasource(name)
        if _found(workspace, datasource) is None:
            definition = replace(
                datasource.definition, name=f"{datasource.name}{SUFFIX}", version=None, tokens=(),
                description=f"Collects the rows of a backfill of {datasource.name}",
            )  # fmt: skip
            feed = _feed(datasource)
            await self._deployer.deploy(
                workspace_id,
                [Desired(definition, format_datasource(definition)), Desired(feed, format_pipe(feed))],
            )
        return await self.state(workspace_id, name)

    async def state(self, workspace_id: str, name: str) -> Backfill:
        """Raises NotFound when none is under way."""
        workspace = self._catalog.workspace(workspace_id)
        backfill = find(workspace, workspace.datasource(name))
        old_rows, new_rows = [await self._rows(each) for each in (backfill.datasource, backfill.successor)]
        return replace(backfill, old_rows=old_rows, new_rows=new_rows)

    async def abort(self, workspace_id: str, name: str) -> None:
        """What was collected apart goes; it is in the data source as well."""
        workspace = self._catalog.workspace(workspace_id)
        backfill = find(workspace, workspace.datasource(name))
        await self._deployer.delete_pipe(workspace_id, backfill.feed.id)
        await self._deployer.delete_datasource(workspace_id, backfill.successor.id, force=False, dry_run=False)

    async def _rows(self, datasource: DataSource) -> int:
        engine = datasource.definition.engine
        final = " FINAL" if engine is not None and engine.name.startswith(_MERGING) else ""
        query = Query(f"SELECT count() FROM {datasource.table}{final}", "JSONCompactEachRow", limits=self._limits)
        (rows,) = orjson.loads((await self._engine.select(query)).body)
        return int(rows)


def _feed(datasource: DataSource) -> PipeDefinition:
    columns = ", ".join(quote_identifier(column.name) for column in ingested(datasource.definition.columns))
    target = f"{datasource.name}{SUFFIX}"
    node = Node("feed", f"SELECT {columns} FROM {datasource.name}", kind=NodeKind.MATERIALIZED, datasource=target)
    return PipeDefinition(f"{datasource.name}{FEED_SUFFIX}", (node,), description=f"Feeds {target}")


def _found(workspace: Workspace, datasource: DataSource) -> Backfill | None:
    successor = workspace.resources.get(f"{datasource.name}{SUFFIX}")
    feed = workspace.resources.get(f"{datasource.name}{FEED_SUFFIX}")
    if isinstance(successor, DataSource) and isinstance(feed, Pipe) and feed.view is not None:
        return Backfill(datasource, successor, feed)
    return None


def find(workspace: Workspace, datasource: DataSource) -> Backfill:
    """Raises NotFound when none is under way."""
    found = _found(workspace, datasource)
    if found is None:
        raise NotFound(f"No backfill of '{datasource.name}' is under way", hint="Begin one first.")
    return found


def backfill_payload(backfill: Backfill, *, fewer: bool) -> dict[str, Any]:
    """What the job that ends a backfill is asked to do. Raises Conflict when it has few rows, unless that is right."""
    if not backfill.seems_complete and not fewer:
        raise Conflict(
            f"The backfill of '{backfill.datasource.name}' does not look complete: "
            f"{backfill.new_rows:,} rows have come, and there were {backfill.old_rows:,}.",
            hint="Wait for the others; or say that fewer rows are right.",
        )
    datasource, successor = backfill.datasource, backfill.successor
    return {
        "datasource": {"id": datasource.id, "name": datasource.name},
        "successor": {"id": successor.id, "name": successor.name},
        "pipe_id": backfill.feed.id,
        "pipe_name": backfill.feed.name,
        "rows": backfill.new_rows,
        "old_rows": backfill.old_rows,
    }


class BackfillRunner:
    """Ends a backfill: the data source gets the table of the second one, and the old one goes with its feed."""

    def __init__(self, engine: WriteGate, catalog: Catalog, clock: Clock) -> None:
        self._engine = engine
        self._catalog = catalog
        self._clock = clock

    def touches(self, job: Job) -> frozenset[str]:
        payload = job.payload
        return frozenset((payload["datasource"]["id"], payload["successor"]["id"], payload["pipe_id"]))

    async def run(self, run: Run) -> Mapping[str, Any]:
        if not is_made(run.job):
            run.finalize()
            run.show(held_seconds=round(await to_its_end(self._change(run)), 6))
        await self._settle(run.job)
        return {}

    async def _change(self, run: Run) -> float:
        payload = run.job.payload
        async with self._catalog.changing(run.job.workspace_id) as before:
            backfill = find(before, before.datasource(payload["datasource"]["id"]))
            if backfill.successor.id != payload["successor"]["id"]:
                raise Conflict("Another backfill was begun meanwhile.", hint="End that one.")
            _refuse_other_columns(backfill)
            now = replace(backfill.datasource, updated_at=self._clock.now())
            after = before.with_changes([now], [backfill.successor.id, backfill.feed.id])
            uuid = await table_uuid(self._engine, now.table)
            places = (Place(backfill.successor.table, now.table, uuid),)
            switch = Switch(before, after, places, gone=(backfill.feed,))
            await switch.announce(run)
            started = time.perf_counter()
            async with self._engine.held(before.database):
                await switch.make(self._engine, self._catalog, run)
            return time.perf_counter() - started

    async def _settle(self, job: Job) -> None:
        """The successor is no data source any more: what has its name holds the old rows."""
        datasource = self._catalog.workspace(job.workspace_id).datasource(job.payload["datasource"]["id"])
        await self._engine.execute(f"ALTER TABLE {datasource.table} MODIFY COMMENT {quote_string(datasource.name)}")
        old = replace(datasource, id=job.payload["successor"]["id"])
        for table in (old.table, old.quarantine):
            await self._engine.execute(ddl.drop_table(table))

    async def clean(self, job: Job) -> None:
        """What is collected apart stays until the backfill is ended or given up."""


def _refuse_other_columns(backfill: Backfill) -> None:
    now, then = backfill.datasource.definition, backfill.successor.definition
    if (now.columns, now.engine, now.indexes) != (then.columns, then.engine, then.indexes):
        raise Conflict(
            f"'{backfill.datasource.name}' was changed while the backfill was under way.",
            hint="Give the backfill up and begin again.",
        )

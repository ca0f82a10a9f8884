"""The job that evolves a data source whose rows have to be written again.

Until the tables change places nothing is seen of it, and an interrupted job begins again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from birdhouse.catalog import lineage
from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.resources import DataSource, Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import Clock
from birdhouse.deploy import ddl
from birdhouse.deploy.apply import create_quarantine
from birdhouse.deploy.evolve import Asked, Evolution, Evolver
from birdhouse.deploy.records import alteration
from birdhouse.deploy.successor import PARTS, Successor
from birdhouse.deploy.switch import Place, Switch, is_made, views_on
from birdhouse.engine.pool import to_its_end
from birdhouse.engine.types import Lane, Limits, TableName, quote_identifier
from birdhouse.errors import BirdhouseError, Conflict
from birdhouse.ingest.layout import FilesUnderWay
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job
from birdhouse.jobs.queue import Run
from birdhouse.jobs.staging import Staging, table_uuid
from birdhouse.language.datafile.format import format_datasource
from birdhouse.language.datafile.model import TableEngine
from birdhouse.language.datafile.parse import parse_datasource
from birdhouse.metadata.identifiers import new_resource_id
from birdhouse.usage.row import Note, not_recorded

ROWS, MISFITS = "rows", "misfits"
CHANGED_HINT = "Nothing was changed by this. Ask for it again."


def evolve_payload(evolution: Evolution, asked: Asked) -> dict[str, Any]:
    datasource = evolution.datasource
    return {
        "datasource": {"id": datasource.id, "name": datasource.name},
        "datafile": asked.text,
        "file": asked.file,
        "fill": dict(asked.fills),
        "drop": list(asked.drops),
        "keep": {"name": asked.keep, "id": new_resource_id(), "datafile": datasource.text} if asked.keep else None,
    }


class EvolveRunner:
    def __init__(
        self,
        engine: WriteGate,
        catalog: Catalog,
        clock: Clock,
        evolver: Evolver,
        limits: Limits,
        note: Note = not_recorded,
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._clock = clock
        self._evolver = evolver
        self._limits = limits
        self._note = note

    def touches(self, job: Job) -> frozenset[str]:
        """The data source, those that views fill it from, and the pipes whose views read it."""
        identity = job.payload["datasource"]["id"]
        try:
            workspace = self._catalog.workspace(job.workspace_id)
            datasource = workspace.datasource(identity)
        except BirdhouseError:  # the run tells
            return frozenset((identity,))
        others: list[DataSource | Pipe] = [*feeding(workspace, datasource), *views_on(workspace, datasource)]
        return frozenset((identity, *(each.id for each in others)))

    async def run(self, run: Run) -> Mapping[str, Any]:
        payload = run.job.payload
        datasource = self._catalog.workspace(run.job.workspace_id).datasource(payload["datasource"]["id"])
        if not is_made(run.job):
            with self._engine.layouts.rewriting(datasource.table):
                await self._rewrite(run)
        if payload["keep"]:
            await self._keep_old(run.job)
        await self.clean(run.job)
        return {"stage": "done"}

    async def _rewrite(self, run: Run) -> None:
        payload = run.job.payload
        keep = payload["keep"]["name"] if payload["keep"] else ""
        asked = Asked(payload["datafile"], payload["file"], payload["fill"], payload["drop"], keep)
        run.show(stage="checking")
        evolution = await self._evolver.plan(
            run.job.workspace_id, payload["datasource"]["id"], asked, lane=Lane.JOB, limits=self._limits
        )
        started = time.perf_counter()
        uuids = await self._uuids(evolution.datasource)
        successors = self._successors(run.job, evolution)
        run.show(stage="copying")
        for successor, create in successors:
            await successor.collect(create)
        for part, (successor, _) in enumerate(successors):
            await successor.convert(run.progress_of(part, len(successors)))
        run.show(stage="changing")
        run.finalize()
        held_seconds = await to_its_end(self._change(run, evolution, [each for each, _ in successors], uuids))
        run.show(held_seconds=round(held_seconds, 6))
        now, seconds = self._clock.now(), time.perf_counter() - started
        self._note(alteration(evolution.before, evolution.new, evolution.steps, now, seconds, run.job.id))

    def _successors(self, job: Job, evolution: Evolution) -> list[tuple[Successor, str]]:
        """Each with the statement that makes its table: one for the rows, one for the quarantine if it changes."""
        new, staging = evolution.new, self._staging(job)
        definition = new.definition
        rows = Successor(
            self._engine, staging, ROWS, new.table,
            [(each.column, each.expression) for each in evolution.columns if each.expression],
            in_order=depends_on_order(definition.engine) or depends_on_order(evolution.datasource.definition.engine),
            limits=self._limits,
        )  # fmt: skip
        create = ddl.create_table(
            rows.table, definition.columns, definition.engine, definition.indexes, comment=new.name
        )
        found = [(rows, create)]
        if evolution.quarantine_columns is not None:
            columns = (*evolution.quarantine_columns,)
            misfits = Successor(
                self._engine, staging, MISFITS, new.quarantine,
                [(name, quote_identifier(name)) for name in columns], in_order=False, limits=self._limits,
            )  # fmt: skip
            found.append((misfits, create_quarantine(new, misfits.table)))
        return found

    async def _change(
        self, run: Run, evolution: Evolution, successors: Sequence[Successor], uuids: Mapping[str, str]
    ) -> float:
        """Puts the new tables in the places of the old ones. The seconds for which inserts were held."""
        feeders = feeding(evolution.before, evolution.datasource)
        tables = {each.table for each in (evolution.datasource, *feeders)}
        while True:
            await self._engine.layouts.without_files(tables)
            async with self._catalog.changing(run.job.workspace_id) as before:
                switch = self._switch(before, evolution, successors, uuids)
                await switch.announce(run)
                started = time.perf_counter()
                with suppress(FilesUnderWay):
                    async with self._engine.layouts.changing(tables), self._engine.held(before.database):
                        if await self._uuids(evolution.datasource) != uuids:
                            raise Conflict(
                                f"The rows of '{evolution.datasource.name}' were replaced meanwhile.", hint=CHANGED_HINT
                            )
                        for successor in successors:
                            await successor.finish()
                        await switch.make(self._engine, self._catalog, run)
                    held_seconds = time.perf_counter() - started
                    await self._rename_old(run.job)
                    return held_seconds

    def _switch(
        self, before: Workspace, evolution: Evolution, successors: Sequence[Successor], uuids: Mapping[str, str]
    ) -> Switch:
        """Raises Conflict when the data source is by now another one than the rows were written again from."""
        now = before.by_id.get(evolution.datasource.id)
        if not isinstance(now, DataSource) or now.definition != evolution.datasource.definition:
            raise Conflict(f"'{evolution.datasource.name}' was changed meanwhile.", hint=CHANGED_HINT)
        new = replace(evolution.new, updated_at=self._clock.now())
        places = tuple(Place(each.table, each.old, uuids[each.old.table]) for each in successors)
        # What a star stands for was settled when the view was made.
        starred = tuple(pipe for pipe in views_on(before, now) if "*" in (pipe.view_statement or ""))
        return Switch(before, before.with_changes([new]), places, remade=starred)

    async def _rename_old(self, job: Job) -> None:
        """The old table gets a name of its own, under which nothing drops it."""
        stage = self._staging(job).table(f"{ROWS}_new")
        if job.payload["keep"] and await table_uuid(self._engine, stage):
            kept = TableName(stage.database, job.payload["keep"]["id"])
            await self._engine.execute(f"RENAME TABLE {stage} TO {kept}")

    async def _keep_old(self, job: Job) -> None:
        keep = job.payload["keep"]
        await self._rename_old(job)
        async with self._catalog.changing(job.workspace_id) as before:
            if keep["id"] in before.by_id:
                return
            name, now = _free_name(before, keep["name"]), self._clock.now()
            definition = replace(parse_datasource(keep["datafile"], name=name), tokens=(), version=None)
            text = format_datasource(definition)
            kept = DataSource(keep["id"], definition, text, before.database, now, now)
            await self._engine.execute(f"DROP TABLE IF EXISTS {kept.quarantine} SYNC")
            await self._engine.execute(create_quarantine(kept, kept.quarantine))
            await self._catalog.commit(before, before.with_changes([kept]))

    async def _uuids(self, datasource: DataSource) -> dict[str, str]:
        """Tells the tables of a data source from others that have got their names."""
        return {each.table: await table_uuid(self._engine, each) for each in (datasource.table, datasource.quarantine)}

    async def clean(self, job: Job) -> None:
        roles = [f"{role}_{part}" for role in (ROWS, MISFITS) for part in PARTS]
        await self._staging(job).drop(*roles)

    def _staging(self, job: Job) -> Staging:
        database = self._catalog.workspace(job.workspace_id).database
        return Staging(self._engine, database, job.id, self._limits)


def feeding(workspace: Workspace, datasource: DataSource) -> list[DataSource]:
    """The data sources whose rows come into it through views, directly or not."""
    found: dict[str, DataSource] = {}
    waiting: list[DataSource | Pipe] = [datasource]
    while waiting:
        each = waiting.pop()
        if isinstance(each, DataSource):
            above: Iterable[DataSource | Pipe] = [pipe for pipe in workspace.writers(each.name) if pipe.view]
        else:
            above = lineage.reads(workspace, each)
        for one in above:
            if isinstance(one, Pipe) or (one.id not in found and one.id != datasource.id):
                waiting.append(one)
            if isinstance(one, DataSource) and one.id != datasource.id:
                found[one.id] = one
    return list(found.values())


def depends_on_order(engine: TableEngine | None) -> bool:
    """Whether of two rows with the same key the one that came last counts."""
    if engine is None:
        return False
    return engine.name == "CollapsingMergeTree" or (
        engine.name == "ReplacingMergeTree" and not engine.options.get("ver", "").strip()
    )


def _free_name(workspace: Workspace, name: str) -> str:
    """That name, or one like it that nobody has taken while the rows were written."""
    names = (name, *(f"{name}_{number}" for number in range(2, len(workspace.resources) + 3)))
    return next(each for each in names if each not in workspace.resources)

"""Replays: rows of a quarantine are fitted again, to what the data source is now, and those that fit go into it.

The quarantine table changes places with an empty one, so rows that are refused meanwhile do not come into it. The rows
are numbered then, and moved in steps: what fits goes into the data source and the others back to quarantine, each under
a token that says which step it is. So a step that is repeated after a crash adds only what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.lineage import ids_below
from birdhouse.catalog.resources import DataSource
from birdhouse.clock import Clock
from birdhouse.engine.tables import describe
from birdhouse.engine.types import Insert, Lane, Limits, Query, TableName, quote_identifier, quote_string
from birdhouse.errors import PartialWrite
from birdhouse.ingest.batch import ROW_FORMAT
from birdhouse.ingest.delivery import Delivery
from birdhouse.ingest.fit import Fitting
from birdhouse.ingest.quarantine import ERROR_COLUMNS, ingested
from birdhouse.ingest.text_block import TextBlock
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job, statistics
from birdhouse.jobs.queue import Run
from birdhouse.jobs.staging import DURABLE, ROW_NUMBER, Staging, size, table_uuid
from birdhouse.usage.operations import EventType, Operation
from birdhouse.usage.row import Note, not_recorded

STEP_ROWS = 20_000
READABLE = "notEmpty(c__error_column)"
"""Of a line that was no record at all there is nothing to fit: such rows stay where they are."""


def replay_payload(datasource: DataSource) -> dict[str, Any]:
    return {"datasource": {"id": datasource.id, "name": datasource.name}}


@dataclass(frozen=True, slots=True)
class _Step:
    """Rows `first` up to `end` of the numbered ones."""

    first: int
    end: int

    @property
    def rows(self) -> str:
        return f"{ROW_NUMBER} >= {self.first} AND {ROW_NUMBER} < {self.end}"


class ReplayRunner:
    def __init__(
        self,
        engine: WriteGate,
        catalog: Catalog,
        limits: Limits,
        delivery: Delivery,
        clock: Clock,
        note: Note = not_recorded,
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._limits = limits
        self._delivery = delivery
        self._clock = clock
        self._note = note

    def touches(self, job: Job) -> frozenset[str]:
        return ids_below(self._catalog.workspace(job.workspace_id), job.payload["datasource"]["id"])

    async def run(self, run: Run) -> Mapping[str, Any]:
        if "taken_rows" not in run.job.result:
            await self._take(run)
        run.finalize()
        facts = run.job.result
        replayed, left = facts.get("replayed_rows", 0), facts.get("left_rows", 0)
        total = facts["taken_rows"]
        for first in range(facts.get("moved_rows", 0), total, STEP_ROWS):
            step = _Step(first, min(first + STEP_ROWS, total))
            fitted, refused = await self._move(run.job, step)
            replayed, left = replayed + fitted, left + refused
            await run.keep(moved_rows=step.end, replayed_rows=replayed, left_rows=left)
        await self._staging(run.job).drop_all()
        self._record(run.job, replayed, left)
        return {"replayed_rows": replayed, "left_rows": left, "statistics": statistics(replayed, 0, 0.0)}

    async def _take(self, run: Run) -> None:
        """The rows of the quarantine become numbered rows of the job, which survive a crash."""
        datasource, staging = self._datasource(run.job), self._staging(run.job)
        taken, quarantine = staging.table("taken"), datasource.quarantine
        if not run.resumed or run.job.result.get("taken_uuid") != await table_uuid(self._engine, taken):
            await staging.create_like("taken", quarantine)
            await run.keep(taken_uuid=await table_uuid(self._engine, quarantine))
            async with self._engine.held(quarantine.database):
                await self._engine.execute(f"EXCHANGE TABLES {taken} AND {quarantine}")
        rows = staging.table("rows")
        await staging.drop("rows")
        columns = await describe(self._engine, taken)
        clauses = ", ".join(f"{quote_identifier(each.name)} {each.type}" for each in columns)
        names = ", ".join(quote_identifier(each.name) for each in columns)
        await self._engine.execute(
            f"CREATE TABLE {rows} ({ROW_NUMBER} UInt64, {clauses}) "
            f"ENGINE = MergeTree ORDER BY {ROW_NUMBER} SETTINGS {DURABLE}"
        )
        await staging.insert(
            run.progress,
            f"{rows} ({ROW_NUMBER}, {names})",
            f"rowNumberInAllBlocks(), {names}",
            f"SELECT * FROM {taken}",
        )
        await run.keep(taken_rows=(await size(self._engine, rows)).rows)
        await staging.drop("taken")

    async def _move(self, job: Job, step: _Step) -> tuple[int, int]:
        """How many rows fit, and how many went back."""
        rows = self._staging(job).table("rows")
        async with self._engine.layouts.request(self._datasource(job).table):
            datasource = self._datasource(job)
            given = await self._given(datasource, rows)
            block = await self._texts(rows, given, step)
            async with Fitting(self._engine, rows.database, datasource.definition.columns, given) as fitting:
                encoded = await fitting.fit(block)
            token = f"{job.id}-{step.first}"
            if encoded.good:
                await self._insert(Insert(datasource.table, fitting.columns, ROW_FORMAT, encoded.good, token))
            if encoded.quarantine:
                columns = (*fitting.columns, *ERROR_COLUMNS)
                await self._insert(Insert(datasource.quarantine, columns, ROW_FORMAT, encoded.quarantine, token))
            unreadable = await self._put_back(
                datasource, rows, f"{step.rows} AND NOT {READABLE}", f"{token}-unreadable"
            )
        return encoded.good_rows, encoded.quarantine_rows + unreadable

    async def _given(self, datasource: DataSource, rows: TableName) -> Sequence[str]:
        """The columns of the data source that the rows have texts for."""
        there = {each.name for each in await describe(self._engine, rows)}
        return [each.name for each in ingested(datasource.definition.columns) if each.name in there]

    async def _texts(self, rows: TableName, given: Sequence[str], step: _Step) -> TextBlock:
        texts = ", ".join(f"{quote_identifier(name)} AS c{number}" for number, name in enumerate(given))
        sql = f"SELECT {texts} FROM {rows} WHERE {step.rows} AND {READABLE} ORDER BY {ROW_NUMBER}"
        found = await self._engine.select(Query(sql, "ArrowStream", lane=Lane.CONTROL))
        return TextBlock(tuple(given), found.body, found.statistics.result_rows)

    async def _insert(self, insert: Insert) -> None:
        try:
            await self._delivery.insert(insert)
        except PartialWrite as failure:
            if not failure.is_settled:
                raise

    async def _put_back(self, datasource: DataSource, rows: TableName, where: str, token: str) -> int:
        """As they were, as one block. How many they are."""
        counted = await self._engine.select(
            Query(f"SELECT count() FROM {rows} WHERE {where}", "TSV", lane=Lane.CONTROL)
        )
        count = int(counted.body)
        if count:
            mine = {each.name for each in await describe(self._engine, datasource.quarantine)}
            shared = [each.name for each in await describe(self._engine, rows) if each.name in mine]
            names = ", ".join(map(quote_identifier, shared))
            settings = (
                f"insert_deduplication_token = {quote_string(token)}, max_threads = 1, max_insert_threads = 1, "
                f"min_insert_block_size_rows = {count}, min_insert_block_size_bytes = 0"
            )
            await self._engine.execute(
                f"INSERT INTO {datasource.quarantine} ({names}) SETTINGS {settings} "
                f"SELECT {names} FROM {rows} WHERE {where} ORDER BY {ROW_NUMBER}",
                lane=Lane.JOB,
                limits=self._limits,
            )
        return count

    async def clean(self, job: Job) -> None:
        """The rows that were not moved go back to quarantine as they were."""
        datasource, staging = self._datasource(job), self._staging(job)
        taken, rows = staging.table("taken"), staging.table("rows")
        if "taken_rows" in job.result:
            total = job.result["taken_rows"]
            for first in range(job.result.get("moved_rows", 0), total, STEP_ROWS):
                step = _Step(first, min(first + STEP_ROWS, total))
                await self._put_back(datasource, rows, step.rows, f"{job.id}-{first}-back")
        elif job.result.get("taken_uuid") == await table_uuid(self._engine, taken):
            await self._engine.execute(f"ALTER TABLE {datasource.quarantine} ATTACH PARTITION ALL FROM {taken}")
        await staging.drop_all()

    def _record(self, job: Job, replayed: int, left: int) -> None:
        datasource = self._datasource(job)
        self._note(
            Operation(
                workspace_id=job.workspace_id,
                timestamp=self._clock.now(),
                event_type=EventType.APPEND,
                datasource_id=datasource.id,
                datasource_name=datasource.name,
                options={"source": "quarantine"},
                job_id=job.id,
                rows=replayed,
                rows_quarantine=left,
                written_rows=replayed,
                written_rows_quarantine=left,
            )
        )

    def _datasource(self, job: Job) -> DataSource:
        return self._catalog.workspace(job.workspace_id).datasource(job.payload["datasource"]["id"])

    def _staging(self, job: Job) -> Staging:
        database = self._catalog.workspace(job.workspace_id).database
        return Staging(self._engine, database, job.id, self._limits)

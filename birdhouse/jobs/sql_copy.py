"""Copies of a SELECT: its result is added to a data source, without a pipe that says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.lineage import ids_below
from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.types import Limits
from birdhouse.ingest.delivery import Delivery
from birdhouse.jobs.copy import APPEND
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job, statistics
from birdhouse.jobs.queue import Run
from birdhouse.jobs.staging import Staging, has_gathered
from birdhouse.query.compose import Composer
from birdhouse.query.run import ReadableSelect


def sql_copy_payload(target: DataSource, select: ReadableSelect) -> dict[str, Any]:
    """What the job is asked to do. What the caller may read is settled by now; the filters of its token stay."""
    return {
        "datasource": {"id": target.id, "name": target.name},
        "mode": APPEND,
        "query": select.sql,
        "parameters": dict(select.parameters),
        "filters": dict(select.filters),
    }


class SqlCopyRunner:
    def __init__(
        self,
        engine: WriteGate,
        catalog: Catalog,
        services: Callable[[], Workspace | None],
        limits: Limits,
        delivery: Delivery,
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._services = services
        self._limits = limits
        self._delivery = delivery

    def touches(self, job: Job) -> frozenset[str]:
        return ids_below(self._catalog.workspace(job.workspace_id), job.payload["datasource"]["id"])

    async def run(self, run: Run) -> Mapping[str, Any]:
        payload = run.job.payload
        workspace = self._catalog.workspace(run.job.workspace_id)
        target = workspace.datasource(payload["datasource"]["id"]).table
        staging = self._staging(workspace, run.job)
        if not has_gathered(run):
            composer = Composer(
                workspace,
                payload["parameters"],
                services=self._services(),
                filters=payload["filters"],
                main=self._catalog.main_of(workspace),
            )
            composed = composer.select(payload["query"])
            staging.parameters = composed.query_parameters
            await staging.gather(run, await staging.matched_columns(target, composed.sql), composed.sql)
        written = await staging.move(run, target, self._delivery)
        read = staging.read
        counts = statistics(
            written.rows, written.bytes, staging.elapsed_seconds, rows_read=read.rows, bytes_read=read.bytes
        )
        return {"statistics": counts}

    async def clean(self, job: Job) -> None:
        await self._staging(self._catalog.workspace(job.workspace_id), job).drop("rows")

    def _staging(self, workspace: Workspace, job: Job) -> Staging:
        return Staging(self._engine, workspace.database, job.id, self._limits)

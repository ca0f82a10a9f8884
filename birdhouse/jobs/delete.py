"""Deletes the rows of a data source for which a condition holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Lane, Limits, Query, TableName, quote_string
from birdhouse.errors import BirdhouseError
from birdhouse.jobs.condition import checked_condition
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job
from birdhouse.jobs.queue import Run


def delete_payload(workspace: Workspace, name: str, condition: str) -> dict[str, Any]:
    datasource = workspace.datasource(name)
    return {"datasource": {"id": datasource.id, "name": datasource.name}, "delete_condition": condition}


async def rows_to_delete(
    engine: Engine,
    workspace: Workspace,
    name: str,
    condition: str,
    limits: Limits,
    *,
    services: Workspace | None = None,
) -> int:
    """How many rows the condition holds for now. Raises SqlError when it is none over the data source."""
    checked = checked_condition(workspace, condition, services=services)
    return await _matching(engine, workspace.datasource(name).table, checked, limits)


class DeleteRunner:
    def __init__(
        self,
        engine: WriteGate,
        catalog: Catalog,
        services: Callable[[], Workspace | None],
        limits: Limits,
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._services = services
        self._limits = limits

    def touches(self, job: Job) -> frozenset[str]:
        return frozenset((job.payload["datasource"]["id"],))

    async def run(self, run: Run) -> Mapping[str, Any]:
        """An interrupted mutation goes on by itself at the next start; running again deletes what it left."""
        payload = run.job.payload
        workspace = self._catalog.workspace(run.job.workspace_id)
        table = workspace.datasource(payload["datasource"]["id"]).table
        condition = checked_condition(workspace, payload["delete_condition"], services=self._services())
        if "rows_affected" not in run.job.result:
            matching = await _matching(self._engine, table, condition, self._limits)
            run.finalize()
            await run.keep(rows_affected=matching)
        run.finalize()
        if run.job.result["rows_affected"]:
            await self._delete(table, condition)
        return {"delete_id": run.job.id, "delete_condition": payload["delete_condition"]}

    async def _delete(self, table: TableName, condition: str) -> None:
        statement = f"ALTER TABLE {table} DELETE WHERE {condition} SETTINGS mutations_sync = 2"
        try:
            await self._engine.execute(statement, lane=Lane.JOB, limits=self._limits)
        except BirdhouseError:
            # The engine would try a mutation that fails again and again, and no later one could begin.
            await self._engine.execute(
                f"KILL MUTATION WHERE database = {quote_string(table.database)} "
                f"AND table = {quote_string(table.table)} AND NOT is_done AND latest_fail_reason != ''"
            )
            raise

    async def clean(self, job: Job) -> None:
        """A delete leaves nothing behind."""


async def _matching(engine: Engine, table: TableName, condition: str, limits: Limits) -> int:
    sql = f"SELECT count() FROM {table} WHERE {condition}"
    result = await engine.select(Query(sql, "JSONCompactEachRow", limits=limits))
    return int(orjson.loads(result.body)[0])

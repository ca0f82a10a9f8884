"""Rows of a workspace come to a branch of it, later than the branch was made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.tables import stored_tables
from birdhouse.engine.types import TableName
from birdhouse.errors import NotFound
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job
from birdhouse.jobs.queue import Run
from birdhouse.workspaces.snapshot import Data, Snapshot


def bring_payload(branch: Workspace, *, data: Data, ignore: Collection[str] = ()) -> dict[str, Any]:
    """What a job is asked to do in a branch. `ignore` names data sources to leave alone."""
    if branch.main_id is None:
        raise NotFound(f"'{branch.name}' is not a branch")
    return {"data": data, "ignore": [*ignore]}


class BringRunner:
    """Rows of the main workspace take the place of those that the branch has in the same partitions.

    A data source that the branch has not, or defines otherwise, is left out, and the result says so. A job that is
    interrupted does the same again.
    """

    def __init__(self, engine: WriteGate, catalog: Catalog) -> None:
        self._engine = engine
        self._catalog = catalog

    def touches(self, job: Job) -> frozenset[str]:
        return frozenset(self._catalog.workspace(job.workspace_id).by_id)

    async def run(self, run: Run) -> Mapping[str, Any]:
        branch = self._catalog.workspace(run.job.workspace_id)
        async with self._catalog.changing(branch.main_id or "") as main, self._catalog.changing(branch.id) as branch:
            targets, refused = await self._targets(main, branch, frozenset(run.job.payload["ignore"]))
            snapshot = Snapshot(self._engine, main.database, targets.get, data=Data(run.job.payload["data"]))
            await snapshot.take(_nothing)
        brought = {
            each.name: [_told(partition) for partition in snapshot.partitions(each.table.table)]
            for each in main.datasources()
            if each.table.table in targets
        }
        told = {**brought, **{name: [_told("", error)] for name, error in refused.items()}}
        return {"partitions": [{"datasource": {"name": name}, "partitions": told[name]} for name in sorted(told)]}

    async def _targets(
        self, main: Workspace, branch: Workspace, ignore: Collection[str]
    ) -> tuple[Mapping[str, TableName], Mapping[str, str]]:
        """Where the rows of each table of the main workspace go, and why those of a data source go nowhere."""
        theirs = await stored_tables(self._engine, main.database, [each.table.table for each in main.datasources()])
        ours = await stored_tables(self._engine, branch.database, [each.table.table for each in branch.datasources()])
        mine = {each.name: each.table for each in branch.datasources()}
        targets: dict[str, TableName] = {}
        refused: dict[str, str] = {}
        for each in main.datasources():
            if each.name in ignore:
                continue
            if each.name not in mine:
                refused[each.name] = "The branch has no such Data Source"
            elif theirs[each.table.table].structure != ours[mine[each.name].table].structure:
                refused[each.name] = "The branch defines it otherwise"
            else:
                targets[each.table.table] = mine[each.name]
        return targets, refused

    async def clean(self, job: Job) -> None:
        """What was brought stays."""


def _told(partition: str, error: str = "") -> dict[str, str]:
    return {"partition": partition, "status": "error" if error else "done", "error": error}


async def _nothing() -> None:
    """There is no more to copy than rows."""

"""Deploys definitions into a workspace: the door that every change goes through."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.resources import DataSource, Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import Clock
from birdhouse.deploy import outputs, rename
from birdhouse.deploy.apply import apply
from birdhouse.deploy.check import DraftCheck
from birdhouse.deploy.draft import Desired, make_draft
from birdhouse.deploy.explain import explain
from birdhouse.deploy.plan import Plan, make_plan
from birdhouse.deploy.records import exchange, operations_of
from birdhouse.errors import BirdhouseError, DeploymentRefused
from birdhouse.jobs.export import notes
from birdhouse.jobs.gate import WriteGate
from birdhouse.usage.operations import Operation
from birdhouse.usage.row import Note, not_recorded

SERVICE_WORKSPACE = "tinybird"
"""The workspace that holds the service data sources. No token belongs to it."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """`steps` are in words. `workspace` is the one after, or the one before when nothing was applied."""

    workspace: Workspace
    plan: Plan
    steps: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What is deployed and cannot do its work yet, such as a sink without its connection."""


class Deployer:
    def __init__(self, engine: WriteGate, catalog: Catalog, clock: Clock, note: Note = not_recorded) -> None:
        self._engine = engine
        self._catalog = catalog
        self._clock = clock
        self._note = note

    def names(self, workspace_id: str) -> set[str]:
        """The resources that are there now."""
        return set(self._catalog.workspace(workspace_id).resources)

    async def deploy(
        self,
        workspace_id: str,
        desired: Sequence[Desired],
        *,
        dry_run: bool = False,
        ignore_sql_errors: bool = False,
        keep_existing: bool = False,
    ) -> Deployment:
        """All of it or nothing. Raises the problem that was found, or DeploymentRefused with all of them.

        With `keep_existing`, resources that are there by now stay as they are.
        """
        async with self._catalog.changing(workspace_id) as before:
            if keep_existing:
                desired = [each for each in desired if each.definition.resource_name not in before.resources]
            plan = await self._plan(before, desired, ignore_sql_errors)
            if not dry_run and not plan.is_empty:
                await self._apply(plan)
            told = tuple(notes(plan.after, (each.definition.resource_name for each in desired)))
            return Deployment(before if dry_run else plan.after, plan, tuple(explain(plan)), told)

    async def _plan(self, before: Workspace, desired: Sequence[Desired], ignore_sql_errors: bool) -> Plan:
        now = self._clock.now()
        draft, problems = make_draft(before, desired, now)
        refuse(problems)
        if not draft.changed:
            return Plan(before, before, ())
        check = DraftCheck(self._engine, self._catalog.named(SERVICE_WORKSPACE), draft, now)
        await check.run(ignore_sql_errors=ignore_sql_errors)
        refuse(check.problems)
        plan, problems = make_plan(check.draft)
        refuse(problems)
        return plan

    async def _apply(self, plan: Plan) -> None:
        started = time.perf_counter()
        error: str | None = None
        try:
            await apply(self._engine, self._catalog, plan)
        except BirdhouseError as failure:
            error = str(failure)
            raise
        finally:
            self._record(plan.after, operations_of(plan, self._clock.now(), time.perf_counter() - started, error))

    def _record(self, workspace: Workspace, operations: Iterable[Operation]) -> None:
        if workspace.name != SERVICE_WORKSPACE:
            for operation in operations:
                self._note(operation)

    async def delete_datasource(self, workspace_id: str, name: str, *, force: bool, dry_run: bool) -> tuple[Pipe, ...]:
        """The pipes that depend on it. Raises InUse when there are any, unless forced or only tried."""
        async with self._catalog.changing(workspace_id) as before:
            datasource = before.datasource(name)
            dependent = outputs.dependent_pipes(before, datasource)
            if not dry_run:
                await self._apply(outputs.delete_datasource(before, datasource, self._clock.now(), force=force))
            return dependent

    async def rename_datasource(self, workspace_id: str, name: str, new_name: str) -> DataSource:
        """Pipes that name it are rewritten with it. Raises NameTaken, or Conflict when one cannot be."""
        async with self._catalog.changing(workspace_id) as before:
            datasource = before.datasource(name)
            plan = rename.rename_datasource(before, datasource, new_name, self._clock.now())
            await self._apply(plan)
            return plan.after.datasource(datasource.id)

    async def delete_pipe(self, workspace_id: str, name: str) -> None:
        async with self._catalog.changing(workspace_id) as before:
            await self._apply(outputs.delete_pipe(before, before.pipe(name)))

    async def unlink(self, workspace_id: str, name: str) -> Pipe:
        """Takes the output of a pipe away; what it wrote stays."""
        async with self._catalog.changing(workspace_id) as before:
            plan = outputs.unlink(before, before.pipe(name), self._clock.now())
            await self._apply(plan)
            return plan.after.pipe(name)

    async def publish(self, workspace_id: str, name: str, node_name_or_id: str) -> Pipe:
        """Makes a node the endpoint of its pipe."""
        async with self._catalog.changing(workspace_id) as before:
            pipe = before.pipe(name)
            node = pipe.find_node(node_name_or_id)
            plan = outputs.publish(before, pipe, node.name, self._clock.now())
            if not plan.is_empty:
                await self._apply(plan)
            return plan.after.pipe(pipe.id)

    async def rename_pipe(
        self, workspace_id: str, name: str, *, new_name: str | None = None, description: str | None = None
    ) -> Pipe:
        """What is None stays. Raises InUse when other pipes read it by its old name, NameTaken for the new one."""
        async with self._catalog.changing(workspace_id) as before:
            plan = outputs.rename_pipe(before, before.pipe(name), new_name, description, self._clock.now())
            await self._apply(plan)
            return plan.after.pipe(before.pipe(name).id)

    async def exchange(self, workspace_id: str, a: str, b: str) -> None:
        """Swaps two data sources with equal columns: rows, engine, keys and indexes.

        Each name keeps its identity, so the tokens, pipes and views of a name find there what was the other's.
        """
        async with self._catalog.changing(workspace_id) as before:
            first, second = before.datasource(a), before.datasource(b)
            after = outputs.exchanged(before, first, second, self._clock.now())
            started = time.perf_counter()
            async with self._engine.held(before.database):
                await self._engine.execute(f"EXCHANGE TABLES {first.table} AND {second.table}")
                await self._engine.execute(f"EXCHANGE TABLES {first.quarantine} AND {second.quarantine}")
                await self._catalog.commit(before, after)
            seconds = time.perf_counter() - started
            self._record(after, exchange(after, first, second, self._clock.now(), seconds))


def refuse(problems: Sequence[BirdhouseError]) -> None:
    """Raises the problem, or DeploymentRefused when there are several."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise DeploymentRefused(problems)

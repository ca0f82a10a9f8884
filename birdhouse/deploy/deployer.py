"""Deploys definitions into a workspace: the door that every change goes through."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from birdhouse.catalog.catalog import Also, Catalog
from birdhouse.catalog.resources import QUARANTINE_SUFFIX, DataSource, Pipe
from birdhouse.catalog.shares.readers import refuse_while_read_elsewhere
from birdhouse.catalog.views import View
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import Clock
from birdhouse.deploy import outputs, rename
from birdhouse.deploy.apply import apply
from birdhouse.deploy.check import DraftCheck
from birdhouse.deploy.draft import Desired, make_draft
from birdhouse.deploy.explain import explain
from birdhouse.deploy.known_columns import KnownColumns
from birdhouse.deploy.plan import CreateView, Plan, TakeSnapshot, make_plan
from birdhouse.deploy.records import exchange, operations_of
from birdhouse.deploy.views import Note as ViewNote
from birdhouse.engine.tables import stored_tables
from birdhouse.engine.types import TableName
from birdhouse.errors import BirdhouseError, DeploymentRefused
from birdhouse.ingest.staging import staging_table
from birdhouse.jobs import store as job_store
from birdhouse.jobs.export import notes as export_notes
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job, JobKind
from birdhouse.jobs.populate import (
    SNAPSHOT_ROLE,
    PopulateOptions,
    Snapshot,
    check_condition,
    populate_payload,
    view_of,
)
from birdhouse.jobs.queue import JobQueue
from birdhouse.usage.operations import Operation
from birdhouse.usage.row import Note, not_recorded

SERVICE_WORKSPACE = "tinybird"
"""The workspace that holds the service data sources. No token belongs to it."""


ViewsMade = Callable[[Workspace, Collection[str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Populating:
    """The populate that is asked for together with a pipe: of the rows from before its view, and all of those."""

    pipe: str
    options: PopulateOptions
    queue: JobQueue
    asked_by: str = ""

    def job(self, workspace: Workspace, view: View, snapshot: Snapshot | None = None) -> Job:
        payload = populate_payload(workspace, view, self.options, snapshot)
        return self.queue.new(workspace.id, JobKind.POPULATE, payload, asked_by=self.asked_by)


@dataclass(frozen=True, slots=True)
class Deployment:
    """`steps` are in words. `workspace` is the one after, or the one before when nothing was applied."""

    workspace: Workspace
    plan: Plan
    steps: tuple[str, ...]
    notes: tuple[ViewNote, ...] = ()
    pending: tuple[str, ...] = ()
    """What is deployed and cannot do its work yet, such as a sink without its connection."""
    job: Job | None = None
    """The populate that was asked for."""


class Deployer:
    def __init__(
        self,
        engine: WriteGate,
        catalog: Catalog,
        clock: Clock,
        note: Note = not_recorded,
        views_made: ViewsMade | None = None,
    ) -> None:
        """`views_made` is told of the pipes of a workspace that have got new views."""
        self._engine = engine
        self._views_made = views_made
        self._catalog = catalog
        self._clock = clock
        self._note = note
        self._known = KnownColumns()

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
        infer_targets: bool = False,
        populating: Populating | None = None,
    ) -> Deployment:
        """All of it or nothing. Raises the problem that was found, or DeploymentRefused with all of them.

        With `keep_existing`, resources that are there by now stay as they are. With `infer_targets` a materialized
        node without ENGINE creates its target too.
        """
        async with self._catalog.changing(workspace_id) as before:
            if keep_existing:
                desired = [each for each in desired if each.definition.resource_name not in before.resources]
            plan, notes = await self._plan(before, desired, ignore_sql_errors, infer_targets)
            job = None
            if populating is not None and not dry_run:
                plan, job = await self._with_populate(plan, populating)
                also = partial(job_store.add, job=job)
                await populating.queue.add(job, lambda: self._apply(plan, also))
            elif not dry_run and not plan.is_empty:
                await self._apply(plan)
            pending = tuple(export_notes(plan.after, (each.definition.resource_name for each in desired)))
            after = before if dry_run else plan.after
            return Deployment(after, plan, tuple(explain(plan)), notes, pending, job)

    async def _plan(
        self, before: Workspace, desired: Sequence[Desired], ignore_sql_errors: bool, infer_targets: bool
    ) -> tuple[Plan, tuple[ViewNote, ...]]:
        now = self._clock.now()
        draft, problems = make_draft(before, desired, now)
        refuse(problems)
        if not draft.changed:
            return Plan(before, before, ()), ()
        check = DraftCheck(self._engine, self._services(), draft, now, infer_targets=infer_targets, known=self._known)
        await check.run(ignore_sql_errors=ignore_sql_errors)
        refuse(check.problems)
        plan, problems = make_plan(check.draft)
        refuse(problems)
        return replace(plan, triggers=check.views.triggers), tuple(check.views.notes)

    async def _with_populate(self, plan: Plan, populating: Populating) -> tuple[Plan, Job]:
        """The plan with a snapshot of the source at the moment when the view is made, if it makes one, and the job."""
        after = plan.after
        view = _new_view(plan, populating.pipe) if not populating.options.truncate else None
        if view is None:
            view = _new_view(plan, populating.pipe) or await view_of(self._engine, after, populating.pipe)
            await check_condition(self._engine, after, view, populating.options, self._services())
            return plan, populating.job(after, view)
        source = view.source
        stored = (await stored_tables(self._engine, source.database, [source.table])).get(source.table)
        if stored is not None:
            await check_condition(self._engine, after, view, populating.options, self._services())
        job = populating.job(after, view, Snapshot(stored.uuid if stored else ""))
        snapshot = staging_table(source.database, job.id, SNAPSHOT_ROLE)
        step = TakeSnapshot(
            after.pipe(view.pipe), source, after.name_of(source), snapshot, has_parts=_has_parts(after, source)
        )
        options = populating.options
        is_whole = options.condition is None and options.subset is None
        is_populated = frozenset({view.pipe} if is_whole else ())
        return replace(plan, steps=(*plan.steps, step), is_populated=is_populated), job

    def _services(self) -> Workspace | None:
        return self._catalog.named(SERVICE_WORKSPACE)

    async def _apply(self, plan: Plan, also: Also | None = None) -> None:
        started = time.perf_counter()
        error: str | None = None
        try:
            await apply(self._engine, self._catalog, plan, also)
        except BirdhouseError as failure:
            error = str(failure)
            raise
        finally:
            self._record(plan.after, operations_of(plan, self._clock.now(), time.perf_counter() - started, error))
        made = {step.pipe.name for step in plan.steps if isinstance(step, CreateView)} - plan.is_populated
        if made and self._views_made is not None:
            await self._views_made(plan.after, made)

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
                refuse_while_read_elsewhere(self._catalog, datasource, "deleted")
                await self._apply(outputs.delete_datasource(before, datasource, self._clock.now(), force=force))
            return dependent

    async def rename_datasource(self, workspace_id: str, name: str, new_name: str) -> DataSource:
        """Pipes that name it are rewritten with it. Raises NameTaken, or Conflict when one cannot be."""
        async with self._catalog.changing(workspace_id) as before:
            datasource = before.datasource(name)
            refuse_while_read_elsewhere(self._catalog, datasource, "renamed")
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


def _new_view(plan: Plan, pipe: str) -> View | None:
    """The view of the pipe as it will be, when the plan makes one."""
    for step in plan.steps:
        if isinstance(step, CreateView) and step.pipe.name == pipe and pipe in plan.triggers:
            made = step.pipe
            assert made.view is not None
            return View(made.name, made.view, plan.triggers[pipe], step.target.table, made.view_select)
    return None


def _has_parts(workspace: Workspace, table: TableName) -> bool:
    datasource = workspace.datasource(table.table.removesuffix(QUARANTINE_SUFFIX))
    engine = datasource.definition.engine
    return table == datasource.quarantine or engine is None or engine.name.endswith("MergeTree")


def refuse(problems: Sequence[BirdhouseError]) -> None:
    """Raises the problem, or DeploymentRefused when there are several."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise DeploymentRefused(problems)

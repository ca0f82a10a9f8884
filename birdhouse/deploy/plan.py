"""The steps from one workspace to another. A plan is a list of small values; explain and apply walk the same list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from birdhouse.catalog import lineage
from birdhouse.catalog.resources import QUARANTINE_SUFFIX, DataSource, Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.deploy import ddl
from birdhouse.deploy.alter import Alteration, alterations
from birdhouse.deploy.draft import Draft
from birdhouse.engine.types import TableName
from birdhouse.errors import BirdhouseError
from birdhouse.query.compose import Composer


@dataclass(frozen=True, slots=True)
class CreateDataSource:
    """Creates the table and its quarantine table."""

    datasource: DataSource


@dataclass(frozen=True, slots=True)
class AlterDataSource:
    """Changes the table in place."""

    datasource: DataSource
    alterations: tuple[Alteration, ...]


@dataclass(frozen=True, slots=True)
class DropView:
    """Removes the trigger; what it wrote stays."""

    pipe: Pipe


@dataclass(frozen=True, slots=True)
class CreateView:
    """From now on every block inserted into the leftmost source of the pipe also goes into the target."""

    pipe: Pipe
    target: DataSource


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Keeps the rows that the source of a new view has at that moment, for the populate that goes with it."""

    pipe: Pipe
    source: TableName
    source_name: str
    snapshot: TableName
    has_parts: bool


@dataclass(frozen=True, slots=True)
class SavePipe:
    """Publishes the new text of a pipe."""

    pipe: Pipe
    is_new: bool


@dataclass(frozen=True, slots=True)
class DropDataSource:
    """Removes the table, its quarantine table and all their rows."""

    datasource: DataSource


@dataclass(frozen=True, slots=True)
class DeletePipe:
    pipe: Pipe


Step = CreateDataSource | AlterDataSource | DropView | CreateView | TakeSnapshot | SavePipe | DeletePipe


@dataclass(frozen=True, slots=True)
class Plan:
    """`after` is what the catalog holds once `steps` are done; `cleanup` follows, once nothing points there."""

    before: Workspace
    after: Workspace
    steps: tuple[Step, ...]
    cleanup: tuple[DropDataSource, ...] = ()
    is_populated: frozenset[str] = frozenset()
    """Pipes whose new views get all rows that their sources have: what the old ones have missed is forgotten."""
    triggers: Mapping[str, TableName] = field(default_factory=dict)
    """Pipe with a new view to the table whose inserts will trigger it."""

    @property
    def is_empty(self) -> bool:
        return not self.steps and not self.cleanup


def make_plan(draft: Draft) -> tuple[Plan, list[BirdhouseError]]:
    """Has no side effects. Views are made last and dropped first, so that no view ever points at a missing table."""
    problems: list[BirdhouseError] = []
    tables: list[Step] = []
    pipes: list[Step] = []
    for name in draft.changed:
        resource = draft.after.resources[name]
        if isinstance(resource, Pipe):
            pipes.append(SavePipe(resource, draft.is_new(name)))
            continue
        try:
            step = _table_step(draft, resource)
        except BirdhouseError as error:
            problems.append(error)
            continue
        tables.append(step)
    if problems:
        return Plan(draft.before, draft.after, ()), problems
    dropped, created = _view_steps(draft)
    after = draft.after.with_changes([step.pipe for step in created])
    return Plan(draft.before, after, (*dropped, *tables, *created, *pipes)), []


def _names_in(workspace: Workspace, pipe: Pipe) -> set[str]:
    """Of the resources that the statement of its view follows from."""
    read = lineage.names_read(workspace, pipe)
    return {pipe.name, pipe.target or "", *read, *(name.removesuffix(QUARANTINE_SUFFIX) for name in read)}


def _table_step(draft: Draft, datasource: DataSource) -> Step:
    old = draft.before.resources.get(datasource.name)
    if isinstance(old, DataSource):
        return AlterDataSource(datasource, tuple(alterations(old, datasource.definition)))
    return CreateDataSource(datasource)


def _view_steps(draft: Draft) -> tuple[list[DropView], list[CreateView]]:
    """Every materialized pipe whose composed SQL is no longer what its view was created with gets a new view.

    That covers pipes further up: a view holds the text of all pipes it reads. Where none of what it reads or writes has
    changed, neither has the text.
    """
    changed = set(draft.changed)
    dropped: list[DropView] = []
    created: list[CreateView] = []
    for gone in draft.before.pipes():
        now = draft.after.by_id.get(gone.id)
        if gone.view is not None and (not isinstance(now, Pipe) or now.view != gone.view):
            dropped.append(DropView(gone))
    for pipe in draft.after.pipes():
        if pipe.view is None or pipe.target is None or changed.isdisjoint(_names_in(draft.after, pipe)):
            continue
        target = draft.after.datasource(pipe.target)
        sql = Composer(draft.after, {}, check=True).pipe(pipe).sql
        statement = ddl.create_view(pipe.view, target.table, sql)
        old = draft.before.by_id.get(pipe.id)
        if isinstance(old, Pipe) and old.view == pipe.view:
            if old.view_statement == statement:
                continue
            dropped.append(DropView(old))
        created.append(CreateView(replace(pipe, view_statement=statement), target))
    return dropped, created

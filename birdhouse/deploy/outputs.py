"""Plans that need no check of SQL: what is deleted, published or unlinked."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from birdhouse.catalog import lineage
from birdhouse.catalog.resources import DataSource, Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.deploy.plan import DeletePipe, DropDataSource, DropView, Plan, SavePipe, Step
from birdhouse.errors import Conflict, InUse, NameTaken
from birdhouse.language.datafile.check import check as check_definition
from birdhouse.language.datafile.format import format_datasource, format_pipe
from birdhouse.language.datafile.model import Node, NodeKind
from birdhouse.language.datafile.parse import normal_description
from birdhouse.language.datafile.run_options import run_options


def delete_datasource(before: Workspace, datasource: DataSource, now: datetime, *, force: bool) -> Plan:
    """With `force` the views that read or write it are unlinked; without, InUse names them. Rows go with the table."""
    linked = dependent_pipes(before, datasource)
    if linked and not force:
        names = ", ".join(pipe.name for pipe in linked)
        raise InUse(
            f"The Data Source '{datasource.name}' is used by downstream pipes: {names}",
            hint="Delete or unlink them first, or pass force=true.",
        )
    steps: list[Step] = []
    saved: list[Pipe] = []
    for pipe in linked:
        if pipe.view is not None:
            steps.append(DropView(pipe))
            saved.append(without_output(pipe, now))
    steps += [SavePipe(pipe, is_new=False) for pipe in saved]
    after = before.with_changes(saved, [datasource.id])
    return Plan(before, after, tuple(steps), (DropDataSource(datasource),))


def dependent_pipes(workspace: Workspace, datasource: DataSource) -> tuple[Pipe, ...]:
    """The pipes whose views or copies read or write the data source, and those that read it directly."""
    found = {pipe.name: pipe for pipe in lineage.readers(workspace, datasource.name)}
    for pipe in lineage.dependents(workspace, datasource.name):
        if pipe.view is not None:
            found[pipe.name] = pipe
    found |= {pipe.name: pipe for pipe in workspace.writers(datasource.name)}
    return tuple(found[name] for name in sorted(found))


def delete_pipe(before: Workspace, pipe: Pipe) -> Plan:
    """InUse when another pipe reads it. What its view wrote stays."""
    readers = lineage.readers(before, pipe.name)
    if readers:
        names = ", ".join(reader.name for reader in readers)
        raise InUse(f"The Pipe '{pipe.name}' is used by: {names}", hint="Delete or change them first.")
    steps: list[Step] = [DropView(pipe)] if pipe.view is not None else []
    steps.append(DeletePipe(pipe))
    return Plan(before, before.with_changes((), [pipe.id]), tuple(steps))


def unlink(before: Workspace, pipe: Pipe, now: datetime) -> Plan:
    """Takes the output away: the pipe publishes nothing, its view stops, its data stays."""
    plain = without_output(pipe, now)
    steps: list[Step] = [DropView(pipe)] if pipe.view is not None else []
    steps.append(SavePipe(plain, is_new=False))
    return Plan(before, before.with_changes([plain]), tuple(steps))


def without_output(pipe: Pipe, now: datetime) -> Pipe:
    plain = replace(pipe, published=None, view_statement=None, updated_at=now)
    if pipe.definition.output is None:
        return plain
    nodes = tuple(Node(node.name, node.sql, node.description) for node in pipe.definition.nodes)
    definition = replace(pipe.definition, nodes=nodes)
    return replace(plain, definition=definition, text=format_pipe(definition))


def publish(before: Workspace, pipe: Pipe, node: str, now: datetime) -> Plan:
    """The pipe answers with that node, and with no other; a view or copy it was ends."""
    if pipe.kind is NodeKind.ENDPOINT and pipe.output.name == node:
        return Plan(before, before, ())
    steps: list[Step] = [DropView(pipe)] if pipe.view is not None else []
    published = replace(without_output(pipe, now), published=node)
    return Plan(before, before.with_changes([published]), (*steps, SavePipe(published, is_new=False)))


def rename_pipe(before: Workspace, pipe: Pipe, new_name: str | None, description: str | None, now: datetime) -> Plan:
    definition = pipe.definition
    if new_name is not None and new_name != pipe.name:
        _refuse_new_name(before, pipe, new_name)
        definition = replace(definition, name=new_name, version=None)
    if description is not None:
        definition = replace(definition, description=normal_description(description))
    renamed = replace(pipe, definition=definition, text=format_pipe(definition), updated_at=now)
    return Plan(before, before.with_changes([renamed]), (SavePipe(renamed, is_new=False),))


def _refuse_new_name(before: Workspace, pipe: Pipe, new_name: str) -> None:
    if new_name in before.resources:
        raise NameTaken(f"There is already a resource with name '{new_name}'")
    readers = lineage.readers(before, pipe.name)
    if readers:
        names = ", ".join(reader.name for reader in readers)
        raise InUse(f"The Pipe '{pipe.name}' is read by that name in: {names}", hint="Change them first.")
    behind = [each.name for each in before.pipes() if pipe.name in run_options(each.output).run_behind]
    if behind:
        raise InUse(f"The Pipe '{pipe.name}' is in run_behind of: {', '.join(behind)}", hint="Change them first.")
    problems = check_definition(replace(pipe.definition, name=new_name))
    if problems:
        raise problems[0]


def exchanged(before: Workspace, first: DataSource, second: DataSource, now: datetime) -> Workspace:
    """The workspace once the two have swapped their tables. Raises Conflict unless their columns are equal."""
    if first.definition.columns != second.definition.columns:
        raise Conflict(f"'{first.name}' and '{second.name}' have different columns and cannot be exchanged")
    return before.with_changes([_with_table_of(first, second, now), _with_table_of(second, first, now)])


def _with_table_of(datasource: DataSource, other: DataSource, now: datetime) -> DataSource:
    definition = replace(datasource.definition, engine=other.definition.engine, indexes=other.definition.indexes)
    return replace(datasource, definition=definition, text=format_datasource(definition), updated_at=now)

"""The workspace as it would be after a deployment. Building it touches nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from birdhouse.catalog import lineage
from birdhouse.catalog.resources import DataSource, Pipe, Resource
from birdhouse.catalog.workspace import SERVICE_DATABASE, Workspace
from birdhouse.errors import BirdhouseError, Conflict, DatafileError, NameTaken
from birdhouse.jobs.schedule import waiting_cycle
from birdhouse.language.datafile.check import check as check_definition
from birdhouse.language.datafile.model import DataSourceDefinition, Node, NodeKind, PipeDefinition
from birdhouse.language.datafile.run_options import UPSTREAM
from birdhouse.metadata.identifiers import new_resource_id
from birdhouse.query.locate import line_of_word
from birdhouse.usage.reading import ORGANIZATION_DATABASE


class Publish(StrEnum):
    """Which node of a pipe without TYPE becomes its endpoint."""

    LAST = "last"
    """The last one, as a push of its datafile does."""
    LAST_IF_ENDPOINT = "last_if_endpoint"
    """The last one of a pipe that is an endpoint already, so that its callers notice nothing when it is replaced."""
    SAME = "same"
    """The one that is, as long as it exists."""


@dataclass(frozen=True, slots=True)
class Desired:
    """One resource as somebody wants it. `file` is where it came from, for error messages; empty for the API."""

    definition: DataSourceDefinition | PipeDefinition
    text: str
    file: str = ""
    publish: Publish = Publish.LAST


@dataclass(frozen=True)
class Draft:
    before: Workspace
    after: Workspace
    changed: tuple[str, ...]
    """Names of the resources that are new or whose definition differs."""
    files: Mapping[str, str]
    """Resource name to the file it came from."""

    def is_new(self, name: str) -> bool:
        return name not in self.before.resources

    def file_of(self, name: str) -> str:
        return self.files.get(name, "")


def make_draft(before: Workspace, desired: Sequence[Desired], now: datetime) -> tuple[Draft, list[BirdhouseError]]:
    """The draft and what is wrong with it as far as names and references tell."""
    problems: list[BirdhouseError] = []
    files: dict[str, str] = {}
    saved: list[Resource] = []
    for each in desired:
        name = each.definition.resource_name
        problems += check_definition(each.definition, each.file)
        if name in files:
            problems.append(NameTaken(f"'{name}' is defined twice", detail=f"({files[name]} and {each.file})"))
            continue
        files[name] = each.file
        found = before.resources.get(name)
        if found is not None and not _same_kind(found, each.definition):
            problems.append(_other_kind(found, each.file))
        elif found is None or found.definition != each.definition or found.text != each.text:
            saved.append(_resource(before, found, each, now))
    draft = Draft(before, before.with_changes(saved), tuple(resource.name for resource in saved), files)
    if not problems:
        problems += _reference_problems(draft)
    return draft, problems


def _same_kind(found: Resource, definition: DataSourceDefinition | PipeDefinition) -> bool:
    return isinstance(found, DataSource) == isinstance(definition, DataSourceDefinition)


def _other_kind(found: Resource, file: str) -> NameTaken:
    kind = "Data Source" if isinstance(found, DataSource) else "Pipe"
    return NameTaken(f"There is already a {kind} with name '{found.name}'", detail=f"({file})" if file else "")


def _resource(before: Workspace, found: Resource | None, each: Desired, now: datetime) -> Resource:
    identity = found.id if found else new_resource_id()
    created_at = found.created_at if found else now
    if isinstance(each.definition, DataSourceDefinition):
        return DataSource(identity, each.definition, each.text, before.database, created_at, now)
    old = found if isinstance(found, Pipe) else None
    old_ids = old.node_ids if old else {}
    return Pipe(
        id=identity,
        definition=each.definition,
        text=each.text,
        database=before.database,
        created_at=created_at,
        updated_at=now,
        node_ids={node.name: old_ids.get(node.name) or new_resource_id() for node in each.definition.nodes},
        published=_published(each, old),
        view_statement=old.view_statement if old else None,
    )


def _published(each: Desired, old: Pipe | None) -> str | None:
    assert isinstance(each.definition, PipeDefinition)
    if each.definition.output is not None:
        return None
    was_endpoint = old is not None and old.kind is NodeKind.ENDPOINT
    if each.publish is Publish.SAME:
        same = each.definition.node(old.output.name) if old is not None and was_endpoint else None
        return same.name if same else None
    return each.definition.nodes[-1].name if each.publish is Publish.LAST or was_endpoint else None


def with_datasource(draft: Draft, definition: DataSourceDefinition, text: str, now: datetime) -> Draft:
    """The draft with one more data source, the target that a materialized node creates."""
    resource = _resource(draft.before, None, Desired(definition, text), now)
    return replace(
        draft, after=draft.after.with_changes([resource]), changed=(*draft.changed, definition.resource_name)
    )


def _reference_problems(draft: Draft) -> list[BirdhouseError]:
    problems: list[BirdhouseError] = []
    pipes = [each for name in draft.changed if isinstance(each := draft.after.resources[name], Pipe)]
    for pipe in pipes:
        problems += _unknown_references(draft, pipe)
        problems += _target_problems(draft, pipe)
    if problems:
        return problems  # a text that cannot be read has no references to follow
    cycle = lineage.pipe_cycle(pipe.definition for pipe in draft.after.pipes())
    if cycle is not None:
        problems.append(Conflict(f"Circular reference: {' -> '.join(cycle)}", hint="Break the circle at one node."))
        return problems
    waiting = waiting_cycle(draft.after)
    if waiting is not None:
        first, second = waiting[:2]
        problems.append(
            Conflict(
                f"These pipes would wait for each other for ever: {' -> '.join(waiting)}",
                hint=f'Let one read what the last run of the next has written: TAGS "run_after={UPSTREAM}&'
                f'run_behind={second}" in {first}, or take run_after away from one that has a schedule.',
            )
        )
    return problems


def _unknown_references(draft: Draft, pipe: Pipe) -> Iterable[BirdhouseError]:
    """A table that the rendered SQL reads must exist. Branches of a template that were not rendered are not refused."""
    own = {node.name for node in pipe.definition.nodes}
    for node in pipe.definition.nodes:
        try:
            names = lineage.rendered_references(node.sql)
        except BirdhouseError as error:
            yield _in_node(error, draft, pipe, node)
            continue
        for name in sorted(names - own):
            if not _is_known(draft.after, name):
                file = draft.file_of(pipe.name)
                yield DatafileError(
                    f"Resource '{name}' not found, read by node '{node.name}' of pipe '{pipe.name}'",
                    file=file,
                    line=line_of(pipe.text, node.name, name) if file else line_of_word(node.sql, name),
                    hint=Workspace.nearest(name, draft.after.resources.values()),
                )


def _in_node(error: BirdhouseError, draft: Draft, pipe: Pipe, node: Node) -> DatafileError:
    place = error.detail.removeprefix("(").removesuffix(")")
    return DatafileError(
        f"{error.message} (in node '{node.name}' of pipe '{pipe.name}'{f', {place}' if place else ''})",
        file=draft.file_of(pipe.name),
        hint=error.hint,
    )


def _is_known(workspace: Workspace, name: str) -> bool:
    if name in workspace.resources or workspace.quarantine_of(name) is not None:
        return True
    return name.partition(".")[0] in (SERVICE_DATABASE, ORGANIZATION_DATABASE, "system") and "." in name


def _target_problems(draft: Draft, pipe: Pipe) -> Iterable[BirdhouseError]:
    output = pipe.definition.output
    if output is None or pipe.target is None:
        return
    target = draft.after.resources.get(pipe.target)
    if isinstance(target, Pipe):
        yield Conflict(f"The target '{pipe.target}' of pipe '{pipe.name}' is a pipe, not a data source")
    elif target is None and output.kind is NodeKind.COPY:
        yield DatafileError(
            f"Target Data Source '{pipe.target}' of copy pipe '{pipe.name}' does not exist",
            file=draft.file_of(pipe.name),
            hint=Workspace.nearest(pipe.target, draft.after.datasources()) or "Create the data source first.",
        )


def line_of(text: str, node: str, word: str) -> int:
    """The line of a datafile where `word` first stands after `NODE node`, or of the node itself; 0 when not found."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.split()[:2] == ["NODE", node]), -1)
    for number, line in enumerate(lines[start + 1 :], start + 2):
        if word in line:
            return number
    return start + 1

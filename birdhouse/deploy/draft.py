"""The workspace as it would be after a deployment. Building it touches nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from birdhouse.catalog import lineage
from birdhouse.catalog.resources import QUARANTINE_SUFFIX, DataSource, Pipe, Resource
from birdhouse.catalog.workspace import SERVICE_DATABASE, Workspace
from birdhouse.deploy.places import in_node, spot_of_name
from birdhouse.errors import BirdhouseError, Conflict, DatafileError, NameTaken
from birdhouse.jobs.schedule import waiting_cycle
from birdhouse.language.datafile.check import check as check_definition
from birdhouse.language.datafile.model import DataSourceDefinition, Node, NodeKind, PipeDefinition
from birdhouse.language.datafile.places import Spot, word_place
from birdhouse.language.datafile.run_options import UPSTREAM
from birdhouse.metadata.identifiers import new_resource_id
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
    broken: frozenset[str] = frozenset()
    """Names of resources that cannot be used, also of such that could not be read. What reads them is not looked at."""
    broken_nodes: frozenset[tuple[str, str]] = frozenset()
    """Pipe and node of the texts that have problems already."""

    def is_new(self, name: str) -> bool:
        return name not in self.before.resources

    def file_of(self, name: str) -> str:
        return self.files.get(name, "")


def make_draft(
    before: Workspace, desired: Sequence[Desired], now: datetime, *, unreadable: Iterable[str] = ()
) -> tuple[Draft, list[BirdhouseError]]:
    """The draft and what is wrong with it as far as names and references tell.

    `unreadable` names resources that are wanted too, but whose datafiles cannot be read.
    """
    problems: list[BirdhouseError] = []
    files: dict[str, str] = {}
    saved: list[Resource] = []
    broken = set(unreadable)
    for each in desired:
        name = each.definition.resource_name
        wrong = check_definition(each.definition, each.file)
        problems += wrong
        if wrong and isinstance(each.definition, DataSourceDefinition):
            broken.add(name)
        if name in files:
            problems.append(_twice(name, files[name], each.file))
            continue
        files[name] = each.file
        if isinstance(each.definition, PipeDefinition) and not each.definition.nodes:
            broken.add(name)
            continue
        found = before.resources.get(name)
        if found is not None and not _same_kind(found, each.definition):
            problems.append(_other_kind(found, each.file))
        elif found is None or found.definition != each.definition or found.text != each.text:
            saved.append(_resource(before, found, each, now))
    changed = tuple(resource.name for resource in saved)
    draft = Draft(before, before.with_changes(saved), changed, files, frozenset(broken))
    draft, more = _reference_problems(draft)
    return draft, [*problems, *more]


def _same_kind(found: Resource, definition: DataSourceDefinition | PipeDefinition) -> bool:
    return isinstance(found, DataSource) == isinstance(definition, DataSourceDefinition)


def _twice(name: str, first: str, second: str) -> NameTaken:
    taken = NameTaken(f"'{name}' is defined twice", detail=f"({first} and {second})", hint="Rename or remove one.")
    return taken.at(second)


def _other_kind(found: Resource, file: str) -> NameTaken:
    kind = "Data Source" if isinstance(found, DataSource) else "Pipe"
    return NameTaken(f"There is already a {kind} with name '{found.name}'").at(file)


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


def _reference_problems(draft: Draft) -> tuple[Draft, list[BirdhouseError]]:
    problems: list[BirdhouseError] = []
    broken_nodes: set[tuple[str, str]] = set()
    pipes = [pipe for name in draft.changed if isinstance(pipe := draft.after.resources[name], Pipe)]
    for pipe in pipes:
        for node in pipe.definition.nodes:
            if found := list(_unknown_references(draft, pipe, node)):
                problems += found
                broken_nodes.add((pipe.name, node.name))
        problems += _target_problems(draft, pipe)
    if not pipes:
        return draft, problems
    draft = replace(draft, broken_nodes=frozenset(broken_nodes))
    # There was no cycle before, and a text that cannot be read has no references to follow.
    unreadable = {name for name, _ in broken_nodes}
    cycle = lineage.pipe_cycle(each.definition for each in lineage.pipes_below(draft.after, pipes, but=unreadable))
    if cycle is not None:
        circle = Conflict(f"Circular reference: {' -> '.join(cycle)}", hint="Break the circle at one node.")
        inside = [name.rpartition(".")[0] for name in cycle]
        problems.append(circle.at(draft.file_of(inside[0])))
        return replace(draft, broken=draft.broken.union(inside)), problems
    waiting = None if broken_nodes else waiting_cycle(draft.after)
    if waiting is not None:
        first, second = waiting[:2]
        problems.append(
            Conflict(
                f"These pipes would wait for each other for ever: {' -> '.join(waiting)}",
                hint=f'Let one read what the last run of the next has written: TAGS "run_after={UPSTREAM}&'
                f'run_behind={second}" in {first}, or take run_after away from one that has a schedule.',
            ).at(draft.file_of(first))
        )
    return draft, problems


def _unknown_references(draft: Draft, pipe: Pipe, node: Node) -> Iterable[BirdhouseError]:
    """A table that the rendered SQL reads must exist. Branches of a template that were not rendered are not refused."""
    file = draft.file_of(pipe.name)
    try:
        names = lineage.rendered_references(node.sql)
    except BirdhouseError as error:
        yield in_node(error, draft.after, pipe, node, file)
        return
    own = {each.name for each in pipe.definition.nodes}
    for name in sorted(names - own):
        if not _is_known(draft, name):
            yield DatafileError(
                f"Resource '{name}' not found, read by node '{node.name}' of pipe '{pipe.name}'",
                hint=draft.after.hint_for_unknown(name),
            ).at(*spot_of_name(name, pipe, node, file))


def _is_known(draft: Draft, name: str) -> bool:
    if {name, name.removesuffix(QUARANTINE_SUFFIX)} & draft.broken:
        return True
    if name in draft.after.resources or name in draft.after.shared or draft.after.quarantine_of(name) is not None:
        return True
    return name.partition(".")[0] in (SERVICE_DATABASE, ORGANIZATION_DATABASE, "system") and "." in name


def _target_problems(draft: Draft, pipe: Pipe) -> Iterable[BirdhouseError]:
    output = pipe.definition.output
    if output is None or pipe.target is None or pipe.target in draft.broken:
        return
    file = draft.file_of(pipe.name)
    spot = word_place(pipe.text, file, pipe.target) if file else Spot("")
    target = draft.after.resources.get(pipe.target)
    if isinstance(target, Pipe):
        yield Conflict(f"The target '{pipe.target}' of pipe '{pipe.name}' is a pipe, not a data source").at(*spot)
    elif target is None and output.kind is NodeKind.COPY:
        yield DatafileError(
            f"Target Data Source '{pipe.target}' of copy pipe '{pipe.name}' does not exist",
            hint=Workspace.nearest(pipe.target, draft.after.datasources()) or "Create the data source first.",
        ).at(*spot)

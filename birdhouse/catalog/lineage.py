"""Who reads whom, taken from the text of the nodes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache

from birdhouse.catalog.resources import DataSource, Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.errors import BirdhouseError
from birdhouse.language.datafile.model import Node, NodeKind, PipeDefinition
from birdhouse.language.sql.tables import TableRef, leftmost_table, tables
from birdhouse.language.template import is_template, parse_template, render, table_names, template_body

_READ = re.compile(r"\b(?:FROM|JOIN)\s+`?([A-Za-z_][\w.]*)`?", re.IGNORECASE)
_TEXTS_KEPT = 4096


@lru_cache(maxsize=_TEXTS_KEPT)
def references(sql: str) -> frozenset[str]:
    """The names a node reads, `database.name` where it wrote a database.

    A template reads what it renders to without parameters, what table('…') names, and what follows FROM or JOIN in
    a branch that was not rendered. Names of common table expressions may be among the last; they match no resource.
    """
    if not is_template(sql):
        return rendered_references(sql)
    body = template_body(sql)
    found = set(table_names(parse_template(body))) | set(_READ.findall(body))
    # What is wrong with the template is reported where it is checked; here its names are enough.
    with suppress(BirdhouseError):
        found |= rendered_references(sql)
    return frozenset(found)


@lru_cache(maxsize=_TEXTS_KEPT)
def rendered_references(sql: str) -> frozenset[str]:
    """The names a node reads when it is rendered without parameters, with stand-ins for missing values."""
    return frozenset(map(_name, tables(_rendered(sql))))


@lru_cache(maxsize=_TEXTS_KEPT)
def leftmost_reference(sql: str) -> str | None:
    """The name of the leftmost table a node reads when it is rendered without parameters, if it can be told."""
    found = leftmost_table(_rendered(sql))
    return None if found is None else _name(found)


def _rendered(sql: str) -> str:
    return render(parse_template(template_body(sql)), {}, check=True).sql if is_template(sql) else sql


def _name(ref: TableRef) -> str:
    return f"{ref.database}.{ref.name}" if ref.database else ref.name


def nodes_in_order(pipe: PipeDefinition) -> list[Node]:
    """The nodes of a pipe after those they read. They must have no cycle."""
    ordered: dict[str, Node] = {}

    def place(node: Node) -> None:
        if node.name in ordered:
            return
        for name in sorted(references(node.sql)):
            if name != node.name and (read := pipe.node(name)) is not None:
                place(read)
        ordered[node.name] = node

    for node in pipe.nodes:
        place(node)
    return list(ordered.values())


def sources(pipe: PipeDefinition) -> frozenset[str]:
    """The names outside the pipe that any of its nodes reads."""
    own = {node.name for node in pipe.nodes}
    return frozenset(name for node in pipe.nodes for name in references(node.sql) if name not in own)


def reads(workspace: Workspace, pipe: Pipe) -> tuple[DataSource | Pipe, ...]:
    """The resources of the workspace that the pipe reads directly."""
    return tuple(
        found for name in sorted(sources(pipe.definition)) if (found := _resource_read(workspace, name)) is not None
    )


def _resource_read(workspace: Workspace, name: str) -> DataSource | Pipe | None:
    found = workspace.resources.get(name)
    if found is None and workspace.quarantine_of(name) is not None:
        found = workspace.resources.get(name.removesuffix("_quarantine"))
    return found


def read_by_node(workspace: Workspace, pipe: Pipe, node: Node) -> frozenset[str]:
    """The names, other than pipes', that the result of a node depends on; `database.name` where one was written."""
    found: set[str] = set()
    seen = {(pipe.name, node.name)}
    waiting = [(pipe, node)]
    while waiting:
        reader, read = waiting.pop()
        for name in references(read.sql):
            other = workspace.resources.get(name)
            if (own := reader.definition.node(name)) is not None:
                following = (reader, own)
            elif isinstance(other, Pipe):
                following = (other, other.output)
            else:
                found.add(name)
                continue
            key = (following[0].name, following[1].name)
            if key not in seen:
                seen.add(key)
                waiting.append(following)
    return frozenset(found)


def readers(workspace: Workspace, name: str) -> tuple[Pipe, ...]:
    """The pipes that read the data source or pipe of that name directly."""
    return tuple(pipe for pipe in _readers_by_name(workspace).get(name, ()) if pipe.name != name)


def _readers_by_name(workspace: Workspace) -> Mapping[str, Sequence[Pipe]]:
    """Found once for each value of a workspace: who looks at jobs asks for every one of them."""
    found: dict[str, list[Pipe]] | None = workspace.derived.get("readers")
    if found is None:
        found = workspace.derived["readers"] = {}
        for pipe in workspace.pipes():
            for name in {read.name for read in reads(workspace, pipe)}:
                found.setdefault(name, []).append(pipe)
    return found


def dependents(workspace: Workspace, name: str) -> tuple[Pipe, ...]:
    """Every pipe that reads NAME, directly or through other pipes; nearest first."""
    found: dict[str, Pipe] = {}
    waiting = [name]
    while waiting:
        for pipe in readers(workspace, waiting.pop(0)):
            if pipe.name not in found:
                found[pipe.name] = pipe
                waiting.append(pipe.name)
    return tuple(found.values())


def leftmost_source(workspace: Workspace, pipe: Pipe) -> DataSource | None:
    """The data source that the rows of the pipe come from: its leftmost table, followed through nodes and pipes.

    Inserts into it are what triggers a materialized pipe. None when it cannot be told from the text.
    """
    node, followed = pipe.output, set[tuple[str, str]]()
    while (pipe.id, node.name) not in followed:
        followed.add((pipe.id, node.name))
        name = leftmost_reference(node.sql) or ""
        own = pipe.definition.node(name)
        if own is not None:
            node = own
            continue
        found = _resource_read(workspace, name)
        if not isinstance(found, Pipe):
            return found
        pipe, node = found, found.output
    return None


def copies_feeding(workspace: Workspace, pipe: Pipe) -> tuple[Pipe, ...]:
    """The copy pipes whose rows the pipe reads, through other pipes and through materialized views.

    A view passes on what comes into its leftmost table only: it reads the others, but does not wait for them.
    """
    found: dict[str, Pipe] = {}
    waiting = list(datasources_read(workspace, pipe))
    seen: set[str] = set()
    while waiting:
        source = waiting.pop()
        if source.id in seen:
            continue
        seen.add(source.id)
        for writer in workspace.writers(source.name):
            if writer.kind is NodeKind.COPY:
                found[writer.name] = writer
            elif writer.kind is NodeKind.MATERIALIZED:
                trigger = leftmost_source(workspace, writer)
                waiting += datasources_read(workspace, writer) if trigger is None else [trigger]
    return tuple(found[name] for name in sorted(found))


def datasources_read(workspace: Workspace, pipe: Pipe) -> Iterable[DataSource]:
    """Those that the pipe reads directly or through other pipes."""
    waiting, seen = [pipe], {pipe.id}
    while waiting:
        for read in reads(workspace, waiting.pop()):
            if isinstance(read, DataSource):
                yield read
            elif read.id not in seen:
                seen.add(read.id)
                waiting.append(read)


def pipes_below(workspace: Workspace, pipes: Iterable[Pipe], *, but: Collection[str] = ()) -> tuple[Pipe, ...]:
    """The pipes themselves and those that they read, directly or through others; those named in `but` are left out."""
    waiting, found = list(pipes), dict[str, Pipe]()
    while waiting:
        pipe = waiting.pop()
        if pipe.name not in found and pipe.name not in but:
            found[pipe.name] = pipe
            read = (workspace.resources.get(name) for name in sources(pipe.definition))
            waiting += (each for each in read if isinstance(each, Pipe))
    return tuple(found.values())


def names_read(workspace: Workspace, pipe: Pipe) -> frozenset[str]:
    """What the pipe reads, directly or through other pipes, by the names that are written there."""
    return frozenset(name for each in pipes_below(workspace, [pipe]) for name in sources(each.definition))


def ids_below(workspace: Workspace, datasource_id: str) -> frozenset[str]:
    """Of the data source, and of those that views may fill from it, directly or one through the other.

    A view that only joins it counts too: which table triggers a view is known to the engine alone.
    """
    found = {datasource_id}
    waiting = [each.name for each in workspace.datasources() if each.id == datasource_id]
    while waiting:
        for pipe in dependents(workspace, waiting.pop()):
            target = workspace.resources.get(pipe.target or "") if pipe.view is not None else None
            if target is not None and target.id not in found:
                found.add(target.id)
                waiting.append(target.name)
    return frozenset(found)


def find_cycle(edges: Mapping[str, Iterable[str]]) -> tuple[str, ...] | None:
    """A cycle as `("a", "b", "a")`, or None. `edges` says what each name reads."""
    done: set[str] = set()
    for start in sorted(edges):
        path: list[str] = []
        stack: list[tuple[str, Iterable[str]]] = [(start, iter(sorted(edges[start])))]
        path.append(start)
        while stack:
            _, rest = stack[-1]
            following = next(iter(rest), None)
            if following is None:
                stack.pop()
                done.add(path.pop())
            elif following in path:
                return (*path[path.index(following) :], following)
            elif following in edges and following not in done:
                path.append(following)
                stack.append((following, iter(sorted(edges[following]))))
    return None


def pipe_cycle(pipes: Iterable[PipeDefinition]) -> tuple[str, ...] | None:
    """A cycle among pipes or among the nodes of one; nodes are named `pipe.node`.

    Only reading counts: a pipe that writes a data source which it also reads is no cycle.
    """
    by_name = {pipe.resource_name: pipe for pipe in pipes}
    edges: dict[str, set[str]] = {}
    for name, pipe in by_name.items():
        own = {node.name for node in pipe.nodes}
        for node in pipe.nodes:
            edges[f"{name}.{node.name}"] = {
                f"{name}.{read}" if read in own else _output_of(by_name[read])
                for read in references(node.sql)
                if read in own or read in by_name
            }
    return find_cycle(edges)


def _output_of(pipe: PipeDefinition) -> str:
    node = pipe.output or pipe.nodes[-1]
    return f"{pipe.resource_name}.{node.name}"


def order(pipes: Iterable[PipeDefinition]) -> list[PipeDefinition]:
    """Pipes after those they read. The pipes must have no cycle."""
    by_name = {pipe.resource_name: pipe for pipe in pipes}
    ordered: dict[str, PipeDefinition] = {}

    def place(pipe: PipeDefinition) -> None:
        if pipe.resource_name in ordered:
            return
        for name in sorted(sources(pipe)):
            if name in by_name and name != pipe.resource_name:
                place(by_name[name])
        ordered[pipe.resource_name] = pipe

    for name in sorted(by_name):
        place(by_name[name])
    return list(ordered.values())

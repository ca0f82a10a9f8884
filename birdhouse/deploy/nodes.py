"""Which nodes of a draft the engine understands, and what columns they give. Nothing is run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from birdhouse.catalog import lineage
from birdhouse.catalog.resources import QUARANTINE_SUFFIX, Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.deploy.draft import Draft
from birdhouse.deploy.places import in_node
from birdhouse.engine.protocol import Engine
from birdhouse.engine.tables import StoredColumn, describe_select
from birdhouse.errors import BirdhouseError, SqlError
from birdhouse.language.datafile.model import Node, NodeKind, PipeDefinition
from birdhouse.language.sql.statements import selects_parameter
from birdhouse.language.sql.tables import COPY_TABLE_FUNCTIONS, GENERAL_TABLE_FUNCTIONS, table_functions
from birdhouse.language.template import is_template, parse_template, template_body
from birdhouse.language.template.examples import trials
from birdhouse.query.compose import Composed, Composer

CHECKS_AT_A_TIME = 4
NO_VALUES: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class _Place:
    """A node of a pipe."""

    pipe: str
    node: str


class NodeCheck:
    """Asks for as few nodes as will do: one that works vouches for those it reads, as their text is part of its own.

    Each problem is told once, by the node that has it: those that read a broken one are not looked at.
    """

    def __init__(
        self, engine: Engine, services: Workspace | None, workspace: Workspace, draft: Draft, broken: Iterable[str]
    ) -> None:
        """`workspace` is the one after the draft, with empty tables; `broken` are resources that cannot be used."""
        self._engine = engine
        self._services = services
        self._workspace = workspace
        self._draft = draft
        self._broken_resources = set(broken)
        self._checks: dict[_Place, asyncio.Future[bool]] = {}
        self._fine: set[_Place] = set()
        self._broken = {_Place(*names) for names in draft.broken_nodes}
        self.problems: list[BirdhouseError] = []

    async def run(self, pipes: Iterable[PipeDefinition]) -> None:
        places = list(self._places(pipes))
        read = {each for place in places for each in self._nodes_read(place)}
        ends = iter([place for place in places if place not in read])

        async def work() -> None:
            for place in ends:
                await self._check(place)

        async with asyncio.TaskGroup() as group:
            for _ in range(CHECKS_AT_A_TIME):
                group.create_task(work())
        for place in reversed(places):
            await self._check(place)

    def is_fine(self, pipe: str, node: str) -> bool:
        return _Place(pipe, node) in self._fine

    async def columns(self, pipe: str, node: str) -> list[StoredColumn] | None:
        """Of a node that is fine; None when only another server could tell."""
        return await self._describe(_Place(pipe, node))

    async def try_values(self, pipes: Iterable[PipeDefinition]) -> None:
        """Checks templates that are fine once more, with the defaults and the examples that they declare."""
        failed: set[_Place] = set()
        for place in self._places(pipes):
            _, node = self._found(place)
            if not is_template(node.sql) or place not in self._fine or not failed.isdisjoint(self._all_read(place)):
                continue
            seen = {self._composed(place, NO_VALUES).sql}
            for trial in trials(parse_template(template_body(node.sql)).parameters):
                try:
                    composed = self._composed(place, trial.values)
                    if composed.sql not in seen:
                        await self._columns_of(place, composed)
                    seen.add(composed.sql)
                except BirdhouseError as error:
                    failed.add(place)
                    error.message = f"{error.message} {trial.title}"
                    self._report(place, error)

    async def _check(self, place: _Place) -> bool:
        """Whether the node is fine; asked once, however many ask."""
        if place in self._fine:
            return True
        if place not in self._checks:
            self._checks[place] = asyncio.ensure_future(self._understood(place))
        return await self._checks[place]

    async def _understood(self, place: _Place) -> bool:
        if place in self._broken or not self._broken_resources.isdisjoint(self._names_read(place)):
            return False
        try:
            await self._describe(place)
        except BirdhouseError as error:
            if all([await self._check(read) for read in self._nodes_read(place)]):
                self._report(place, error)
            return False
        self._fine |= {place, *self._all_read(place)}
        return True

    def _report(self, place: _Place, error: BirdhouseError) -> None:
        pipe, node = self._found(place)
        self.problems.append(in_node(error, self._draft.after, pipe, node, self._draft.file_of(pipe.name)))

    async def _describe(self, place: _Place) -> list[StoredColumn] | None:
        return await self._columns_of(place, self._composed(place, NO_VALUES))

    async def _columns_of(self, place: _Place, composed: Composed) -> list[StoredColumn] | None:
        pipe, node = self._found(place)
        if composed.query_parameters:
            _refuse_shown_secrets(node, composed)
        if pipe.kind is NodeKind.COPY and table_functions(composed.sql) - GENERAL_TABLE_FUNCTIONS:
            return None
        return await describe_select(self._engine, composed.sql, composed.query_parameters)

    def _composed(self, place: _Place, values: Mapping[str, str]) -> Composed:
        pipe, node = self._found(place)
        composer = Composer(
            self._workspace,
            values,
            services=self._services,
            table_functions=COPY_TABLE_FUNCTIONS if pipe.kind is NodeKind.COPY else GENERAL_TABLE_FUNCTIONS,
            check=True,
        )
        return composer.node(pipe, node)

    def _places(self, pipes: Iterable[PipeDefinition]) -> Iterator[_Place]:
        """Nodes after those they read."""
        for definition in lineage.order(pipes):
            for node in lineage.nodes_in_order(definition):
                yield _Place(definition.resource_name, node.name)

    def _found(self, place: _Place) -> tuple[Pipe, Node]:
        pipe = self._workspace.pipe(place.pipe)
        return pipe, pipe.find_node(place.node)

    def _names_read(self, place: _Place) -> set[str]:
        """Resources, also of branches of a template that are not rendered."""
        pipe, node = self._found(place)
        names = {name for name in lineage.references(node.sql) if pipe.definition.node(name) is None}
        return {name.removesuffix(QUARANTINE_SUFFIX) for name in names} | names

    def _nodes_read(self, place: _Place) -> list[_Place]:
        """The nodes whose text becomes part of this one's when it is rendered without values."""
        pipe, node = self._found(place)
        found: list[_Place] = []
        for name in sorted(_rendered(node)):
            read = self._workspace.resources.get(name)
            if name != node.name and pipe.definition.node(name) is not None:
                found.append(_Place(pipe.name, name))
            elif isinstance(read, Pipe):
                found.append(_Place(read.name, read.output.name))
        return found

    def _all_read(self, place: _Place) -> set[_Place]:
        found: set[_Place] = set()
        waiting = self._nodes_read(place)
        while waiting:
            read = waiting.pop()
            if read not in found:
                found.add(read)
                waiting += self._nodes_read(read)
        return found


def _rendered(node: Node) -> frozenset[str]:
    try:
        return lineage.rendered_references(node.sql)
    except BirdhouseError:
        return frozenset()


def _refuse_shown_secrets(node: Node, composed: Composed) -> None:
    if node.kind is NodeKind.MATERIALIZED:
        raise SqlError(
            "A materialized node cannot use a secret: the view would keep its value.",
            hint="Use it in a copy, or in the pipe that reads the target.",
        )
    if selects_parameter(composed.sql):
        raise SqlError(
            "A node cannot give a secret as a column of its result.",
            hint="Use the secret in a condition, or as an argument of a function.",
        )

"""Which nodes of a draft the engine understands, and what columns they give. Nothing is run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from birdhouse.catalog import lineage
from birdhouse.catalog.resources import QUARANTINE_SUFFIX, Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.deploy.draft import Draft
from birdhouse.deploy.known_columns import KnownColumns
from birdhouse.deploy.places import in_node
from birdhouse.engine.protocol import Engine
from birdhouse.engine.tables import StoredColumn
from birdhouse.engine.types import quote_identifier, quote_string
from birdhouse.errors import BirdhouseError, SqlError
from birdhouse.language.datafile.model import Node, NodeKind, PipeDefinition
from birdhouse.language.sql.size import Size, size_of
from birdhouse.language.sql.statements import selects_parameter
from birdhouse.language.sql.tables import COPY_TABLE_FUNCTIONS, GENERAL_TABLE_FUNCTIONS, table_functions
from birdhouse.language.template import is_template, parse_template, render, template_body
from birdhouse.language.template.examples import trials
from birdhouse.query.compose import Composed, Composer

QUESTIONS_AT_A_TIME = 4
NO_VALUES: Mapping[str, str] = {}
STAND_IN = "SELECT * FROM null("

Columns = list[StoredColumn] | None
"""None when only another server could tell."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A node of a pipe."""

    pipe: str
    node: str


class _Misunderstood(Exception):
    """A node that the engine does not understand, found on the way to another one."""

    def __init__(self, place: _Place, error: BirdhouseError) -> None:
        self.place, self.error = place, error
        super().__init__(error)


class NodeCheck:
    """Asks for one node at a time: those it reads are known by then, and their columns stand in for their text.

    Each problem is told once, by the node that has it: those that read a broken one are not looked at.
    """

    def __init__(
        self,
        engine: Engine,
        services: Workspace | None,
        workspace: Workspace,
        draft: Draft,
        broken: Iterable[str],
        known: KnownColumns,
    ) -> None:
        """`workspace` is the one after the draft, with empty tables; `broken` are resources that cannot be used."""
        self._engine = engine
        self._services = services
        self._workspace = workspace
        self._draft = draft
        self._broken_resources = set(broken)
        self._known = known
        self._broken = {_Place(*names) for names in draft.broken_nodes}
        self._columns: dict[_Place, Columns] = {}
        self._checks: dict[_Place, asyncio.Future[bool]] = {}
        self._answers: dict[str, asyncio.Future[Columns]] = {}
        self._sizes: dict[_Place, Size] = {}
        self._turns = asyncio.Semaphore(QUESTIONS_AT_A_TIME)
        self.problems: list[BirdhouseError] = []

    async def run(self, pipes: Iterable[PipeDefinition]) -> None:
        places = list(self._places(pipes))
        async with asyncio.TaskGroup() as group:
            for place in places:
                group.create_task(self._check(place))
        self._compose_whole(places)

    def is_fine(self, pipe: str, node: str) -> bool:
        return _Place(pipe, node) in self._columns

    def columns(self, pipe: str, node: str) -> Columns:
        """Of a node that is fine."""
        return self._columns[_Place(pipe, node)]

    async def try_values(self, pipes: Iterable[PipeDefinition]) -> None:
        """Checks templates that are fine once more, with the defaults and the examples that they declare."""
        told: set[tuple[_Place, str]] = set()
        for place in self._places(pipes):
            _, node = self._found(place)
            if not is_template(node.sql) or place not in self._columns:
                continue
            for trial in trials(parse_template(template_body(node.sql)).parameters):
                try:
                    await self._columns_with(place, trial.values)
                except _Misunderstood as found:
                    error, where = found.error, (found.place, found.error.message)
                    if where not in told:
                        told.add(where)
                        error.message = f"{error.message} {trial.title}"
                        self._report(found.place, error)

    async def _check(self, place: _Place) -> bool:
        """Whether the node is fine; asked once, however many ask."""
        if place not in self._checks:
            self._checks[place] = asyncio.ensure_future(self._understood(place))
        return await self._checks[place]

    async def _understood(self, place: _Place) -> bool:
        if place in self._broken or not self._broken_resources.isdisjoint(self._names_read(place)):
            return False
        reads = self._nodes_read(place, NO_VALUES)
        if not all([await self._check(read) for read in reads]):
            return False
        try:
            self._columns[place] = await self._answer(place, NO_VALUES, {read: self._columns[read] for read in reads})
        except BirdhouseError as error:
            self._report(place, error)
        return place in self._columns

    async def _columns_with(self, place: _Place, values: Mapping[str, str]) -> Columns:
        """With values given, also to the nodes that it reads. Raises _Misunderstood for the first with a problem."""
        try:
            reads = self._nodes_read(place, values)
        except BirdhouseError as error:
            raise _Misunderstood(place, error) from error
        known = {read: await self._columns_with(read, values) for read in reads}
        try:
            return await self._answer(place, values, known)
        except BirdhouseError as error:
            raise _Misunderstood(place, error) from error

    async def _answer(self, place: _Place, values: Mapping[str, str], known: Mapping[_Place, Columns]) -> Columns:
        """`known` are the columns of the nodes it reads."""
        stand_ins = {(read.pipe, read.node): _stand_in(columns) for read, columns in known.items() if columns}
        try:
            composed = self._composed(place, values, stand_ins)
            columns = await self._ask(place, composed)
            self._note_size(place, composed, known)
            return columns
        except BirdhouseError:
            if not stand_ins:
                raise
        # A constant of another node is none in its stand-in, and may have to be one: the whole text decides.
        return await self._ask(place, self._composed(place, values, {}))

    def _note_size(self, place: _Place, composed: Composed, known: Iterable[_Place]) -> None:
        """What the text has at most with all that it reads in the place of the stand-ins; one with secrets has none."""
        size = None if composed.query_parameters else size_of(composed.sql)
        times = composed.sql.count(STAND_IN)
        for read in known:
            inner = self._sizes.get(read)
            size = size.holding(inner, times) if size and inner else None
        if size is not None:
            self._sizes[place] = size

    async def _ask(self, place: _Place, composed: Composed) -> Columns:
        pipe, node = self._found(place)
        if composed.query_parameters:
            _refuse_shown_secrets(node, composed)
        if pipe.kind is NodeKind.COPY and table_functions(composed.sql) - GENERAL_TABLE_FUNCTIONS:
            return None
        if composed.sql not in self._answers:
            self._answers[composed.sql] = asyncio.ensure_future(self._describe(composed))
        return await self._answers[composed.sql]

    async def _describe(self, composed: Composed) -> Columns:
        async with self._turns:
            return await self._known.of(self._engine, self._workspace, composed)

    def _compose_whole(self, places: Iterable[_Place]) -> None:
        """A text may be fine by itself, and too long, too deep or too open with all that it reads."""
        composers: dict[bool, Composer] = {}
        for place in places:
            pipe, node = self._found(place)
            if place not in self._columns or node.name != pipe.output.name:
                continue
            if (size := self._sizes.get(place)) is not None and size.is_small:
                continue
            # What one has composed is there for those that read it, and so are the secrets of all of them.
            composer = composers.setdefault(pipe.kind is NodeKind.COPY, self._composer(pipe, NO_VALUES))
            try:
                composed = composer.node(pipe, node)
                if any(name in composed.sql for name in composed.query_parameters):
                    _refuse_shown_secrets(node, composed)
            except BirdhouseError as error:
                del self._columns[place]
                self._report(place, error)

    def _composed(self, place: _Place, values: Mapping[str, str], stand_ins: Mapping[tuple[str, str], str]) -> Composed:
        pipe, node = self._found(place)
        return self._composer(pipe, values, stand_ins).node(pipe, node)

    def _composer(
        self, pipe: Pipe, values: Mapping[str, str], stand_ins: Mapping[tuple[str, str], str] | None = None
    ) -> Composer:
        return Composer(
            self._workspace,
            values,
            services=self._services,
            table_functions=COPY_TABLE_FUNCTIONS if pipe.kind is NodeKind.COPY else GENERAL_TABLE_FUNCTIONS,
            check=True,
            stand_ins=stand_ins,
        )

    def _report(self, place: _Place, error: BirdhouseError) -> None:
        pipe, node = self._found(place)
        self.problems.append(in_node(error, self._draft.after, pipe, node, self._draft.file_of(pipe.name)))

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

    def _nodes_read(self, place: _Place, values: Mapping[str, str]) -> list[_Place]:
        """The nodes whose text becomes part of this one's."""
        pipe, node = self._found(place)
        found: list[_Place] = []
        for name in sorted(lineage.rendered_references(self._rendered(node, values))):
            read = self._workspace.resources.get(name)
            if name != node.name and pipe.definition.node(name) is not None:
                found.append(_Place(pipe.name, name))
            elif isinstance(read, Pipe):
                found.append(_Place(read.name, read.output.name))
        return found

    def _rendered(self, node: Node, values: Mapping[str, str]) -> str:
        if not is_template(node.sql):
            return node.sql
        template = parse_template(template_body(node.sql))
        return render(template, values, secrets=self._workspace.variables, check=True).sql


def _stand_in(columns: list[StoredColumn]) -> str:
    """A SELECT of no rows with these columns."""
    structure = ", ".join(f"{quote_identifier(column.name)} {column.type}" for column in columns)
    return f"{STAND_IN}{quote_string(structure)})"


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

"""Resources: definitions that live in a workspace, with the identity and the tables they were given there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from birdhouse.engine.types import TableName
from birdhouse.errors import NotFound
from birdhouse.language.datafile.model import DataSourceDefinition, Node, NodeKind, PipeDefinition

QUARANTINE_SUFFIX = "_quarantine"
VIEW_PREFIX = "v_"


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data source is a table with an opaque stable name, and beside it a table for the rows that do not fit."""

    id: str
    definition: DataSourceDefinition
    text: str
    """The datafile as pushed, with includes expanded."""
    database: str
    created_at: datetime
    updated_at: datetime

    @property
    def name(self) -> str:
        return self.definition.resource_name

    @property
    def table(self) -> TableName:
        return TableName(self.database, self.id)

    @property
    def quarantine(self) -> TableName:
        return TableName(self.database, f"{self.id}{QUARANTINE_SUFFIX}")


@dataclass(frozen=True, slots=True)
class Pipe:
    id: str
    definition: PipeDefinition
    text: str
    database: str
    created_at: datetime
    updated_at: datetime
    node_ids: Mapping[str, str] = field(default_factory=dict)
    """Node name to id. A node keeps its id as long as it keeps its name."""
    published: str | None = None
    """The node that answers as endpoint although the datafile names no TYPE, as nearly all datafiles do."""
    view_statement: str | None = None
    """The statement that created the materialized view of this pipe; None when it has none."""

    @property
    def name(self) -> str:
        return self.definition.resource_name

    @property
    def kind(self) -> NodeKind:
        """The kind of the output node; STANDARD for a pipe that publishes nothing."""
        output = self.definition.output
        if output is not None:
            return output.kind
        return NodeKind.STANDARD if self.published is None else NodeKind.ENDPOINT

    @property
    def output(self) -> Node:
        """What other pipes read when they name this one: the published node, else the last."""
        published = self.definition.node(self.published) if self.published else None
        return self.definition.output or published or self.definition.nodes[-1]

    def kind_of(self, node: Node) -> NodeKind:
        """The kind of one of its nodes."""
        return NodeKind.ENDPOINT if node.name == self.published else node.kind

    def find_node(self, name_or_id: str) -> Node:
        """Raises NotFound."""
        for node in self.definition.nodes:
            if name_or_id in (node.name, self.node_ids[node.name]):
                return node
        raise NotFound(f"The pipe '{self.name}' has no node '{name_or_id}'")

    @property
    def view(self) -> TableName | None:
        """The materialized view in the engine, named after its node."""
        output = self.definition.output
        if output is None or output.kind is not NodeKind.MATERIALIZED:
            return None
        return TableName(self.database, f"{VIEW_PREFIX}{self.node_ids[output.name]}")

    @property
    def view_select(self) -> str:
        """The SELECT over physical tables that the view was made with; empty when it has none."""
        return (self.view_statement or "").partition(" AS\n")[2]

    @property
    def target(self) -> str | None:
        """The name of the data source that this pipe writes, for materialized and copy pipes."""
        output = self.definition.output
        return (output.datasource or output.target_datasource) if output else None


Resource = DataSource | Pipe

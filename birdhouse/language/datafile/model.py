"""What a datafile says, parsed: the definitions that everything downstream works with.

A **datafile** is text; a **definition** is what it says; a **resource** is a definition that lives in a workspace.
Definitions are frozen values: two datafiles that say the same thing give equal definitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from birdhouse.language.cron import ON_DEMAND


class DefaultKind(StrEnum):
    DEFAULT = "DEFAULT"
    MATERIALIZED = "MATERIALIZED"


@dataclass(frozen=True, slots=True)
class Column:
    """`name type json:$.path DEFAULT expr CODEC(...)`; `type` is empty when a DEFAULT stands without one."""

    name: str
    type: str
    jsonpath: str | None = None
    default_kind: DefaultKind | None = None
    default: str | None = None
    codec: str | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """A data skipping index. `type` is as written, with arguments: `bloom_filter(0.01)`."""

    name: str
    expression: str
    type: str
    granularity: int | None = None


@dataclass(frozen=True, slots=True)
class TableEngine:
    """`options` are keyed as in the datafile without the prefix, lower case: `partition_key`, `sorting_key`, `ttl`."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """`TOKEN "name" READ`: the token of that name gets that permission on the resource."""

    name: str
    permission: str


@dataclass(frozen=True, slots=True)
class DataSourceDefinition:
    name: str
    columns: tuple[Column, ...]
    description: str = ""
    version: int | None = None
    indexes: tuple[Index, ...] = ()
    engine: TableEngine | None = None
    tokens: tuple[TokenGrant, ...] = ()
    tags: tuple[str, ...] = ()
    """Filtering tags, in the order written."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Operational tags, the entries of TAGS that read `key=value`."""
    shared_with: tuple[str, ...] = ()
    kafka: Mapping[str, str] = field(default_factory=dict)
    """KAFKA_* lines, keyed by the whole directive in lower case: `kafka_topic`."""
    imports: Mapping[str, str] = field(default_factory=dict)
    """IMPORT_* lines, keyed by the whole directive in lower case: `import_service`."""

    @property
    def resource_name(self) -> str:
        return versioned(self.name, self.version)


class NodeKind(StrEnum):
    STANDARD = "standard"
    ENDPOINT = "endpoint"
    MATERIALIZED = "materialized"
    COPY = "copy"
    SINK = "sink"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class Node:
    """One SELECT of a pipe, or a template (text that starts with `%`) that renders to one."""

    name: str
    sql: str
    description: str = ""
    kind: NodeKind = NodeKind.STANDARD
    datasource: str | None = None
    """The target of a materialized node."""
    engine: TableEngine | None = None
    """The engine of a target that the materialized node creates."""
    target_datasource: str | None = None
    """The target of a copy node."""
    copy_schedule: str | None = None
    """A cron expression in UTC, `@on-demand`, or None when the datafile has no COPY_SCHEDULE."""
    copy_mode: str | None = None
    """`append` or `replace`, or None when the datafile has no COPY_MODE; append then."""
    options: Mapping[str, str] = field(default_factory=dict)
    """EXPORT_* and KAFKA_* lines of a sink or stream node, keyed by the whole directive in lower case."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Operational tags of the node: the entries of a TAGS line below its NODE that read `key=value`."""

    @property
    def schedule(self) -> str | None:
        """When a copy or sink runs by itself: a cron expression in UTC or `@once`; None when only on demand."""
        written = self.copy_schedule if self.kind is NodeKind.COPY else self.options.get("export_schedule")
        return None if written in (None, "", ON_DEMAND) else written


@dataclass(frozen=True, slots=True)
class PipeDefinition:
    name: str
    nodes: tuple[Node, ...]
    description: str = ""
    version: int | None = None
    tokens: tuple[TokenGrant, ...] = ()
    tags: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    output: Node | None = field(init=False, compare=False, repr=False)
    """The node that gives the pipe its kind: the one node that is not standard, or None."""

    def __post_init__(self) -> None:
        output = next((node for node in self.nodes if node.kind is not NodeKind.STANDARD), None)
        object.__setattr__(self, "output", output)

    @property
    def resource_name(self) -> str:
        return versioned(self.name, self.version)

    def node(self, name: str) -> Node | None:
        return next((node for node in self.nodes if node.name == name), None)


@dataclass(frozen=True, slots=True)
class TokenScope:
    """A SCOPE, RESOURCE, FILTER group of a .token file: `DATASOURCES:READ`, `events`, `user = 'a'`."""

    type: str
    resource: str | None = None
    filter: str | None = None


@dataclass(frozen=True, slots=True)
class TokenDefinition:
    name: str
    scopes: tuple[TokenScope, ...]
    description: str = ""


Definition = DataSourceDefinition | PipeDefinition | TokenDefinition


def versioned(name: str, version: int | None) -> str:
    return name if version is None else f"{name}__v{version}"

"""The values that go into an engine and come out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})


class Lane(StrEnum):
    """Which pool a statement runs on, so that a heavy kind of work never starves another."""

    READ = "read"
    WRITE = "write"
    JOB = "job"
    CONTROL = "control"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Where engines differ. Everything above asks these fields, never which engine it is."""

    name: str
    version: str
    supports_query_id: bool
    supports_replication: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """What one statement may use. None leaves the engine's own limit in place."""

    seconds: float | None = None
    memory_bytes: int | None = None
    result_rows: int | None = None
    result_bytes: int | None = None
    rows_to_read: int | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One checked SELECT, without SETTINGS, FORMAT or INTO OUTFILE; it runs read-only.

    `parameters` bind `{name: Type}` placeholders and travel beside the text. `settings` are further engine settings
    chosen by us, never by a client. It does not run read-only on the control lane, which is for questions of our own
    that must not wait behind those of clients, and on the job lane.
    """

    sql: str
    format: str = "JSON"
    parameters: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    settings: Mapping[str, str | int] = field(default_factory=dict)
    lane: Lane = Lane.READ


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a statement cost. `rows_read` and `bytes_read` are read from storage.

    `result_rows` are the rows of the answer, or those that a writing statement wrote, into views as well.
    """

    elapsed_seconds: float = 0.0
    rows_read: int = 0
    bytes_read: int = 0
    result_rows: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    body: bytes
    statistics: Statistics


@dataclass(frozen=True, slots=True)
class TableName:
    """A table of the engine: `database` is a workspace's, `table` is opaque and stable (`t_…`)."""

    database: str
    table: str

    def __str__(self) -> str:
        return f"{quote_identifier(self.database)}.{quote_identifier(self.table)}"


@dataclass(frozen=True, slots=True)
class Insert:
    """One block of rows. The same `token` makes a repeated insert fill in only what is missing."""

    table: TableName
    columns: tuple[str, ...]
    format: str
    data: bytes | memoryview
    token: str
    settings: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running statement is. `total_rows` is the engine's estimate, 0 while unknown."""

    rows_read: int
    bytes_read: int
    total_rows: int = 0


def quote_identifier(name: str) -> str:
    """A name in backticks, escaped as ClickHouse reads it."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def quote_string(value: str) -> str:
    """A text literal in single quotes, escaped as ClickHouse reads it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

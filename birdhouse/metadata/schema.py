"""The tables as code sees them. Migrations make them; a test compares the two.

Every column is text or an integer, so that SQLite and Postgres hold the same thing. Identifiers are random
and never reused: what still names a deleted row names nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    ForeignKey,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class UtcTime(TypeDecorator[datetime]):
    """An aware time as `2024-05-01 10:00:00.123456` in UTC, which sorts as text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)


class Json(TypeDecorator[Any]):
    """A JSON document kept as text; Python's None is NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else orjson.loads(value)


metadata = MetaData()

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("database", Text, nullable=False, unique=True),
    Column("signing_key", Text, nullable=False),
    Column("main_id", Text, ForeignKey("workspaces.id", ondelete="CASCADE")),
    Column("created_at", UtcTime, nullable=False),
)
"""`main_id` is the workspace that a branch belongs to. `database` is the engine's."""

resources = Table(
    "resources",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("table_name", Text),
    Column("datafile", Text, nullable=False),
    Column("extra", Json, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    UniqueConstraint("workspace_id", "name"),
)
"""`kind` is `datasource` or `pipe`; both share one space of names. `datafile` is the text as pushed."""

nodes = Table(
    "nodes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("resource_id", Text, ForeignKey("resources.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    UniqueConstraint("resource_id", "name"),
)
"""A node keeps its identifier for as long as its pipe has a node of that name."""

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("resource_id", Text, ForeignKey("resources.id", ondelete="SET NULL")),
    Column("generation", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("workspace_id", "name"),
)
"""The text of a token is never stored: it is the signature over `id` and `generation`."""

token_scopes = Table(
    "token_scopes",
    metadata,
    Column("token_id", Text, ForeignKey("tokens.id", ondelete="CASCADE"), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("resource_id", Text, ForeignKey("resources.id", ondelete="CASCADE")),
    Column("filter", Text),
    PrimaryKeyConstraint("token_id", "position"),
    Index("token_scopes_of_resource", "resource_id"),
)
"""Scopes go with the resource they are about; a renamed resource keeps them."""

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("updated_at", UtcTime, nullable=False),
    Column("payload", Json, nullable=False),
    Column("result", Json),
    Column("error", Text),
    Column("pipe_id", Text),
    Column("asked_by", Text, nullable=False, server_default=""),
    Column("scheduled_for", UtcTime),
    Column("held", BigInteger, nullable=False, server_default="0"),
    Column("round", Json),
    Index("jobs_by_status", "status", "created_at"),
    Index("jobs_of_workspace", "workspace_id", "created_at"),
    Index("jobs_once_per_tick", "pipe_id", "scheduled_for", unique=True),
)
"""The unique index is what keeps two schedulers from queueing a tick of a pipe twice."""

schedules = Table(
    "schedules",
    metadata,
    Column("pipe_id", Text, ForeignKey("resources.id", ondelete="CASCADE"), primary_key=True),
    Column("written", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("handled_until", UtcTime, nullable=False),
    Column("begun", Json, nullable=False),
    Column("done", Json, nullable=False),
    Column("last_job_id", Text),
)
"""How far the schedule of a pipe has come; the schedule itself is in the datafile, and `written` is its text then.

`begun` and `done` are rounds: of the last run that began, and of the last that succeeded.
"""

tags = Table(
    "tags",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    UniqueConstraint("workspace_id", "name"),
)

tag_resources = Table(
    "tag_resources",
    metadata,
    Column("tag_id", Text, ForeignKey("tags.id", ondelete="CASCADE"), nullable=False),
    Column("resource_id", Text, ForeignKey("resources.id", ondelete="CASCADE"), nullable=False),
    PrimaryKeyConstraint("tag_id", "resource_id"),
    Index("tag_resources_of_resource", "resource_id"),
)

connections = Table(
    "connections",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("settings", Json, nullable=False),
    Column("secrets", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    UniqueConstraint("workspace_id", "name"),
)
"""`settings` may be shown; `secrets` is an encrypted JSON object."""

variables = Table(
    "variables",
    metadata,
    Column("workspace_id", Text, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("edited_by", Text, nullable=False),
    PrimaryKeyConstraint("workspace_id", "name"),
)
"""`value` is encrypted. `edited_by` is the name of the token that set it last."""

releases = Table(
    "releases",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("semver", Text, nullable=False),
    Column("commit", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("datafiles", Json, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index("releases_of_workspace", "workspace_id", "created_at"),
)
"""Which commit of a project a workspace has, and had, with the datafiles of the time."""

shares = Table(
    "shares",
    metadata,
    Column("datasource_id", Text, ForeignKey("resources.id", ondelete="CASCADE"), nullable=False),
    Column("workspace_id", Text, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    PrimaryKeyConstraint("datasource_id", "workspace_id"),
    Index("shares_with_workspace", "workspace_id"),
)
"""A data source, and another workspace that may read it."""

service_state = Table(
    "service_state",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Small facts the server keeps between two runs."""

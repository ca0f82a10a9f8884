"""How queries read the service data sources: `tinybird.NAME` one workspace, `organization.NAME` all of them."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import SERVICE_DATABASE, Workspace
from birdhouse.engine.types import quote_string
from birdhouse.errors import SqlError
from birdhouse.usage.workspaces import KnownWorkspace

ORGANIZATION_DATABASE = "organization"
"""The namespace of the service data sources over all workspaces, as users write it."""

MERGING_ENGINES = frozenset({"AggregatingMergeTree", "ReplacingMergeTree", "SummingMergeTree"})
"""Their tables are read as if all their parts were merged: one row per key, whenever one asks."""

SHOWS_ITS_WORKSPACE = frozenset({"jobs_log", "workspaces"})
"""The tables with `workspace_id` among their columns. In the others it only divides the rows."""

OF_ORGANIZATION = frozenset(
    {
        "datasources_ops_log", "datasources_ops_stats", "datasources_storage", "endpoint_errors", "jobs_log",
        "kafka_ops_log", "pipe_stats", "pipe_stats_rt", "sinks_ops_log", "workspaces",
    }
)  # fmt: skip
_LEFT_OUT = {"datasources_ops_log": "release", "pipe_stats_rt": "client_ip"}
_OF_ANOTHER_TYPE = {"datasources_ops_stats": "toFloat32(cpu_time) AS cpu_time", "pipe_stats": "toDate(date) AS date"}
"""How `organization.NAME` is not quite `tinybird.NAME` with one more column."""


def rows_of_workspace(services: Workspace | None, name: str, workspace_id: str) -> str:
    """A SELECT of what one workspace sees as `tinybird.NAME`. Raises SqlError for a name that is not there."""
    names = {each.name for each in services.datasources()} - {KnownWorkspace.TABLE} if services else set()
    table = _table(services, SERVICE_DATABASE, name, names)
    columns = "*" if name in SHOWS_ITS_WORKSPACE else "* EXCEPT workspace_id"
    return f"SELECT {columns} FROM {table} WHERE workspace_id = {quote_string(workspace_id)}"


def rows_of_organization(services: Workspace | None, name: str) -> str:
    """A SELECT of `organization.NAME`. Raises SqlError for a name that is not there."""
    table = _table(services, ORGANIZATION_DATABASE, name, OF_ORGANIZATION)
    if name in SHOWS_ITS_WORKSPACE:
        return f"SELECT * FROM {table}"
    left_out = f", {_LEFT_OUT[name]}" if name in _LEFT_OUT else ""
    changed = f" REPLACE ({_OF_ANOTHER_TYPE[name]})" if name in _OF_ANOTHER_TYPE else ""
    return (
        f"SELECT CAST(workspace_id AS String) AS workspace_id, * EXCEPT (workspace_id{left_out}){changed} FROM {table}"
    )


def _table(services: Workspace | None, database: str, name: str, names: Collection[str]) -> str:
    found = services.resources.get(name) if services and name in names else None
    if not isinstance(found, DataSource):
        near = difflib.get_close_matches(name, sorted(names), n=1)
        raise SqlError(
            f"Resource '{database}.{name}' not found",
            code=60,
            name="UNKNOWN_TABLE",
            hint=f"Did you mean '{database}.{near[0]}'?" if near else f"There are {', '.join(sorted(names))}.",
        )
    engine = found.definition.engine
    return f"{found.table} FINAL" if engine is not None and engine.name in MERGING_ENGINES else str(found.table)

"""How queries read the service data sources: `tinybird.NAME` one workspace, `organization.NAME` all of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import SERVICE_DATABASE, Workspace
from birdhouse.engine.types import quote_string
from birdhouse.errors import SqlError

ORGANIZATION_DATABASE = "organization"
"""The namespace of the service data sources over all workspaces, as users write it."""

SHOWS_ITS_WORKSPACE = frozenset({"jobs_log"})
"""The tables that have the column `workspace_id` for everybody. In the others it only divides the rows."""

MERGING_ENGINES = frozenset({"AggregatingMergeTree", "ReplacingMergeTree", "SummingMergeTree"})
"""Their tables are read as if all their parts were merged: one row per key, whenever one asks."""

_ORGANIZATION: Mapping[str, str] = {
    "datasources_ops_log": "* EXCEPT (workspace_id, release)",
    "datasources_ops_stats": "* EXCEPT workspace_id REPLACE toFloat32(cpu_time) AS cpu_time",
    "datasources_storage": "* EXCEPT workspace_id",
    "endpoint_errors": "* EXCEPT workspace_id",
    "jobs_log": "* EXCEPT workspace_id",
    "kafka_ops_log": "* EXCEPT workspace_id",
    "pipe_stats": "* EXCEPT workspace_id REPLACE toDate(date) AS date",
    "pipe_stats_rt": "* EXCEPT (workspace_id, client_ip)",
    "sinks_ops_log": "* EXCEPT workspace_id",
    "workspaces": "* EXCEPT workspace_id",
}
"""What each of them shows beside the workspace: not in all things the same as inside one."""


def rows_of_workspace(services: Workspace | None, name: str, workspace_id: str) -> str:
    """A SELECT of what one workspace sees as `tinybird.NAME`. Raises SqlError for a name that is not there."""
    names = {each.name for each in services.datasources()} - {"workspaces"} if services else set()
    table = _table(services, SERVICE_DATABASE, name, names)
    columns = "*" if name in SHOWS_ITS_WORKSPACE else "* EXCEPT workspace_id"
    return f"SELECT {columns} FROM {table} WHERE workspace_id = {quote_string(workspace_id)}"


def rows_of_organization(services: Workspace | None, name: str) -> str:
    """A SELECT of `organization.NAME`. Raises SqlError for a name that is not there."""
    table = _table(services, ORGANIZATION_DATABASE, name, set(_ORGANIZATION))
    return f"SELECT toString(workspace_id) AS workspace_id, {_ORGANIZATION[name]} FROM {table}"


def _table(services: Workspace | None, database: str, name: str, names: set[str]) -> str:
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

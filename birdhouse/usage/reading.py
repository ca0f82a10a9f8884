"""How queries read the service data sources: `tinybird.NAME` one workspace, `organization.NAME` all of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import SERVICE_DATABASE, Workspace
from birdhouse.engine.types import quote_string
from birdhouse.errors import SqlError
from birdhouse.usage.workspaces import KnownWorkspace

ORGANIZATION_DATABASE = "organization"
"""The namespace of the service data sources over all workspaces, as users write it."""

MERGING_ENGINES = frozenset({"AggregatingMergeTree", "ReplacingMergeTree", "SummingMergeTree"})
"""Their tables are read as if all their parts were merged: one row per key, whenever one asks."""

_OWN = "* EXCEPT workspace_id"
_ALL = f"CAST(workspace_id AS String) AS workspace_id, {_OWN}"
_WORKSPACE: Mapping[str, str] = {"jobs_log": "*"}
"""What `tinybird.NAME` shows, where that is not everything but the workspace, which only divides the rows."""
_ORGANIZATION: Mapping[str, str] = {
    "datasources_ops_log": "CAST(workspace_id AS String) AS workspace_id, * EXCEPT (workspace_id, release)",
    "datasources_ops_stats": f"{_ALL} REPLACE toFloat32(cpu_time) AS cpu_time",
    "datasources_storage": _ALL,
    "endpoint_errors": _ALL,
    "jobs_log": "*",
    "kafka_ops_log": _ALL,
    "pipe_stats": f"{_ALL} REPLACE toDate(date) AS date",
    "pipe_stats_rt": "CAST(workspace_id AS String) AS workspace_id, * EXCEPT (workspace_id, client_ip)",
    "sinks_ops_log": _ALL,
    "workspaces": "*",
}
"""What `organization.NAME` shows: not in all things the same as inside one workspace."""


def rows_of_workspace(services: Workspace | None, name: str, workspace_id: str) -> str:
    """A SELECT of what one workspace sees as `tinybird.NAME`. Raises SqlError for a name that is not there."""
    names = {each.name for each in services.datasources()} - {KnownWorkspace.TABLE} if services else set()
    table = _table(services, SERVICE_DATABASE, name, names)
    return f"SELECT {_WORKSPACE.get(name, _OWN)} FROM {table} WHERE workspace_id = {quote_string(workspace_id)}"


def rows_of_organization(services: Workspace | None, name: str) -> str:
    """A SELECT of `organization.NAME`. Raises SqlError for a name that is not there."""
    table = _table(services, ORGANIZATION_DATABASE, name, set(_ORGANIZATION))
    return f"SELECT {_ORGANIZATION[name]} FROM {table}"


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

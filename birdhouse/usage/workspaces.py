"""The workspaces of this server: `organization.workspaces`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from birdhouse.catalog.workspace import Workspace
from birdhouse.usage.row import Row

PLAN = "self-hosted"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownWorkspace(Row):
    """One workspace; the last row about it counts. `database` is its database in the engine."""

    TABLE = "workspaces"

    workspace_id: str
    name: str
    database: str
    created_at: datetime
    plan: str = PLAN


def known(workspace: Workspace, created_at: datetime) -> KnownWorkspace:
    return KnownWorkspace(
        workspace_id=workspace.id, name=workspace.name, database=workspace.database, created_at=created_at
    )

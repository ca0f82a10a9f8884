"""Shares: which data sources other workspaces may read."""

from __future__ import annotations

NUMBER = 5

STATEMENTS = (
    """
    CREATE TABLE shares (
        datasource_id TEXT NOT NULL,
        workspace_id TEXT NOT NULL,
        PRIMARY KEY (datasource_id, workspace_id),
        FOREIGN KEY (datasource_id) REFERENCES resources (id) ON DELETE CASCADE,
        FOREIGN KEY (workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX shares_with_workspace ON shares (workspace_id)",
)

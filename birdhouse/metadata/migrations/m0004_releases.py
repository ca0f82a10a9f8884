"""Releases: which commit of a project a workspace has, and had."""

from __future__ import annotations

NUMBER = 4

STATEMENTS = (
    """
    CREATE TABLE releases (
        id TEXT NOT NULL PRIMARY KEY,
        workspace_id TEXT NOT NULL,
        semver TEXT NOT NULL,
        "commit" TEXT NOT NULL,
        status TEXT NOT NULL,
        datafiles TEXT NOT NULL,
        created_at TEXT NOT NULL,
        FOREIGN KEY (workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX releases_of_workspace ON releases (workspace_id, created_at)",
)

"""The first tables. Portable SQL: SQLite and Postgres run the same text."""

from __future__ import annotations

NUMBER = 1

STATEMENTS = (
    """
    CREATE TABLE workspaces (
        id TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        database TEXT NOT NULL UNIQUE,
        signing_key TEXT NOT NULL,
        main_id TEXT,
        created_at TEXT NOT NULL,
        FOREIGN KEY (main_id) REFERENCES workspaces (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE resources (
        id TEXT NOT NULL PRIMARY KEY,
        workspace_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        table_name TEXT,
        datafile TEXT NOT NULL,
        extra TEXT NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        UNIQUE (workspace_id, name),
        FOREIGN KEY (workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE nodes (
        id TEXT NOT NULL PRIMARY KEY,
        resource_id TEXT NOT NULL,
        name TEXT NOT NULL,
        UNIQUE (resource_id, name),
        FOREIGN KEY (resource_id) REFERENCES resources (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE tokens (
        id TEXT NOT NULL PRIMARY KEY,
        workspace_id TEXT NOT NULL,
        name TEXT NOT NULL,
        description TEXT NOT NULL,
        origin TEXT NOT NULL,
        resource_id TEXT,
        generation BIGINT NOT NULL,
        created_at TEXT NOT NULL,
        UNIQUE (workspace_id, name),
        FOREIGN KEY (workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE,
        FOREIGN KEY (resource_id) REFERENCES resources (id) ON DELETE SET NULL
    )
    """,
    """
    CREATE TABLE token_scopes (
        token_id TEXT NOT NULL,
        position BIGINT NOT NULL,
        type TEXT NOT NULL,
        resource_id TEXT,
        filter TEXT,
        PRIMARY KEY (token_id, position),
        FOREIGN KEY (token_id) REFERENCES tokens (id) ON DELETE CASCADE,
        FOREIGN KEY (resource_id) REFERENCES resources (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX token_scopes_of_resource ON token_scopes (resource_id)",
    """
    CREATE TABLE jobs (
        id TEXT NOT NULL PRIMARY KEY,
        workspace_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        status TEXT NOT NULL,
        created_at TEXT NOT NULL,
        started_at TEXT,
        updated_at TEXT NOT NULL,
        payload TEXT NOT NULL,
        result TEXT,
        error TEXT,
        FOREIGN KEY (workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX jobs_by_status ON jobs (status, created_at)",
    "CREATE INDEX jobs_of_workspace ON jobs (workspace_id, created_at)",
    """
    CREATE TABLE tags (
        id TEXT NOT NULL PRIMARY KEY,
        workspace_id TEXT NOT NULL,
        name TEXT NOT NULL,
        UNIQUE (workspace_id, name),
        FOREIGN KEY (workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE tag_resources (
        tag_id TEXT NOT NULL,
        resource_id TEXT NOT NULL,
        PRIMARY KEY (tag_id, resource_id),
        FOREIGN KEY (tag_id) REFERENCES tags (id) ON DELETE CASCADE,
        FOREIGN KEY (resource_id) REFERENCES resources (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX tag_resources_of_resource ON tag_resources (resource_id)",
    """
    CREATE TABLE service_state (
        key TEXT NOT NULL PRIMARY KEY,
        value TEXT NOT NULL
    )
    """,
)

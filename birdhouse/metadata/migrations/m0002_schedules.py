"""Schedules, and what a job is part of: a tick, a round, the one who asked."""

from __future__ import annotations

NUMBER = 2

STATEMENTS = (
    "ALTER TABLE jobs ADD COLUMN pipe_id TEXT",
    "ALTER TABLE jobs ADD COLUMN asked_by TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE jobs ADD COLUMN scheduled_for TEXT",
    "ALTER TABLE jobs ADD COLUMN held BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN round TEXT",
    "CREATE UNIQUE INDEX jobs_once_per_tick ON jobs (pipe_id, scheduled_for)",
    """
    CREATE TABLE schedules (
        pipe_id TEXT NOT NULL PRIMARY KEY,
        written TEXT NOT NULL,
        status TEXT NOT NULL,
        handled_until TEXT NOT NULL,
        begun TEXT NOT NULL,
        done TEXT NOT NULL,
        last_job_id TEXT,
        FOREIGN KEY (pipe_id) REFERENCES resources (id) ON DELETE CASCADE
    )
    """,
)

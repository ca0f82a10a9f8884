"""A workspace that is not of this server yet, as it would be once it is."""

from __future__ import annotations

from birdhouse.catalog import store
from birdhouse.catalog.workspace import Workspace
from birdhouse.metadata.database import Database
from birdhouse.metadata.migrate import migrate
from birdhouse.metadata.rows import WORKSPACES, Rows


def preview(rows: Rows) -> Workspace:
    """What the rows say. Raises CannotStart for a datafile that cannot be read."""
    (row,) = rows[WORKSPACES]
    alone = {**rows, WORKSPACES: [{**row, "main_id": None}]}
    database = Database.open("sqlite://")
    try:
        migrate(database)
        with database.begin() as connection:
            return store.adopt(connection, alone, None)
    finally:
        database.close()

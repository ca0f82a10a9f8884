"""Removes all rows of a data source."""

from __future__ import annotations

from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.views import load_views
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.protocol import Engine
from birdhouse.ingest.missed import drop_missed


async def truncate(engine: Engine, workspace: Workspace, datasource: DataSource) -> None:
    """The rows in quarantine stay, and so does what views have written elsewhere. What views missed here goes too."""
    await engine.execute(f"TRUNCATE TABLE {datasource.table} SYNC")
    views = [view.name for view in await load_views(engine, workspace) if view.target == datasource.table]
    await drop_missed(engine, views)

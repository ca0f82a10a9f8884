"""Removes all rows of a table."""

from __future__ import annotations

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import TableName


async def truncate(engine: Engine, table: TableName) -> None:
    """The rows in quarantine stay, and so does what views have written elsewhere."""
    await engine.execute(f"TRUNCATE TABLE {table} SYNC")

"""The columns of SELECTs that the engine was asked about before: a project that is pushed file by file asks again for
every pipe that another one reads."""

from __future__ import annotations

import re
from collections import OrderedDict

from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.protocol import Engine
from birdhouse.engine.tables import StoredColumn, describe_select
from birdhouse.language.datafile.model import Column
from birdhouse.query.compose import Composed

KEPT_MAX = 4096
LENGTH_MAX = 16_384

_TABLE = re.compile(r"\bt_[0-9a-f]{32}")

Table = tuple[tuple[Column, ...], str]
"""What a SELECT can depend on of a table: its columns, and its engine, which may know FINAL or not."""
Key = tuple[str, tuple[Table, ...]]


class KnownColumns:
    """They follow from the text and from the tables in it, so both are what they are kept by."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, list[StoredColumn]] = OrderedDict()

    async def of(self, engine: Engine, workspace: Workspace, composed: Composed) -> list[StoredColumn]:
        """Raises SqlError for a SELECT that the engine does not understand."""
        key = _key(workspace, composed)
        if key is None:
            return await describe_select(engine, composed.sql, composed.query_parameters)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = await describe_select(engine, composed.sql)
        self._known.move_to_end(key)
        if len(self._known) > KEPT_MAX:
            self._known.popitem(last=False)
        return known


def _key(workspace: Workspace, composed: Composed) -> Key | None:
    """None for what reads tables that the definitions of this workspace do not tell about, and for long texts."""
    if composed.query_parameters or len(composed.sql) > LENGTH_MAX:
        return None
    tables = [workspace.by_id.get(each) for each in sorted(set(_TABLE.findall(composed.sql)))]
    found = tuple(
        (each.definition.columns, each.definition.engine.name if each.definition.engine else "")
        for each in tables
        if isinstance(each, DataSource) and each.database == workspace.database
    )
    return (composed.sql, found) if len(found) == len(tables) else None

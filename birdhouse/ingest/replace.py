"""The rows of a file take the place of those of a data source: of all, or of those for which a condition holds.

What materialized views made of the rows follows. It is made again beside the data source and changes with it, in one
step at the end. With a condition, only partitions that have such rows, before or after, are made again, in the data
source and below it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import orjson

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.views import downstream, load_views
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.protocol import Engine, HeldEngine
from birdhouse.engine.tables import stored_tables
from birdhouse.engine.types import Limits, Query, TableName, quote_string
from birdhouse.errors import Conflict
from birdhouse.ingest.files import Imported
from birdhouse.ingest.quarantine import ingested
from birdhouse.ingest.shadow import Keeping, Shadow
from birdhouse.ingest.staging import clone_table, copy_rows, drop_tables, staging_table
from birdhouse.ingest.target import Target

Fill = Callable[[Target], Awaitable[Imported]]
"""Appends the rows of the file to the target it is given."""


class Replacements:
    """`limits` are for each statement that makes rows again."""

    def __init__(self, engine: HeldEngine, catalog: Catalog, limits: Limits) -> None:
        self._engine = engine
        self._catalog = catalog
        self._limits = limits

    async def replace(
        self,
        workspace_id: str,
        target: Target,
        fill: Fill,
        *,
        import_id: str,
        condition: str | None = None,
        skip_incompatible: bool = False,
    ) -> Imported:
        """After a failure everything is as before. Raises Conflict when the target of a view cannot follow.

        With `condition`, a checked expression, rows for which it does not hold stay, and such rows of the file are
        left out. Then targets of views need the partition key of the data source; with `skip_incompatible` one that
        has another stays as it is.
        """
        workspace = self._catalog.workspace(workspace_id)
        if condition is None:
            return await self._all(workspace, target, fill, import_id)
        return await self._some(workspace, target, fill, import_id, condition, skip_incompatible)

    async def _all(self, workspace: Workspace, target: Target, fill: Fill, import_id: str) -> Imported:
        shadow = Shadow(self._engine, self._catalog, workspace, target.table, import_id, Keeping.NOTHING)
        try:
            await shadow.open(self._limits)
            with shadow.filling():
                imported = await fill(replace(target, table=shadow.table))
            await shadow.publish()
        finally:
            await shadow.drop()
        return imported

    async def _some(
        self, workspace: Workspace, target: Target, fill: Fill, import_id: str, condition: str, skip_incompatible: bool
    ) -> Imported:
        """Rows that come in meanwhile stay."""
        _, incompatible = await targets_below(self._engine, workspace, target.table)
        if incompatible and not skip_incompatible:
            raise _incompatible(workspace, target.table, incompatible)
        shadow = Shadow(
            self._engine, self._catalog, workspace, target.table, import_id, Keeping.OTHER_PARTITIONS,
            without=incompatible,
        )  # fmt: skip
        incoming = staging_table(workspace.database, import_id, "incoming")
        before = staging_table(workspace.database, import_id, "before")
        try:
            await self._engine.execute(f"CREATE TABLE {incoming} AS {target.table}")
            imported = await fill(replace(target, table=incoming))
            await shadow.create()
            async with self._engine.held(workspace.database):
                await shadow.attach(mirror=True)
                await clone_table(self._engine, target.table, before)
            await shadow.backfill(self._limits)
            columns = [column.name for column in ingested(target.columns)]
            with shadow.filling():
                imported.rows, partitions = await self._fill(shadow.table, before, incoming, columns, condition)
            if strays := await shadow.targets_beyond(partitions):
                raise _incompatible(workspace, target.table, strays)
            await shadow.publish(partitions)
        finally:
            await drop_tables(self._engine, staging_table(workspace.database, import_id, ""))
        return imported

    async def _fill(
        self, shadow: TableName, before: TableName, incoming: TableName, columns: list[str], condition: str
    ) -> tuple[int, set[str]]:
        """The rows of the file that are in, and the partitions that are made again with what they keep.

        A table that has no parts has no partitions either, and is made again whole.
        """
        holds = f"ifNull(({condition}), 0) != 0"
        stays = f"NOT ({holds})"
        partitions: set[str] = set()
        stored = await stored_tables(self._engine, before.database, [before.table])
        if stored[before.table].has_parts:
            partitions = await self._partitions(before, holds) | await self._partitions(incoming, holds)
            stays = f"_partition_id IN ({', '.join(map(quote_string, sorted(partitions))) or 'NULL'}) AND {stays}"
        await copy_rows(self._engine, before, shadow, columns, stays)
        await copy_rows(self._engine, incoming, shadow, columns, holds)
        (rows,) = await self._ask(f"SELECT count() FROM {incoming} WHERE {holds}")
        return int(rows), partitions

    async def _partitions(self, table: TableName, where: str) -> set[str]:
        return set(await self._ask(f"SELECT DISTINCT _partition_id FROM {table} WHERE {where}"))

    async def _ask(self, sql: str) -> list[Any]:
        """The values of the one column."""
        result = await self._engine.select(Query(sql, "JSONCompactEachRow", limits=self._limits))
        return [orjson.loads(line)[0] for line in result.body.splitlines()]


async def targets_below(
    engine: Engine, workspace: Workspace, table: TableName
) -> tuple[dict[TableName, list[str]], dict[TableName, list[str]]]:
    """The tables that views fill from this one, directly or not, with the names of the pipes that fill them.

    First those with the same partition key: their partitions can be made again from its partitions. Then the others.
    """
    below: dict[TableName, list[str]] = {}
    for view in downstream(await load_views(engine, workspace), table):
        below.setdefault(view.target, []).append(view.pipe)
    stored = await stored_tables(engine, workspace.database, {each.table for each in (table, *below)})
    same = {each for each in below if stored[each.table].partition_key == stored[table.table].partition_key}
    compatible = {each: pipes for each, pipes in below.items() if each in same}
    return compatible, {each: pipes for each, pipes in below.items() if each not in same}


def _incompatible(workspace: Workspace, table: TableName, targets: Iterable[TableName]) -> Conflict:
    names = ", ".join(f"'{workspace.name_of(each)}'" for each in targets)
    return Conflict(
        f"Rows of '{workspace.name_of(table)}' cannot be replaced by a condition: materialized views fill {names} from "
        "it, and there the rows are in other partitions.",
        hint="Give them the same ENGINE_PARTITION_KEY, replace all rows, or pass skip_incompatible_partition_key=true "
        "to leave them as they are.",
    )

"""Tables beside the real ones: what a table, and everything that views make of its rows, is going to be.

A shadow of a table is made together with shadows of the targets of all views below it, and with the same views between
them. So whatever is inserted into the shadow goes on as it would in the real tables, and nobody sees it. At the end
the shadows take the places of the real tables, all together, while no insert is under way.

What comes in meanwhile and has to stay, through the table itself or from other views into one of the targets, gathers
in a second set of tables. Its rows are put behind the others at the end: for some engines the last row wins. Where the
rows of the shadow have to be the last ones, all are put together in a third set, which takes the places then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from functools import partial

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.views import View, downstream, load_views
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.exchange import Exchange, exchange_all
from birdhouse.engine.protocol import HeldEngine
from birdhouse.engine.tables import StoredTable, partition_ids, stored_tables
from birdhouse.engine.types import Limits, TableName, quote_string
from birdhouse.errors import Conflict, PartialWrite
from birdhouse.ingest.missed import drop_missed, missed_rows
from birdhouse.ingest.staging import (
    FILL_SETTINGS,
    clone_table,
    copy_all_rows,
    drop_tables,
    insert_select,
    staging_table,
)
from birdhouse.language.sql.rewrite import replace_tables

PARTITIONS_PER_STATEMENT_MAX = 50


class Keeping(Enum):
    """Which rows of the real tables stay when the shadows take their places."""

    NOTHING = auto()
    """None: the table is replaced, and what views made of its rows is made again."""
    EVERYTHING = auto()
    """All, behind those of the shadows: rows are added that were there before."""
    EVERYTHING_BEFORE = auto()
    """All, in front of those of the shadows: rows are appended."""
    OTHER_PARTITIONS = auto()
    """Those of the partitions that the shadows do not replace."""


class Shadow:
    """The shadow of one table of a workspace and of all tables below it.

    `owner` is the id of the work it is for. Tables in `without`, and what is below only them, are left out.
    """

    def __init__(
        self,
        engine: HeldEngine,
        catalog: Catalog,
        workspace: Workspace,
        table: TableName,
        owner: str,
        keeping: Keeping,
        *,
        without: Collection[TableName] = (),
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._workspace = workspace
        self._real = table
        self._owner = owner
        self._keeping = keeping
        self._without = without
        self._tables: tuple[TableName, ...] = (table,)
        self._below: tuple[View, ...] = ()
        self._feeders: tuple[View, ...] = ()
        self._stored: Mapping[str, StoredTable] = {}
        self._watched: dict[TableName, str] = {}
        self._views: list[TableName] = []
        self._has_live = False

    @property
    def table(self) -> TableName:
        """Where the new rows of the table go."""
        return self._new(self._real)

    @property
    def successor(self) -> TableName:
        """What takes the place of the table when the shadow is published."""
        return self._last(self._real)

    @property
    def fill_settings(self) -> str:
        """For the INSERT … SELECT that fills the table: rows keep their order where a merge depends on it."""
        in_order = any(self._stored[table.table].depends_on_order for table in self._tables)
        return "max_threads = 1, max_insert_threads = 1" if in_order else ""

    async def open(self, limits: Limits) -> None:
        """All it takes before the table is filled."""
        await self.create()
        async with self._engine.held(self._workspace.database):
            await self.attach()
        await self.backfill(limits)

    async def create(self) -> None:
        """Makes the new tables. Raises Conflict when a target has rows of others that could not be made again."""
        await self.drop()
        views = await load_views(self._engine, self._workspace)
        self._below = self._views_below(views)
        self._tables = (self._real, *dict.fromkeys(view.target for view in self._below))
        if self._keeping not in (Keeping.EVERYTHING, Keeping.EVERYTHING_BEFORE):
            targets = self._tables[1:]
            self._feeders = tuple(view for view in views if view.target in targets and view not in self._below)
        if self._keeping is Keeping.OTHER_PARTITIONS:
            await self._refuse_missed_rows()
        names = {table.table for table in (*self._tables, *(view.source for view in self._feeders))}
        self._stored = await stored_tables(self._engine, self._workspace.database, names)
        self._refuse_forgetful_feeders()
        for table in self._tables:
            for made in dict.fromkeys((self._new(table), self._last(table))):
                await self._engine.execute(f"CREATE TABLE {made} AS {table}")

    async def attach(self, *, mirror: bool = False) -> None:
        """Puts the views between the tables. The caller holds the inserts: this is the moment of the shadow.

        With `mirror` the rows that come into the real table from now on stay.
        """
        if self._keeping is Keeping.OTHER_PARTITIONS:
            self.watch(self._real, self._stored[self._real.table].uuid)
        for view in self._below:
            await self._attach(view, "new", self._new(view.source), self._new(view.target))
        if not mirror and not self._feeders:
            return
        self._has_live = True
        for table in self._tables:
            await self._engine.execute(f"CREATE TABLE {self._live(table)} AS {table}")
        for view in self._below:
            await self._attach(view, "live", self._live(view.source), self._live(view.target))
        for view in self._feeders:
            self.watch(view.source, self._stored[view.source.table].uuid)
            await clone_table(self._engine, view.source, self._clone(view.source))
            await self._attach(view, "live", view.source, self._live(view.target))
        if mirror:
            await self._create_view("mirror", self._live(self._real), f"SELECT * FROM {self._real}")

    async def backfill(self, limits: Limits) -> None:
        """Fills in what other views made of their sources before the moment of the shadow."""
        for view in self._feeders:
            select = self._over(view, self._clone(view.source))
            settings = ", ".join(filter(None, (FILL_SETTINGS, self.fill_settings)))
            await insert_select(self._engine, self._new(view.target), select, limits, settings)

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Around what fills the table: a view that fails on the rows fails for the shadow alone."""
        try:
            yield
        except PartialWrite as error:
            pipe = next((each.pipe for each in self._below if error.view.endswith(each.name.table)), "")
            raise Conflict(
                f"The materialized view of '{pipe}' fails on the new rows, so nothing was changed.",
                detail=f"({error.detail})",
                hint="Correct the pipe, or unlink it.",
            ) from error

    async def targets_beyond(self, partitions: Collection[str]) -> list[TableName]:
        """The real tables below the table that would get rows in other partitions."""
        fed = {view.target for view in self._feeders}
        targets = [each for each in self._tables[1:] if each not in fed and self._stored[each.table].has_parts]
        return [each for each in targets if await partition_ids(self._engine, self._new(each)) - set(partitions)]

    def watch(self, table: TableName, uuid: str) -> None:
        """Publishing is refused when another table has got that name meanwhile."""
        self._watched[table] = uuid

    async def publish(self, partitions: Collection[str] = ()) -> None:
        """Puts the shadows in the places of the real tables: all, or none when it fails.

        `partitions` are those to replace, for OTHER_PARTITIONS. Raises Conflict when something has changed since the
        moment of the shadow. Inserts wait meanwhile.
        """
        replaced = frozenset(partitions)
        # Always in this order: a deployment, too, keeps the workspace from changing before it holds inserts.
        async with self._catalog.changing(self._workspace.id) as now, self._engine.held(now.database):
            await self._refuse_changes(now)
            for view in self._views:
                await self._engine.execute(f"DROP TABLE IF EXISTS {view} SYNC")
            for table in self._tables:
                await self._complete(table, replaced)
            stored = await stored_tables(self._engine, now.database, [self._last(each).table for each in self._tables])
            exchanges = [Exchange(self._last(each), each, stored[self._last(each).table].uuid) for each in self._tables]
            await exchange_all(self._engine, exchanges, partial(self._catalog.keep_exchanges, now.id))
            if self._keeping is Keeping.NOTHING:  # what views had missed of the old rows is of no use any more
                await drop_missed(self._engine, [view.name for view in await self._views_into(now)])

    async def drop(self) -> None:
        """All tables and views of this shadow, also those of an earlier run of the same work."""
        await drop_tables(self._engine, staging_table(self._workspace.database, self._owner, "shadow_"))

    async def _complete(self, table: TableName, partitions: frozenset[str]) -> None:
        """Brings together what is new and what stays."""
        new, live = self._new(table), self._live(table)
        has_parts = self._stored[table.table].has_parts
        if self._keeping is Keeping.OTHER_PARTITIONS and has_parts:
            await self._drop_partitions(new, await partition_ids(self._engine, new) - partitions)
            if self._has_live:
                await self._take_partitions(new, live, await partition_ids(self._engine, live) & partitions)
            await self._take_partitions(new, table, await partition_ids(self._engine, table) - partitions)
            return
        if self._has_live:
            await self._take_all(new, live, has_parts)
        if self._keeping is Keeping.EVERYTHING:
            await self._take_all(new, table, has_parts)
        if self._keeping is Keeping.EVERYTHING_BEFORE:
            for source in (table, new):
                await self._take_all(self._last(table), source, has_parts)

    async def _take_all(self, new: TableName, table: TableName, has_parts: bool) -> None:
        if has_parts:
            await self._engine.execute(f"ALTER TABLE {new} ATTACH PARTITION ALL FROM {table}")
        else:
            await copy_all_rows(self._engine, table, new)

    async def _take_partitions(self, new: TableName, table: TableName, ids: Iterable[str]) -> None:
        await self._alter(new, [f"ATTACH PARTITION ID {quote_string(each)} FROM {table}" for each in sorted(ids)])

    async def _drop_partitions(self, new: TableName, ids: Iterable[str]) -> None:
        await self._alter(new, [f"DROP PARTITION ID {quote_string(each)}" for each in sorted(ids)])

    async def _alter(self, table: TableName, commands: Sequence[str]) -> None:
        for first in range(0, len(commands), PARTITIONS_PER_STATEMENT_MAX):
            some = commands[first : first + PARTITIONS_PER_STATEMENT_MAX]
            await self._engine.execute(f"ALTER TABLE {table} {', '.join(some)}")

    async def _refuse_changes(self, now: Workspace) -> None:
        names = [each.table for each in (*self._watched, *self._tables, *map(self._new, self._tables))]
        stored = await stored_tables(self._engine, self._workspace.database, names)
        for table, uuid in self._watched.items():
            if table.table not in stored or stored[table.table].uuid != uuid:
                raise _changed(f"The data source '{self._name(table)}' was replaced meanwhile.")
        if self._views_below(await load_views(self._engine, now)) != self._below:
            raise _changed(f"The materialized views on '{self._name(self._real)}' were changed meanwhile.")
        for table in self._tables:
            if table.table not in stored or stored[table.table].structure != stored[self._new(table).table].structure:
                raise _changed(f"The definition of '{self._name(table)}' was changed meanwhile.")

    def _refuse_forgetful_feeders(self) -> None:
        for view in self._feeders:
            if self._stored[view.source.table].forgets:
                target, source = self._name(view.target), self._name(view.source)
                raise Conflict(
                    f"The data source '{target}' cannot be made again: it also has what the pipe '{view.pipe}' made of "
                    f"'{source}', which does not keep its rows.",
                    hint="Give each of its materialized pipes a data source of its own.",
                )

    async def _refuse_missed_rows(self) -> None:
        """They are in the source: a partition that is made again gets them, and a repair would bring them again."""
        missed = await missed_rows(self._engine, self._workspace.database)
        for view in await self._views_into(self._workspace):
            if view.name.table in missed:
                raise Conflict(
                    f"The materialized view of '{view.pipe}' has missed rows of '{self._name(view.source)}'.",
                    hint="Repair it first: deploy it corrected, or populate it with missed=true.",
                )

    async def _views_into(self, workspace: Workspace) -> list[View]:
        """The views that write into one of the tables."""
        return [view for view in await load_views(self._engine, workspace) if view.target in self._tables]

    async def _attach(self, view: View, role: str, source: TableName, target: TableName) -> None:
        await self._create_view(f"{role}_{view.name.table}", target, self._over(view, source))

    async def _create_view(self, role: str, target: TableName, select: str) -> None:
        name = self._staged(role)
        self._views.append(name)
        await self._engine.execute(f"CREATE MATERIALIZED VIEW {name} TO {target} AS {select}")

    def _over(self, view: View, source: TableName) -> str:
        """The SELECT of the view over another source. Where all is made again, it joins what is made again."""
        places = {table: self._new(table) for table in self._tables} if self._keeping is Keeping.NOTHING else {}
        places |= {view.source: source}
        return replace_tables(view.select, {(a.database, a.table): (b.database, b.table) for a, b in places.items()})

    def _views_below(self, views: Iterable[View]) -> tuple[View, ...]:
        return tuple(downstream((view for view in views if view.target not in self._without), self._real))

    def _new(self, table: TableName) -> TableName:
        return self._staged(f"new_{table.table}")

    def _last(self, table: TableName) -> TableName:
        return self._staged(f"last_{table.table}") if self._keeping is Keeping.EVERYTHING_BEFORE else self._new(table)

    def _live(self, table: TableName) -> TableName:
        return self._staged(f"live_{table.table}")

    def _clone(self, table: TableName) -> TableName:
        return self._staged(f"clone_{table.table}")

    def _staged(self, role: str) -> TableName:
        return staging_table(self._workspace.database, self._owner, f"shadow_{role}")

    def _name(self, table: TableName) -> str:
        return self._workspace.name_of(table)


def _changed(message: str) -> Conflict:
    return Conflict(message, hint="Run it again.")

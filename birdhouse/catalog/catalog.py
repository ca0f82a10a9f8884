"""The workspaces of this server, as they are now. Changes are saved before anybody sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from birdhouse.catalog import store
from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.shares import store as share_store
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import Clock
from birdhouse.engine.exchange import Exchange
from birdhouse.errors import NotFound
from birdhouse.metadata.cipher import Cipher
from birdhouse.metadata.database import Database, Transaction
from birdhouse.metadata.identifiers import new_database, new_id, new_signing_key
from birdhouse.metadata.rows import Rows

Also = Callable[[Transaction], object]


class Catalog:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        on_loss: Callable[[], None] = lambda: None,
        *,
        cipher: Cipher | None = None,
    ) -> None:
        """`on_loss` is called, on the metadata thread, when a workspace has gone or come in the place of another, and
        when a resource has gone or has another name: what tokens are about. `cipher` reads variables.
        """
        self._database = database
        self._clock = clock
        self._cipher = cipher
        self._on_loss = on_loss
        self._workspaces: dict[str, Workspace] = {}
        self._named: dict[str, Workspace] = {}
        self._shares: share_store.Shares = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def load(self) -> None:
        loaded = await self._database.run(lambda connection: store.load_workspaces(connection, cipher=self._cipher))
        shares = await self._database.run(share_store.load)
        for workspace in loaded:
            self._publish(workspace, shares)

    def _publish(self, workspace: Workspace, shares: share_store.Shares | None = None) -> None:
        now = self._workspaces.get(workspace.id)
        if now is not None and workspace.version <= now.version:
            # A share has made a version meanwhile, and no two of them may have the same number.
            workspace = replace(workspace, version=now.version + 1)
        self._workspaces[workspace.id] = self._named[workspace.name] = workspace
        self._show_shared(self._shares if shares is None else shares)

    def _show_shared(self, shares: share_store.Shares) -> None:
        """Every workspace gets what is shared with it as that is now, as a new version where that is news."""
        self._shares = shares
        for workspace in list(self._workspaces.values()):
            shared = self._shared_with(workspace)
            if shared != workspace.shared:
                shown = replace(workspace, shared=shared, version=workspace.version + 1)
                self._workspaces[workspace.id] = self._named[workspace.name] = shown

    def _shared_with(self, workspace: Workspace) -> dict[str, DataSource]:
        """A branch reads what its main workspace may read."""
        readers = {workspace.id, workspace.main_id}
        return {
            f"{origin.name}.{datasource.name}": datasource
            for datasource_id in sorted(each for each, with_ids in self._shares.items() if with_ids & readers)
            for origin in list(self._workspaces.values())
            if isinstance(datasource := origin.by_id.get(datasource_id), DataSource)
        }

    def workspaces(self) -> Iterable[Workspace]:
        return self._workspaces.values()

    def workspace(self, workspace_id: str) -> Workspace:
        found = self._workspaces.get(workspace_id)
        if found is None:
            raise NotFound(f"Workspace '{workspace_id}' not found")
        return found

    def named(self, name: str) -> Workspace | None:
        return self._named.get(name)

    def main_of(self, workspace: Workspace) -> Workspace | None:
        """What it is a branch of."""
        return self._workspaces.get(workspace.main_id) if workspace.main_id is not None else None

    def branches(self, workspace_id: str) -> list[Workspace]:
        return [each for each in self._workspaces.values() if each.main_id == workspace_id]

    def of_database(self, database: str) -> Workspace | None:
        """The workspace whose rows are in that database of the engine."""
        return next((each for each in self._workspaces.values() if each.database == database), None)

    async def create_workspace(self, name: str) -> Workspace:
        """An empty workspace with its own signing key and database. Raises Conflict when the name is taken."""
        identity = new_id()
        workspace = Workspace(identity, name, new_database())
        now = self._clock.now()
        await self._database.run(lambda connection: store.add_workspace(connection, workspace, new_signing_key(), now))
        self._publish(workspace)
        return workspace

    @asynccontextmanager
    async def changing(self, workspace_id: str) -> AsyncIterator[Workspace]:
        """The workspace, held still: changes of one workspace happen one after the other."""
        lock = self._locks.setdefault(workspace_id, asyncio.Lock())
        async with lock:
            yield self.workspace(workspace_id)

    async def remove(self, workspace: Workspace) -> None:
        """Nobody finds it from now on, nor any token of it. Its branches must be gone; its caller holds it still."""

        shares: list[share_store.Shares] = []

        def publish() -> None:
            del self._workspaces[workspace.id]
            del self._named[workspace.name]
            self._show_shared(shares[0])
            self._on_loss()

        def save(connection: Transaction) -> None:
            store.remove_workspace(connection, workspace.id)
            shares.append(share_store.load(connection))

        await self._database.run(save, then=publish)

    async def share(self, workspace_id: str, datasource_id: str, reader_id: str) -> None:
        """`reader_id` is the workspace that may read the data source from now on, and with it its branches."""
        await self._change_shares(
            workspace_id, lambda connection: share_store.add(connection, datasource_id, reader_id)
        )

    async def unshare(self, workspace_id: str, datasource_id: str, reader_id: str) -> None:
        await self._change_shares(
            workspace_id, lambda connection: share_store.remove(connection, datasource_id, reader_id)
        )

    async def _change_shares(self, workspace_id: str, change: Also) -> None:
        shares: list[share_store.Shares] = []

        def publish() -> None:
            self._show_shared(shares[0])

        def save(connection: Transaction) -> None:
            change(connection)
            shares.append(share_store.load(connection))

        async with self.changing(workspace_id):
            await self._database.run(save, then=publish)

    def readers_of(self, datasource: DataSource) -> list[Workspace]:
        """The workspaces that it is shared with; their branches, which read it too, are not among them."""
        ids = self._shares.get(datasource.id, frozenset())
        return [each for each in self._workspaces.values() if each.id in ids]

    async def commit(
        self, before: Workspace, after: Workspace, *, unfinished: Sequence[str] = (), also: Also | None = None
    ) -> None:
        """Saves the difference in one transaction, then publishes `after`. `unfinished` is still to be done.

        `also` saves something else in the same transaction.
        """
        saved = [each for each in after.resources.values() if before.by_id.get(each.id) is not each]
        deleted = [identity for identity in before.by_id if identity not in after.by_id]
        renamed = any(each.id in before.by_id and before.by_id[each.id].name != each.name for each in saved)
        shares: list[share_store.Shares] = []

        def publish() -> None:
            self._publish(after, *shares)
            if deleted or renamed:
                self._on_loss()

        def save(connection: Transaction) -> None:
            store.save(connection, after.id, saved, deleted, unfinished)
            if also is not None:
                also(connection)
            if deleted:
                shares.append(share_store.load(connection))

        await self._database.run(save, then=publish)

    async def adopt(
        self,
        rows: Rows,
        *,
        replaces: Workspace | None = None,
        also: Also = lambda transaction: None,
    ) -> Workspace:
        """Saves a whole workspace that was written elsewhere and publishes it, in place of another one if so asked.

        All that its resources need in the engine must be there. `also` is saved in the same transaction, which it is
        given. Raises Conflict when the name is taken.
        """
        adopted: list[Workspace] = []
        shares: list[share_store.Shares] = []

        def publish() -> None:
            if replaces is not None:
                # What was remembered of the old content by its version must not pass for the new one.
                adopted[0] = replace(adopted[0], version=replaces.version + 1)
                del self._workspaces[replaces.id]
                del self._named[replaces.name]
            self._publish(adopted[0], shares[0])
            self._on_loss()

        replaced_id = replaces.id if replaces is not None else None

        def save(transaction: Transaction) -> None:
            adopted.append(store.adopt(transaction, rows, replaced_id, self._cipher))
            also(transaction)
            shares.append(share_store.load(transaction))

        await self._database.run(save, then=publish)
        return adopted[0]

    def publish(self, workspace: Workspace) -> None:
        """A new version of a workspace whose resources are the same. Its caller holds the workspace still."""
        self._publish(replace(workspace, version=workspace.version + 1))

    async def keep_unfinished(self, workspace_id: str, statements: Sequence[str]) -> None:
        """What the engine is to run at the next start, in that order, unless this process says otherwise before."""
        await self._database.run(lambda connection: store.save_unfinished(connection, workspace_id, statements))

    async def keep_exchanges(self, workspace_id: str, exchanges: Sequence[Exchange]) -> None:
        """Tables that the next start is to exchange, unless this process says otherwise before."""
        await self._database.run(lambda connection: store.save_exchanges(connection, workspace_id, exchanges))

    async def exchanges(self, workspace_id: str) -> tuple[Exchange, ...]:
        return await self._database.run(lambda connection: store.load_exchanges(connection, workspace_id))

    async def unfinished(self, workspace_id: str) -> tuple[str, ...]:
        return await self._database.run(lambda connection: store.load_unfinished(connection, workspace_id))

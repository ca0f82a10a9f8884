"""Makes, changes and removes the connections of a workspace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import orjson

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.connection import Connection, check_name, checked_settings
from birdhouse.catalog.connections import store
from birdhouse.clock import Clock
from birdhouse.errors import NotFound
from birdhouse.metadata.cipher import Cipher
from birdhouse.metadata.database import Database
from birdhouse.metadata.identifiers import new_id


class Connections:
    """A workspace has its connections by name; here they are changed, and here their secrets are."""

    def __init__(self, database: Database, catalog: Catalog, cipher: Cipher, clock: Clock) -> None:
        self._database = database
        self._catalog = catalog
        self._cipher = cipher
        self._clock = clock

    def find(self, workspace_id: str, name_or_id: str) -> Connection:
        """Raises NotFound."""
        for connection in self._catalog.workspace(workspace_id).connections.values():
            if name_or_id in (connection.name, connection.id):
                return connection
        raise NotFound(f"Connection {name_or_id!r} not found")

    async def create(self, workspace_id: str, name: str, service: str, settings: Mapping[str, str]) -> Connection:
        """Raises InvalidParameter, NameTaken, LimitReached."""
        check_name(name)
        shown, secrets = checked_settings(service, settings)
        now, sealed = self._clock.now(), self._sealed(secrets)
        made = Connection(new_id(), name, service, shown, now, now)
        await self._change(workspace_id, lambda transaction: store.add(transaction, workspace_id, made, sealed))
        return made

    async def change(self, workspace_id: str, name_or_id: str, settings: Mapping[str, str]) -> Connection:
        """Replaces the settings that are named; the others stay. Raises NotFound, InvalidParameter."""
        before = self.find(workspace_id, name_or_id)
        kept = {**before.settings, **await self.secrets(before.id)}
        shown, secrets = checked_settings(before.service, {**kept, **settings})
        after, sealed = replace(before, settings=shown, updated_at=self._clock.now()), self._sealed(secrets)
        await self._change(workspace_id, lambda transaction: store.change(transaction, after, sealed))
        return after

    async def delete(self, workspace_id: str, name_or_id: str) -> None:
        """Raises NotFound."""
        found = self.find(workspace_id, name_or_id)
        await self._change(workspace_id, lambda transaction: store.remove(transaction, found.id))

    async def secrets(self, connection_id: str) -> dict[str, str]:
        """Never part of an answer, a log line or a job. Raises NotFound, and Conflict when the key is another one."""
        sealed = await self._database.run(lambda transaction: store.sealed_secrets(transaction, connection_id))
        if sealed is None:
            raise NotFound("The connection does not exist any more.")
        found: dict[str, str] = orjson.loads(self._cipher.opened(sealed))
        return found

    def _sealed(self, secrets: Mapping[str, str]) -> str:
        return self._cipher.sealed(orjson.dumps(secrets).decode())

    async def _change(self, workspace_id: str, work: Callable[[store.Transaction], None]) -> None:
        there: dict[str, Connection] = {}

        def changed(transaction: store.Transaction) -> None:
            work(transaction)
            there.update(store.load(transaction, workspace_id))

        async with self._catalog.changing(workspace_id) as workspace:
            after = replace(workspace, connections=there)
            await self._database.run(changed, then=lambda: self._catalog.publish(after))

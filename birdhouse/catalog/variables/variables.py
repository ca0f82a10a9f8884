"""Sets and removes the variables of a workspace."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.variables import store
from birdhouse.catalog.variables.store import SECRET, Variable
from birdhouse.clock import Clock
from birdhouse.errors import InvalidParameter, TooLarge
from birdhouse.metadata.cipher import Cipher
from birdhouse.metadata.database import Database

VALUE_BYTES_MAX = 8_192
NAME_CHARACTERS_MAX = 200

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Variables:
    """Every change gives the workspace a new version, so that nothing remembered keeps an old value."""

    def __init__(self, database: Database, catalog: Catalog, cipher: Cipher, clock: Clock) -> None:
        self._database = database
        self._catalog = catalog
        self._cipher = cipher
        self._clock = clock

    async def list(self, workspace_id: str) -> tuple[Variable, ...]:
        """By name."""
        return await self._database.run(lambda connection: store.load(connection, workspace_id))

    async def get(self, workspace_id: str, name: str) -> Variable:
        """Raises NotFound."""
        return await self._database.run(lambda connection: store.get(connection, workspace_id, name))

    async def create(self, workspace_id: str, name: str, value: str, *, edited_by: str) -> Variable:
        """Raises NameTaken, InvalidParameter, TooLarge, LimitReached."""
        _check_name(name)
        now, sealed = self._clock.now(), self._sealed(value)
        made = Variable(name, SECRET, now, now, edited_by)
        await self._change(workspace_id, lambda connection: store.add(connection, workspace_id, made, sealed))
        return made

    async def change(self, workspace_id: str, name: str, value: str, *, edited_by: str) -> Variable:
        """Raises NotFound, TooLarge."""
        now, sealed = self._clock.now(), self._sealed(value)
        await self._change(
            workspace_id,
            lambda connection: store.change(connection, workspace_id, name, sealed, at=now, edited_by=edited_by),
        )
        return await self.get(workspace_id, name)

    async def delete(self, workspace_id: str, name: str) -> None:
        """Pipes that use it fail from now on, and name it. Raises NotFound."""
        await self._change(workspace_id, lambda connection: store.remove(connection, workspace_id, name))

    async def _change(self, workspace_id: str, work: Callable[[store.Transaction], None]) -> None:
        values: dict[str, str] = {}

        def changed(connection: store.Transaction) -> None:
            work(connection)
            values.update(store.load_values(connection, workspace_id, self._cipher))

        async with self._catalog.changing(workspace_id) as workspace:
            after = replace(workspace, variables=values)
            await self._database.run(changed, then=lambda: self._catalog.publish(after))

    def _sealed(self, value: str) -> str:
        size_bytes = len(value.encode())
        if size_bytes > VALUE_BYTES_MAX:
            raise TooLarge(f"The value has {size_bytes} bytes; the limit is {VALUE_BYTES_MAX}")
        return self._cipher.sealed(value)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > NAME_CHARACTERS_MAX:
        raise InvalidParameter(
            f"{name!r} is not a name for a variable",
            hint=f"Use letters, digits and underscores, at most {NAME_CHARACTERS_MAX}; do not start with a digit.",
        )

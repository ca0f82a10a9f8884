"""Variables and connections as the catalog keeps them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.connections import store as connections_store
from birdhouse.catalog.connections.connections import Connections
from birdhouse.catalog.variables import store as variables_store
from birdhouse.catalog.variables.variables import Variables
from birdhouse.clock import ManualClock
from birdhouse.errors import LimitReached, NotFound
from birdhouse.metadata.cipher import Cipher
from birdhouse.metadata.database import Database
from birdhouse.metadata.migrate import migrate

S3 = {"s3_access_key_id": "AKIA1", "s3_secret_access_key": "hush"}


class Kept:
    """What a server keeps, and what a start on the same database finds, with the same key or another."""

    def __init__(self, database: Database, key: bytes) -> None:
        self.key = key
        self.clock = ManualClock(datetime(2024, 5, 1, tzinfo=UTC))
        self.database = database
        self.catalog = Catalog(database, self.clock, cipher=Cipher(key))
        self.variables = Variables(database, self.catalog, Cipher(key), self.clock)
        self.connections = Connections(database, self.catalog, Cipher(key), self.clock)

    async def started_again(self, key: bytes | None = None) -> Kept:
        again = Kept(self.database, key or self.key)
        await again.catalog.load()
        return again


@pytest.fixture
async def kept() -> AsyncIterator[Kept]:
    database = Database.open("sqlite://")
    migrate(database)
    yield Kept(database, Fernet.generate_key())
    database.close()


async def test_what_is_set_is_there_after_a_start_and_in_its_workspace_alone(kept: Kept) -> None:
    mine, other = [await kept.catalog.create_workspace(name) for name in ("mine", "other")]
    await kept.variables.create(mine.id, "pepper", "hush", edited_by="t")
    made = await kept.connections.create(mine.id, "store", "s3", S3)
    again = await kept.started_again()
    for each in (kept, again):
        assert each.catalog.workspace(mine.id).variables == {"pepper": "hush"}
        assert each.catalog.workspace(mine.id).connections == {"store": made}
        assert await each.connections.secrets(made.id) == {"s3_secret_access_key": "hush"}
        assert not each.catalog.workspace(other.id).variables and not each.catalog.workspace(other.id).connections
        for lost in (each.variables.get(other.id, "pepper"), each.variables.delete(other.id, "pepper")):
            with pytest.raises(NotFound):
                await lost
        with pytest.raises(NotFound):
            each.connections.find(other.id, made.id)
    assert "hush" not in repr(again.catalog.workspace(mine.id)) + repr(made)


async def test_each_change_gives_the_workspace_a_new_version_and_keeps_its_resources(kept: Kept) -> None:
    workspace = await kept.catalog.create_workspace("w")
    versions = [workspace.version]
    await kept.variables.create(workspace.id, "a", "1", edited_by="t")
    versions.append(kept.catalog.workspace(workspace.id).version)
    await kept.variables.change(workspace.id, "a", "2", edited_by="t")
    versions.append(kept.catalog.workspace(workspace.id).version)
    await kept.connections.create(workspace.id, "c", "s3", S3)
    versions.append(kept.catalog.workspace(workspace.id).version)
    assert versions == sorted(set(versions))
    assert kept.catalog.workspace(workspace.id).with_changes().variables == {"a": "2"}


async def test_with_another_key_the_server_starts_and_the_secrets_are_missing(kept: Kept) -> None:
    workspace = await kept.catalog.create_workspace("w")
    await kept.variables.create(workspace.id, "pepper", "hush", edited_by="t")
    again = await kept.started_again(Fernet.generate_key())
    assert again.catalog.workspace(workspace.id).variables == {}
    assert [each.name for each in await again.variables.list(workspace.id)] == ["pepper"]
    await again.variables.change(workspace.id, "pepper", "new", edited_by="t")
    assert again.catalog.workspace(workspace.id).variables == {"pepper": "new"}


async def test_there_is_a_limit(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = await kept.catalog.create_workspace("w")
    monkeypatch.setattr(variables_store, "VARIABLES_PER_WORKSPACE_MAX", 1)
    monkeypatch.setattr(connections_store, "CONNECTIONS_PER_WORKSPACE_MAX", 1)
    await kept.variables.create(workspace.id, "a", "1", edited_by="t")
    await kept.connections.create(workspace.id, "a", "s3", S3)
    with pytest.raises(LimitReached):
        await kept.variables.create(workspace.id, "b", "1", edited_by="t")
    with pytest.raises(LimitReached):
        await kept.connections.create(workspace.id, "b", "s3", S3)

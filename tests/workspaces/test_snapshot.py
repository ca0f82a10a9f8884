"""Copies of all tables of a workspace are of one moment, whatever goes on meanwhile."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from jobs.jobs_home import Home, numbers_table, view_pipe

from birdhouse.deploy import ddl
from birdhouse.engine.types import Query, TableName
from birdhouse.errors import Conflict
from birdhouse.workspaces import snapshot as module
from birdhouse.workspaces.snapshot import Data, Snapshot, create_frozen

PARTITIONED = numbers_table("n", "month") + "ENGINE_PARTITION_KEY month\n"
JOIN = """SCHEMA >
    `k` String,
    `v` UInt64

ENGINE Join
ENGINE_JOIN_STRICTNESS ANY
ENGINE_JOIN_TYPE LEFT
ENGINE_KEY_COLUMNS k
"""


@dataclass
class Copied:
    home: Home
    database: str

    async def take(self, *, data: Data = Data.ALL) -> tuple[dict[str, str], float]:
        """What the tables hold at the moment, and for how long inserts were held."""
        workspace = self.home.workspace
        targets = {each.table.table: self.table(each.name) for each in workspace.datasources()}
        snapshot = Snapshot(self.home.gate, workspace.database, targets.get, make=create_frozen, data=data)
        async with self.home.catalog.changing(workspace.id):
            return await snapshot.take(self.contents)

    async def empty(self) -> None:
        await self.home.gate.execute(ddl.drop_database(self.database))
        await self.home.gate.execute(ddl.create_database(self.database))

    def table(self, name: str) -> TableName:
        return TableName(self.database, self.home.workspace.datasource(name).table.table)

    async def contents(self) -> dict[str, str]:
        return {each.name: await self._rows(each.table) for each in self.home.workspace.datasources()}

    async def copies(self) -> dict[str, str]:
        return {each.name: await self._rows(self.table(each.name)) for each in self.home.workspace.datasources()}

    async def _rows(self, table: TableName) -> str:
        exists = await self.home.gate.select(Query(f"EXISTS TABLE {table}", "TSVRaw"))
        if exists.body.strip() != b"1":
            return ""
        # A merge may drop rows that a newer one replaces, at any time.
        final = " FINAL" if "Replacing" in (await self._engine_of(table)) else ""
        result = await self.home.gate.select(Query(f"SELECT * FROM {table}{final} ORDER BY ALL", "TSVRaw"))
        return result.body.decode()

    async def _engine_of(self, table: TableName) -> str:
        sql = f"SELECT engine FROM system.tables WHERE database = '{table.database}' AND name = '{table.table}'"
        return (await self.home.gate.select(Query(sql, "TSVRaw"))).body.decode()


@pytest.fixture
async def copied(home: Home) -> AsyncIterator[Copied]:
    copied = Copied(home, f"scratch_test_{secrets.token_hex(4)}")
    await copied.empty()
    yield copied
    await home.gate.execute(ddl.drop_database(copied.database))


async def test_a_copy_has_every_row_of_the_moment(copied: Copied) -> None:
    await copied.home.push(source=PARTITIONED, target=numbers_table("n"), mv=view_pipe("SELECT n FROM source"))
    await copied.home.load("source", "SELECT number AS n, number % 3 AS month FROM numbers(1000)")
    contents, held_seconds = await copied.take()
    assert len(contents["source"].splitlines()) == len(contents["target"].splitlines()) == 1000
    assert await copied.copies() == contents
    assert 0 < held_seconds < 5


async def test_a_table_without_rows_is_not_even_made(copied: Copied) -> None:
    await copied.home.push(source=PARTITIONED)
    contents, _ = await copied.take()
    assert contents == await copied.copies() == {"source": ""}
    sql = f"SELECT count() FROM system.tables WHERE database = '{copied.database}'"
    assert (await copied.home.gate.select(Query(sql, "TSVRaw"))).body == b"0\n"


async def test_a_view_and_its_source_agree_while_inserts_run_all_the_time(copied: Copied) -> None:
    home = copied.home
    await home.push(source=PARTITIONED, target=numbers_table("n"), mv=view_pipe("SELECT n FROM source"))
    acknowledged: set[int] = set()
    running = True

    async def insert(first: int) -> None:
        n = first
        while running:
            await home.append("source", "n", [n])
            acknowledged.add(n)
            n += 4

    inserts = [asyncio.create_task(insert(first)) for first in range(4)]
    await asyncio.sleep(0.2)
    for _ in range(3):
        before = set(acknowledged)
        contents, _ = await copied.take()
        copies = await copied.copies()
        assert copies == contents
        assert [line.split()[0] for line in copies["source"].splitlines()] == copies["target"].split()
        assert {str(n) for n in before} <= set(copies["target"].split())
        await copied.empty()
    running = False
    await asyncio.gather(*inserts)


Deed = Callable[[Home, random.Random], Awaitable[object]]


async def _insert(home: Home, chance: random.Random) -> None:
    await home.load(
        chance.choice(["a", "b"]),
        f"SELECT number AS n, {chance.randrange(3)} AS month FROM numbers({chance.randrange(1, 50)})",
    )


async def _merge(home: Home, chance: random.Random) -> None:
    await home.gate.execute(f"OPTIMIZE TABLE {home.workspace.datasource(chance.choice(['a', 'b'])).table} FINAL")


async def _truncate(home: Home, chance: random.Random) -> None:
    await home.gate.execute(f"TRUNCATE TABLE {home.workspace.datasource('b').table} SYNC")


async def _replace(home: Home, chance: random.Random) -> None:
    table = home.workspace.datasource("a").table
    new = TableName(table.database, f"staging_{secrets.token_hex(4)}")
    await home.gate.execute(f"CREATE TABLE {new} AS {table}")
    await home.gate.execute(f"INSERT INTO {new} SELECT number, 1 FROM numbers({chance.randrange(30)})")
    await home.gate.execute(f"EXCHANGE TABLES {new} AND {table}")
    await home.gate.execute(f"DROP TABLE {new} SYNC")


async def _delete(home: Home, chance: random.Random) -> None:
    table = home.workspace.datasource(chance.choice(["a", "b"])).table
    await home.gate.execute(
        f"ALTER TABLE {table} DELETE WHERE n % 7 = {chance.randrange(7)} SETTINGS mutations_sync = 2"
    )


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_between_two_steps_the_copy_is_that_of_the_moment(
    copied: Copied, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deeds of chance come in front of statements of the copy, until inserts are held."""
    home, chance = copied.home, random.Random(seed)
    deeds: list[Deed] = [_insert, _insert, _merge, _truncate, _replace, _delete]
    await home.push(a=PARTITIONED, b=PARTITIONED.replace("MergeTree", "ReplacingMergeTree"))
    for _ in range(6):
        await _insert(home, chance)

    async def disturb() -> None:
        for _ in range(chance.randrange(1, 3)):
            await chance.choice(deeds)(home, chance)
        if chance.random() < 0.8:
            home.gate.before["PARTITION"] = disturb

    home.gate.before["PARTITION"] = disturb
    held = home.gate.held

    @asynccontextmanager
    async def held_without_disturbance(database: str) -> AsyncIterator[None]:
        async with held(database):
            home.gate.before.clear()
            yield

    monkeypatch.setattr(home.gate, "held", held_without_disturbance)
    workspace = home.workspace
    targets = {each.table.table: copied.table(each.name) for each in workspace.datasources()}
    snapshot = Snapshot(home.gate, workspace.database, targets.get, make=create_frozen)
    async with home.catalog.changing(workspace.id):
        of_the_moment, _ = await snapshot.take(copied.contents)
    assert await copied.copies() == of_the_moment


@pytest.mark.parametrize(
    ("data", "rows"), [(Data.ALL, ["1\t10", "2\t20", "3\t30"]), (Data.LAST_PARTITION, ["2\t20"]), (Data.NONE, [])]
)
async def test_a_copy_has_all_rows_or_those_of_the_last_partition_or_none(
    copied: Copied, data: Data, rows: list[str]
) -> None:
    await copied.home.push(source=PARTITIONED)
    for n in (1, 3, 2):
        await copied.home.load("source", f"SELECT {n} AS n, {n * 10} AS month")
    await copied.take(data=data)
    assert (await copied.copies())["source"].splitlines() == rows


async def test_a_table_that_keeps_no_parts_is_copied_too(copied: Copied) -> None:
    await copied.home.push(names=JOIN)
    await copied.home.load("names", "SELECT 'a' AS k, 1 AS v")
    contents, _ = await copied.take()
    assert contents == await copied.copies() == {"names": "a\t1\n"}


async def test_rows_that_have_expired_stay_in_a_copy_as_they_were(copied: Copied) -> None:
    expiring = (
        "SCHEMA >\n    `at` DateTime\n\nENGINE MergeTree\nENGINE_SORTING_KEY at\nENGINE_TTL at + toIntervalSecond(2)\n"
    )
    await copied.home.push(source=expiring)
    await copied.home.load("source", "SELECT now() + 100 * number AS at FROM numbers(3)")
    contents, _ = await copied.take()
    assert len(contents["source"].splitlines()) == 3
    await asyncio.sleep(2.5)
    assert await copied.copies() == contents


async def test_rows_that_are_being_deleted_for_long_are_waited_for_and_then_the_copy_is_refused(
    copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DELETES_SECONDS_MAX", 0.3)
    home = copied.home
    await home.push(source=PARTITIONED)
    await home.load("source", "SELECT number AS n, 1 AS month FROM numbers(10)")
    table = home.workspace.datasource("source").table
    await home.gate.execute(f"SYSTEM STOP MERGES {table}")
    await home.gate.execute(f"ALTER TABLE {table} DELETE WHERE n = 1 SETTINGS mutations_sync = 0")
    with pytest.raises(Conflict, match="being deleted"):
        await copied.take()
    await home.gate.execute(f"SYSTEM START MERGES {table}")
    await copied.empty()
    monkeypatch.setattr(module, "DELETES_SECONDS_MAX", 30)
    contents, _ = await copied.take()
    assert len(contents["source"].splitlines()) == 9
    assert await copied.copies() == contents

"""The rows of a workspace leave the metadata database, and come into another one, or the same, whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select, text
from workspaces import EVENTS, NOW, SUMS, pipe, workspace_of

from birdhouse.access.scopes import Scope, ScopeType
from birdhouse.access.store import TokenStore
from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.connections.connections import Connections
from birdhouse.catalog.releases.release import Release, ReleaseStatus
from birdhouse.catalog.releases.store import add as add_release
from birdhouse.catalog.tags import Tags
from birdhouse.catalog.variables.variables import Variables
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import ManualClock
from birdhouse.errors import Conflict
from birdhouse.jobs.job import Job, JobStatus
from birdhouse.jobs.rounds import Progress
from birdhouse.jobs.store import add as add_job
from birdhouse.jobs.store import save_progress
from birdhouse.metadata import rows as module
from birdhouse.metadata.cipher import Cipher
from birdhouse.metadata.database import Database
from birdhouse.metadata.identifiers import new_id
from birdhouse.metadata.migrate import migrate
from birdhouse.metadata.migrations import MIGRATIONS, Migration
from birdhouse.metadata.rows import OF_THE_SERVER, Rows, export_rows, new_names, owned_tables, renamed, upgraded
from birdhouse.metadata.schema import jobs, metadata

KEY = Fernet.generate_key()

FILES = {
    "events.datasource": EVENTS,
    "sums.datasource": SUMS,
    "sums_mv.pipe": pipe("SELECT user, amount AS total FROM events", more="TYPE materialized\nDATASOURCE sums\n"),
    "total.pipe": pipe("SELECT sum(total) AS total FROM sums"),
}


class Server:
    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2024, 5, 1, tzinfo=UTC))
        self.database = Database.open("sqlite://")
        migrate(self.database)
        cipher = Cipher(KEY)
        self.catalog = Catalog(self.database, self.clock, cipher=cipher)
        self.connections = Connections(self.database, self.catalog, cipher, self.clock)
        self.variables = Variables(self.database, self.catalog, cipher, self.clock)
        self.tokens = TokenStore(self.database, self.clock)
        self.tags = Tags(self.database)

    async def add(self, name: str) -> Workspace:
        """A workspace with something of everything."""
        before = await self.catalog.create_workspace(name)
        await self.catalog.commit(before, workspace_of(FILES, before))
        await self.tokens.create_defaults(before.id)
        await self.tokens.create(before.id, "reader", [Scope(ScopeType.DATASOURCES_READ, "events", "amount > 1")])
        await self.tags.add(before.id, "core", "events")
        broker = {"kafka_bootstrap_servers": "broker:9092", "kafka_sasl_plain_password": "hush"}
        await self.connections.create(before.id, "broker", "kafka", broker)
        await self.variables.create(before.id, "pepper", f"hush of {name}", edited_by="reader")
        job = Job(f"job of {name}", before.id, "copy", JobStatus.DONE, NOW, NOW, {})
        await self.database.run(lambda connection: add_job(connection, job))
        total = self.catalog.workspace(before.id).pipe("total").id
        schedule = Progress(NOW, begun={total: NOW})
        await self.database.run(lambda connection: save_progress(connection, total, schedule))
        files = {"datasources/events.datasource": EVENTS}
        release = Release(new_id(), "0.0.0", "abc", ReleaseStatus.LIVE, NOW, files)
        await self.database.run(lambda connection: add_release(connection, before.id, release))
        return self.catalog.workspace(before.id)

    async def rows(self, workspace: Workspace) -> Rows:
        return await self.database.run(lambda connection: export_rows(connection, workspace.id))

    async def token(self, workspace: Workspace, name: str = "reader") -> str:
        return (await self.tokens.get(workspace.id, name)).text

    async def jobs_of(self, workspace_id: str) -> list[str]:
        wanted = select(jobs.c.id).where(jobs.c.workspace_id == workspace_id)
        return await self.database.run(lambda connection: list(connection.scalars(wanted)))


@pytest.fixture
def server() -> Server:
    return Server()


def test_every_table_leads_to_a_workspace_or_is_the_servers_own() -> None:
    for table in metadata.sorted_tables:
        if table.name in OF_THE_SERVER or table.name == module.WORKSPACES:
            continue
        column, referred = module.owner(table)
        assert referred.table in owned_tables(), f"{table.name}.{column} leads to a table that is left out"


async def test_the_rows_of_a_workspace_are_all_that_is_about_it_and_nothing_else(server: Server) -> None:
    first, second = await server.add("first"), await server.add("second")
    rows, others = await server.rows(first), await server.rows(second)
    assert {name for name, each in rows.items() if each} == {
        "workspaces", "resources", "nodes", "tokens", "token_scopes", "tags", "tag_resources", "connections",
        "variables", "schedules", "releases",
    } == {table.name for table in owned_tables()}  # fmt: skip
    assert {name: len(each) for name, each in rows.items()} == {name: len(each) for name, each in others.items()}
    assert not {str(row) for each in rows.values() for row in each} & {
        str(row) for each in others.values() for row in each
    }


async def test_a_workspace_that_is_adopted_elsewhere_is_the_same(server: Server) -> None:
    workspace = await server.add("w")
    rows = await server.rows(workspace)
    other = Server()
    adopted = await other.catalog.adopt(rows)
    assert adopted == replace(workspace, version=adopted.version)
    assert adopted.variables == {"pepper": "hush of w"} and list(adopted.connections) == ["broker"]
    assert await other.connections.secrets(adopted.connections["broker"].id) == {"kafka_sasl_plain_password": "hush"}
    assert "hush" not in str(rows)
    assert await other.rows(adopted) == rows
    assert await other.token(adopted) == await server.token(workspace)
    assert other.catalog.named("w") is adopted


async def test_a_name_that_is_taken_changes_nothing(server: Server) -> None:
    workspace = await server.add("w")
    rows = renamed(await server.rows(workspace), new_names(await server.rows(workspace)))
    with pytest.raises(Conflict):
        await server.catalog.adopt(rows)
    assert [each.name for each in server.catalog.workspaces()] == ["w"]


async def test_a_copy_under_new_names_has_nothing_of_the_old_ones(server: Server) -> None:
    workspace = await server.add("w")
    rows = await server.rows(workspace)
    names = new_names(rows)
    copied = renamed(rows, names)
    copied["workspaces"][0]["name"] = "copy"
    for old, new in names.items():
        assert old not in str(copied)
        assert str(rows).count(old) == str(copied).count(new)
    copy = await server.catalog.adopt(copied)
    assert copy.resources.keys() == workspace.resources.keys()
    assert [each.text for each in copy.resources.values()] == [each.text for each in workspace.resources.values()]
    view = copy.pipe("sums_mv").view
    assert view is not None and view.database == copy.database != workspace.database


async def test_what_a_user_wrote_stays_though_it_looks_like_a_name(server: Server) -> None:
    workspace = await server.add("w")
    rows = await server.rows(workspace)
    identity = rows["resources"][0]["id"]
    rows["resources"][0]["datafile"] = f"DESCRIPTION > about {identity}"
    assert renamed(rows, new_names(rows))["resources"][0]["datafile"] == f"DESCRIPTION > about {identity}"


async def test_an_older_state_in_place_brings_back_what_was_and_ends_what_was_not(server: Server) -> None:
    workspace = await server.add("w")
    rows = await server.rows(workspace)
    old_text = await server.token(workspace)
    await server.tokens.delete(workspace.id, "reader")
    await server.tokens.create(workspace.id, "later", [Scope(ScopeType.TOKENS)])
    await server.catalog.commit(workspace, workspace.with_changes((), [workspace.datasource("sums").id]))
    adopted = await server.catalog.adopt(rows, replaces=server.catalog.workspace(workspace.id))
    assert adopted.resources == workspace.resources
    assert adopted.version > workspace.version
    assert await server.token(adopted) == old_text
    assert "later" not in {each.name for each in await server.tokens.list(workspace.id)}
    assert await server.jobs_of(workspace.id) == ["job of w"]


async def test_a_text_that_a_refresh_has_ended_is_not_revived(server: Server) -> None:
    workspace = await server.add("w")
    rows = await server.rows(workspace)
    old_text = await server.token(workspace)
    new_text = (await server.tokens.refresh(workspace.id, "reader")).text
    await server.catalog.adopt(rows, replaces=server.catalog.workspace(workspace.id))
    assert await server.token(workspace) == new_text != old_text


async def test_a_workspace_of_another_identity_takes_name_jobs_and_branches_over(server: Server) -> None:
    replaced = await server.add("w")
    branch = await server.add("branch")
    branched = text(f"UPDATE workspaces SET main_id = '{replaced.id}' WHERE id = '{branch.id}'")
    await server.database.run(lambda connection: connection.execute(branched))
    other = Server()
    rows = await other.rows(await other.add("w"))
    adopted = await server.catalog.adopt(rows, replaces=server.catalog.workspace(replaced.id))
    assert {each.id for each in server.catalog.workspaces()} == {adopted.id, branch.id}
    assert await server.jobs_of(adopted.id) == ["job of w"]
    assert (await server.rows(branch))["workspaces"][0]["main_id"] == adopted.id
    assert await server.rows(adopted) == rows
    assert (await server.rows(replaced))["resources"] == []


async def test_rows_of_an_older_version_are_migrated_like_a_database(server: Server) -> None:
    workspace = await server.add("w")
    rows = await server.rows(workspace)
    today = [migration.number for migration in MIGRATIONS]
    assert upgraded(rows, today) is rows
    later = Migration(999, ("UPDATE workspaces SET name = name || ' of old'",))
    migrated = upgraded(rows, today, [*MIGRATIONS, later])
    assert migrated["workspaces"][0]["name"] == "w of old"
    assert {**migrated, "workspaces": []} == {**rows, "workspaces": []}


async def test_rows_of_a_newer_version_are_refused(server: Server) -> None:
    rows = await server.rows(await server.add("w"))
    with pytest.raises(Conflict, match="newer Birdhouse") as refused:
        upgraded(rows, [*(migration.number for migration in MIGRATIONS), 999])
    assert "999" in str(refused.value)

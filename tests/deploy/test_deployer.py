"""Deployments against a real engine: all of it or nothing."""

from __future__ import annotations

import pytest
from deploy_home import Home
from workspaces import EVENTS, SUMS, pipe

from birdhouse.deploy.reconcile import reconcile
from birdhouse.errors import BirdhouseError, Conflict, DatafileError, DeploymentRefused, InUse, SqlError

BY_USER = pipe(
    "SELECT user, sum(amount) AS total FROM events GROUP BY user", more="TYPE materialized\nDATASOURCE sums\n"
)
PROJECT = {
    "events.datasource": EVENTS,
    "sums.datasource": SUMS,
    "by_user.pipe": BY_USER,
    "top.pipe": pipe("SELECT user, sum(total) AS total FROM sums GROUP BY user"),
}


async def test_a_project_is_deployed_and_runs(home: Home) -> None:
    deployment = await home.deploy(PROJECT)
    assert deployment.steps == (
        "create data source events (3 columns, MergeTree)",
        "create data source sums (2 columns, MergeTree)",
        "create view of by_user into sums",
        "create pipe by_user (materialized, 1 nodes)",
        "create pipe top (endpoint, 1 nodes)",
    )
    await home.add_event("ann", 3)
    await home.add_event("ann", 4)
    assert await home.totals() == {"ann": 7}
    assert await home.scratch_databases() == []


async def test_deploying_again_changes_nothing(home: Home) -> None:
    await home.deploy(PROJECT)
    before = home.workspace
    assert (await home.deploy(PROJECT)).steps == ()
    assert home.workspace is before


async def test_a_dry_run_tells_the_same_steps_and_changes_nothing(home: Home) -> None:
    dry = await home.deploy(PROJECT, dry_run=True)
    assert home.workspace.resources == {}
    assert await home.tables() == set()
    assert (await home.deploy(PROJECT)).steps == dry.steps


async def test_what_is_deployed_is_there_after_a_restart(home: Home) -> None:
    await home.deploy(PROJECT)
    before = dict(home.workspace.resources)
    await home.catalog.load()
    assert home.workspace.resources == before


BROKEN = {
    "unknown table": (
        {"p.pipe": pipe("SELECT * FROM evnts")},
        DatafileError,
        "Resource 'evnts' not found, read by node 'main' of pipe 'p' (p.pipe:3:19). Did you mean 'events'?",
    ),
    "unknown column": (
        {"p.pipe": pipe("SELECT\n        usr\n    FROM events")},
        SqlError,
        "in node 'main' of pipe 'p'",
    ),
    "syntax error": ({"p.pipe": pipe("SELECT FROM FROM events")}, BirdhouseError, "node 'main' of"),
    "cycle": (
        {"a.pipe": pipe("SELECT * FROM b", node="na"), "b.pipe": pipe("SELECT * FROM a", node="nb")},
        Conflict,
        "Circular reference: a.na -> b.nb -> a.na",
    ),
    "copy without target": (
        {"c.pipe": pipe("SELECT 1 AS x", more="TYPE copy\nTARGET_DATASOURCE nowhere\n")},
        DatafileError,
        "Target Data Source 'nowhere' of copy pipe 'c' does not exist",
    ),
    "view with a column the target lacks": (
        {"m.pipe": pipe("SELECT user, 1 AS extra FROM events", more="TYPE materialized\nDATASOURCE sums\n")},
        SqlError,
        "Column 'extra' of pipe 'm' does not fit the Data Source 'sums'",
    ),
    "bad engine key": (
        {"d.datasource": EVENTS.replace('KEY "ts"', 'KEY "nothing"')},
        DatafileError,
        "ENGINE_SORTING_KEY names no column: 'nothing'",
    ),
    "a name of the other kind": ({"events.pipe": pipe("SELECT 1")}, BirdhouseError, "There is already a Data Source"),
    "sorting key changed": (
        {"events.datasource": EVENTS.replace('KEY "ts"', 'KEY "user"')},
        BirdhouseError,
        "ENGINE_SORTING_KEY of 'events' cannot be changed in place",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
async def test_one_wrong_resource_changes_nothing(home: Home, name: str) -> None:
    await home.deploy(PROJECT)
    before, tables = home.workspace, await home.tables()
    files, kind, message = BROKEN[name]
    good = {"fine.datasource": EVENTS, "fine_pipe.pipe": pipe("SELECT * FROM fine")}
    with pytest.raises(kind, match=message.replace("(", "\\(").replace(")", "\\)").replace("?", "\\?")):
        await home.deploy({**good, **files})
    assert home.workspace is before
    assert await home.tables() == tables
    assert await home.scratch_databases() == []


async def test_every_problem_is_listed(home: Home) -> None:
    files = {
        "a.pipe": pipe("SELECT * FROM one"),
        "b.pipe": pipe("SELECT * FROM two"),
        "c.pipe": pipe("SELECT * FROM three"),
    }
    with pytest.raises(DeploymentRefused) as caught:
        await home.deploy(files)
    assert [problem.message.split("'")[1] for problem in caught.value.problems] == ["one", "two", "three"]


async def test_a_column_is_added_to_the_table_and_its_quarantine(home: Home) -> None:
    await home.deploy(PROJECT)
    await home.add_event("ann", 1)
    new = EVENTS.replace(
        "`amount` Int32 `json:$.amount`", "`amount` Int32 `json:$.amount`,\n    `note` String `json:$.note` DEFAULT '-'"
    )
    deployment = await home.deploy({"events.datasource": new})
    assert deployment.steps[0] == "alter data source events: ADD COLUMN `note` String DEFAULT '-'"
    events = home.workspace.datasource("events")
    assert await home.rows(f"SELECT note FROM {events.table}") == [{"note": "-"}]
    assert await home.rows(f"SELECT note FROM {events.quarantine}") == []


async def test_a_view_follows_the_pipes_it_is_made_of(home: Home) -> None:
    await home.deploy(PROJECT | {
        "doubled.pipe": pipe("SELECT user, amount * 2 AS amount FROM events"),
        "by_user.pipe": BY_USER.replace("FROM events", "FROM doubled"),
    })  # fmt: skip
    await home.add_event("ann", 1)
    deployment = await home.deploy({"doubled.pipe": pipe("SELECT user, amount * 10 AS amount FROM events")})
    assert "create view of by_user into sums" in deployment.steps
    await home.add_event("ann", 1)
    assert await home.totals() == {"ann": 12}


async def test_a_view_that_is_no_longer_materialized_stops(home: Home) -> None:
    await home.deploy(PROJECT)
    await home.add_event("ann", 1)
    await home.deploy({"by_user.pipe": pipe("SELECT user FROM events")})
    await home.add_event("ann", 1)
    assert await home.totals() == {"ann": 1}


async def test_a_materialized_node_creates_its_target(home: Home) -> None:
    more = 'TYPE materialized\nDATASOURCE made\nENGINE "AggregatingMergeTree"\nENGINE_SORTING_KEY "user"\n'
    sql = "SELECT user, sumState(amount) AS total FROM events GROUP BY user"
    await home.deploy({"events.datasource": EVENTS, "m.pipe": pipe(sql, more=more)})
    made = home.workspace.datasource("made")
    assert [(each.name, each.type) for each in made.definition.columns] == [
        ("user", "String"),
        ("total", "AggregateFunction(sum, Int32)"),
    ]
    await home.add_event("ann", 5)
    assert await home.rows(f"SELECT user, sumMerge(total) AS total FROM {made.table} GROUP BY user") == [
        {"user": "ann", "total": 5}
    ]


async def test_a_copy_may_read_another_server_and_is_not_asked_for_its_columns(home: Home) -> None:
    sql = "SELECT user, total FROM url('http://127.0.0.1:9/rows.csv', 'CSVWithNames')"
    more = "TYPE copy\nTARGET_DATASOURCE sums\n"
    await home.deploy({"sums.datasource": SUMS, "fetch.pipe": pipe(sql, more=more)})
    assert home.workspace.pipe("fetch").kind == "copy"
    with pytest.raises(SqlError, match="url"):
        await home.deploy({"shown.pipe": pipe(sql)})


async def test_a_data_source_in_use_is_only_dropped_by_force(home: Home) -> None:
    await home.deploy(PROJECT)
    with pytest.raises(InUse, match="used by downstream pipes: by_user"):
        await home.deployer.delete_datasource(home.workspace_id, "events", force=False, dry_run=False)
    dependent = await home.deployer.delete_datasource(home.workspace_id, "events", force=True, dry_run=True)
    assert [each.name for each in dependent] == ["by_user"]
    await home.deployer.delete_datasource(home.workspace_id, "events", force=True, dry_run=False)
    assert "events" not in home.workspace.resources
    assert home.workspace.pipe("by_user").view is None
    table = home.workspace.datasource("sums").table
    await home.engine.execute(f"INSERT INTO {table} SELECT 'bob', 1")
    assert await home.totals() == {"bob": 1}


async def test_an_exchange_swaps_rows_and_keys_and_leaves_names_and_views(home: Home) -> None:
    new = EVENTS.replace('"MergeTree"', '"ReplacingMergeTree"').replace('KEY "ts"', 'KEY "user"')
    await home.deploy(PROJECT | {"events_new.datasource": new})
    await home.add_event("ann", 3)
    before = home.workspace.datasource("events")
    await home.deployer.exchange(home.workspace_id, "events", "events_new")
    events, other = home.workspace.datasource("events"), home.workspace.datasource("events_new")
    assert events.id == before.id
    assert events.definition.engine is not None and events.definition.engine.options == {"sorting_key": "user"}
    assert await home.rows(f"SELECT count() AS c FROM {events.table}") == [{"c": 0}]
    assert await home.rows(f"SELECT count() AS c FROM {other.table}") == [{"c": 1}]
    await home.add_event("ann", 4)
    assert await home.totals() == {"ann": 7}
    assert (await home.deploy({"events.datasource": new})).plan.steps[0].alterations == ()  # type: ignore[union-attr]


async def test_a_quarantine_can_be_read_from_the_first_deployment_on(home: Home) -> None:
    await home.deploy(PROJECT | {"misfits.pipe": pipe("SELECT c__error, amount FROM events_quarantine")})
    with pytest.raises(InUse, match="misfits"):
        await home.deployer.delete_datasource(home.workspace_id, "events", force=False, dry_run=False)


async def test_publishing_and_unlinking(home: Home) -> None:
    await home.deploy(
        {"events.datasource": EVENTS, "two.pipe": pipe("SELECT 1 AS x", node="a") + pipe("SELECT 2 AS x", node="b")}
    )
    assert home.workspace.pipe("two").output.name == "b"
    await home.deployer.publish(home.workspace_id, "two", "a")
    assert (home.workspace.pipe("two").kind, home.workspace.pipe("two").output.name) == ("endpoint", "a")
    await home.deployer.unlink(home.workspace_id, "two")
    assert home.workspace.pipe("two").kind == "standard"


async def test_a_start_puts_right_what_a_kill_left(home: Home) -> None:
    """Lost tables and views come back, empty orphans and staging tables go, an orphan with rows is kept."""
    await home.deploy(PROJECT)
    workspace = home.workspace
    view = workspace.pipe("by_user").view
    top = workspace.datasource("sums")
    assert view is not None
    database = workspace.database
    await home.engine.execute(f"DROP VIEW {view}")
    await home.engine.execute(f"DROP TABLE {top.quarantine}")
    await home.engine.execute(f"CREATE TABLE {database}.t_orphan (x Int8) ENGINE = MergeTree ORDER BY x")
    await home.engine.execute(f"CREATE TABLE {database}.t_rows (x Int8) ENGINE = MergeTree ORDER BY x")
    await home.engine.execute(f"INSERT INTO {database}.t_rows SELECT 1")
    await home.engine.execute(f"CREATE TABLE {database}.t_1_staging_2 (x Int8) ENGINE = MergeTree ORDER BY x")
    await home.engine.execute(f"INSERT INTO {database}.t_1_staging_2 SELECT 1")
    await home.engine.execute(
        f"CREATE MATERIALIZED VIEW {database}.v_orphan TO {top.table} AS SELECT user, toInt64(1) AS total "
        f"FROM {workspace.datasource('events').table}"
    )
    await reconcile(home.engine, workspace)
    there = await home.tables()
    assert {view.table, top.quarantine.table, "t_rows"} <= there
    assert there.isdisjoint({"t_orphan", "t_1_staging_2", "v_orphan"})
    await home.add_event("ann", 3)
    assert await home.totals() == {"ann": 3}

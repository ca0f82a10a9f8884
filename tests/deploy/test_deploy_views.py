"""Materialized views at deployment: what is refused with which words, and what is only remarked upon."""

from __future__ import annotations

import pytest
from deploy_home import Home
from workspaces import pipe

from birdhouse.errors import BirdhouseError

EVENTS = """SCHEMA >
    `ts` DateTime `json:$.ts`,
    `user` String `json:$.user`,
    `amount` Int32 `json:$.amount`,
    `score` Nullable(Float64) `json:$.score`

ENGINE "MergeTree"
ENGINE_SORTING_KEY "ts"
"""


def table(columns: str, engine: str = "MergeTree", key: str = "tuple()", more: str = "") -> str:
    lines = ",\n".join(f"    {column}" for column in columns.split("; "))
    sorting = f'ENGINE_SORTING_KEY "{key}"\n' if key else ""
    return f'SCHEMA >\n{lines}\n\nENGINE "{engine}"\n{sorting}{more}'


def view(sql: str, target: str = "t", more: str = "") -> str:
    return pipe(sql, more=f"TYPE materialized\nDATASOURCE {target}\n{more}")


async def refusal(home: Home, files: dict[str, str]) -> str:
    """The words with which the files are refused; nothing is left behind."""
    await home.deploy({"events.datasource": EVENTS})
    before = await home.tables()
    with pytest.raises(BirdhouseError) as refused:
        await home.deploy(files)
    assert await home.tables() == before
    assert await home.scratch_databases() == []
    return str(refused.value)


async def remarks(home: Home, files: dict[str, str]) -> dict[str, str]:
    notes = (await home.deploy({"events.datasource": EVENTS, **files})).notes
    return {note.code: note.text for note in notes}


async def test_two_schemas_that_differ_are_shown_side_by_side(home: Home) -> None:
    files = {
        "t.datasource": table("`user` UInt64; `total` AggregateFunction(sum, Int32); `at` DateTime"),
        "v.pipe": view("SELECT user, sum(amount) AS total, 1 AS extra FROM events GROUP BY user"),
    }
    assert await refusal(home, files) == (
        "Column 'user' of pipe 'v' does not fit the Data Source 't':\n"
        "  column  query   Data Source\n"
        "  user    String  UInt64                         not every text can be converted\n"
        "  total   Int64   AggregateFunction(sum, Int32)  not a state: use the function with -State\n"
        "  extra   UInt8   -                              the Data Source has no such column\n"
        "  at      -       DateTime\n"
        "Columns go in by their names. (in node 'main' of pipe 'v') (v.pipe:3:12). "
        "Give those of the query the names and types of the Data Source, or push one that fits the query."
    )


MISFITS = {
    "a state for a number": ("`n` UInt64", "countState() AS n"),
    "a number for a state": ("`n` AggregateFunction(count)", "count() AS n"),
    "a state of other values": ("`n` AggregateFunction(sum, Float64)", "sumState(amount) AS n"),
    "a state of another function": ("`n` AggregateFunction(max, Int32)", "sumState(amount) AS n"),
    "a state of values that may be NULL": ("`n` AggregateFunction(sum, Float64)", "sumState(score) AS n"),
    "a text for a date": ("`n` Date", "any(user) AS n"),
    "a text for the words of an enum": ("`n` Enum8('a' = 1)", "any(user) AS n"),
    "texts for numbers": ("`n` Array(UInt8)", "groupArray(user) AS n"),
    "one value for several": ("`n` Array(Int32)", "any(amount) AS n"),
    "several values for one": ("`n` Int32", "groupArray(amount) AS n"),
    "a text in a simple state": ("`n` SimpleAggregateFunction(max, UInt64)", "max(user) AS n"),
    "a computed column": ("`n` Int32 MATERIALIZED 1", "max(amount) AS n"),
}


@pytest.mark.parametrize("case", MISFITS)
async def test_a_column_that_does_not_fit_is_refused(home: Home, case: str) -> None:
    columns, query = MISFITS[case]
    files = {"t.datasource": table(f"`x` UInt8; {columns}"), "v.pipe": view(f"SELECT {query} FROM events")}
    assert "does not fit the Data Source 't'" in await refusal(home, files)


FITS = {
    "wider": ("`n` Int64", "amount AS n"),
    "narrower": ("`n` Int8", "amount AS n"),
    "a text": ("`n` LowCardinality(String)", "user AS n"),
    "a number as text": ("`n` String", "amount AS n"),
    "a date of a time": ("`n` Date", "ts AS n"),
    "a state": ("`n` AggregateFunction(argMax, String, DateTime)", "argMaxState(user, ts) AS n"),
    "a state with parameters": (
        "`n` AggregateFunction(quantiles(0.5, 0.9), Int32)",
        "quantilesState(0.5, 0.9)(amount) AS n",
    ),
    "a simple state": ("`n` SimpleAggregateFunction(sum, Int64)", "sum(amount) AS n"),
    "a map": ("`n` Map(String, Int64)", "map(user, amount) AS n"),
    "nothing for a column with a default": ("`n` Int32; `m` UInt8 DEFAULT 7", "amount AS n"),
}  # fmt: skip


@pytest.mark.parametrize("case", FITS)
async def test_a_column_that_the_engine_converts_is_taken(home: Home, case: str) -> None:
    columns, query = FITS[case]
    await home.deploy(
        {"events.datasource": EVENTS, "t.datasource": table(columns), "v.pipe": view(f"SELECT {query} FROM events")}
    )
    await home.add_event("ann", 3)
    assert await home.rows(f"SELECT count() AS n FROM {home.workspace.datasource('t').table}") == [{"n": 1}]


def made_by(engine: str, key: str = "") -> str:
    """The lines of a node that creates its target."""
    return f'ENGINE "{engine}MergeTree"\n' + (f'ENGINE_SORTING_KEY "{key}"\n' if key else "")


USERS = table("`user` String; `n` UInt64")
JOIN = "ENGINE Join\nENGINE_JOIN_STRICTNESS ANY\nENGINE_JOIN_TYPE LEFT\n"
BEHIND_NUMBERS = "SELECT e.user AS user FROM numbers(3) AS n JOIN events AS e ON n.number = e.amount"
REFUSED = {
    "no target and no engine": (
        {"v.pipe": view("SELECT user FROM events", "evnts_by_user")},
        "Data Source 'evnts_by_user', the target of pipe 'v', does not exist (v.pipe:5:12). Push it first, "
        "or let node 'main' create it: add ENGINE and ENGINE_SORTING_KEY.",
    ),
    "a target that is misspelt": (
        {"users.datasource": USERS, "v.pipe": view("SELECT user FROM events", "user")},
        "Did you mean 'users'?",
    ),
    "a target that is a pipe": (
        {"t.pipe": pipe("SELECT 1 AS a", node="n"), "v.pipe": view("SELECT user FROM events")},
        "The target 't' of pipe 'v' is a pipe, not a data source",
    ),
    "no target at all": (
        {"v.pipe": pipe("SELECT user FROM events", more="TYPE materialized\n")},
        "The materialized node 'main' needs DATASOURCE (v.pipe). Add the line DATASOURCE",
    ),
    "no sorting key": (
        {"v.pipe": view("SELECT user, countState() AS n FROM events GROUP BY 1", more=made_by("Aggregating", "()"))},
        "'t' has no sorting key, and AggregatingMergeTree would merge all rows that pipe 'v' gives into one "
        "(in node 'main' of pipe 'v') (v.pipe:1). "
        'Add ENGINE_SORTING_KEY "user".',
    ),
    "no sorting key where one is required": (
        {"v.pipe": view("SELECT user FROM events", more=made_by("Replacing"))},
        "ReplacingMergeTree needs ENGINE_SORTING_KEY",
    ),
    "no sign": (
        {"v.pipe": view("SELECT user FROM events", more=made_by("Collapsing", "user"))},
        "CollapsingMergeTree needs ENGINE_SIGN",
    ),
    "a join without keys": (
        {"v.pipe": view("SELECT user FROM events", more=JOIN)},
        "Join needs ENGINE_KEY_COLUMNS",
    ),
    "an unknown engine": (
        {"v.pipe": view("SELECT user FROM events", more=made_by("Aggregatin", "user"))},
        "Did you mean AggregatingMergeTree?",
    ),
    "a version column that is not there": (
        {"v.pipe": view("SELECT user FROM events", more=made_by("Replacing", "user") + "ENGINE_VER at\n")},
        "at",
    ),
    "no table": (
        {"users.datasource": USERS, "v.pipe": view("SELECT 'a' AS user", "users")},
        "The leftmost table of the query is no Data Source, so no insert would ever run it (in node 'main' of pipe",
    ),
    "a table function on the left": (
        {"users.datasource": USERS, "v.pipe": view(BEHIND_NUMBERS, "users")},
        "The leftmost table of the query is no Data Source",
    ),
    "a parameter that nobody gives": (
        {"users.datasource": USERS, "v.pipe": view("%\n    SELECT {{String(u)}} AS user FROM events", "users")},
        "A materialized view gets no parameters: give each of them a default.",
    ),
    "its own source as target": (
        {"v.pipe": view("SELECT user, amount + 1 AS amount FROM events", "events")},
        "Materialized views would fill each other for ever: events <- events. Let one of them write into another",
    ),
    "a circle of views": (
        {"t.datasource": EVENTS, "v.pipe": view("SELECT * FROM events"), "w.pipe": view("SELECT * FROM t", "events")},
        "Materialized views would fill each other for ever: events <- t <- events.",
    ),
    "a column that is not there": (
        {"users.datasource": USERS, "v.pipe": view("SELECT usr AS user FROM events", "users")},
        "usr",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_misuse_is_refused_with_the_way_out(home: Home, case: str) -> None:
    files, words = REFUSED[case]
    assert words in await refusal(home, files)


REMARKS = {
    "LIMIT": "SELECT user FROM events LIMIT 3",
    "ORDER_BY": "SELECT user FROM events ORDER BY user",
    "DISTINCT": "SELECT DISTINCT user FROM events",
    "WINDOW": "SELECT user, toUInt64(row_number() OVER (PARTITION BY user ORDER BY ts)) AS n FROM events",
    "UNION": "SELECT user FROM events UNION ALL SELECT user FROM events",
    "TYPE": "SELECT user, toUInt64OrNull(user) AS n FROM events",
    "none": "SELECT user, count() AS n FROM events WHERE user != 'LIMIT' GROUP BY user",
}


@pytest.mark.parametrize("code", REMARKS)
async def test_what_acts_on_each_block_by_itself_is_remarked_upon(home: Home, code: str) -> None:
    found = await remarks(home, {"users.datasource": USERS, "v.pipe": view(REMARKS[code], "users")})
    assert set(found) == ({code} - {"none"})


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("AggregatingMergeTree", {"GROUP_BY"}), ("SummingMergeTree", {"GROUP_BY"}), ("MergeTree", set())],
)
async def test_a_group_that_is_not_in_the_sorting_key_is_remarked_upon(
    home: Home, kind: str, expected: set[str]
) -> None:
    files = {
        "t.datasource": table("`day` Date; `user` String; `n` SimpleAggregateFunction(sum, UInt64)", kind, "day"),
        "v.pipe": view("SELECT toDate(ts) AS day, user, count() AS n FROM events GROUP BY day, user"),
    }
    assert set(await remarks(home, files)) == expected


async def test_a_deployment_that_changes_no_view_has_no_remarks(home: Home) -> None:
    files = {"users.datasource": USERS, "v.pipe": view(REMARKS["LIMIT"], "users")}
    assert await remarks(home, files)
    assert await remarks(home, {**files, "p.pipe": pipe("SELECT * FROM users")}) == {}


async def test_the_leftmost_table_may_be_behind_pipes_and_templates(home: Home) -> None:
    await home.deploy(
        {
            "events.datasource": EVENTS,
            "users.datasource": USERS,
            "below.pipe": pipe("SELECT user FROM events", node="n"),
            "above.pipe": pipe("%\n    SELECT user FROM below WHERE user != {{String(no, 'bob')}}", node="m"),
            "v.pipe": view("SELECT o.user AS user FROM above AS o LEFT JOIN users AS u ON o.user = u.user", "users"),
        }
    )
    await home.add_event("ann", 1)
    await home.add_event("bob", 1)
    assert await home.rows(f"SELECT user FROM {home.workspace.datasource('users').table}") == [{"user": "ann"}]


async def test_a_view_may_read_what_was_quarantined(home: Home) -> None:
    files = {"events.datasource": EVENTS, "users.datasource": USERS}
    await home.deploy({**files, "v.pipe": view("SELECT assumeNotNull(user) AS user FROM events_quarantine", "users")})
    quarantine = home.workspace.datasource("events").quarantine
    await home.engine.execute(f"INSERT INTO {quarantine} (user) SELECT 'ann'")
    assert await home.rows(f"SELECT user FROM {home.workspace.datasource('users').table}") == [{"user": "ann"}]


async def test_dropping_and_making_again_go_in_the_right_order(home: Home) -> None:
    """Views before their targets when they go, after them when they come; no insert fails between."""
    files = {
        "events.datasource": EVENTS,
        "t.datasource": table("`user` String; `n` Int32"),
        "v.pipe": view("SELECT user, amount AS n FROM events"),
    }
    await home.deploy(files)
    wider = files | {
        "t.datasource": table("`user` String; `n` Int32; `at` DateTime"),
        "v.pipe": view("SELECT user, amount AS n, ts AS at FROM events"),
    }
    steps = (await home.deploy(wider)).steps
    assert [step.split(":")[0] for step in steps] == [
        "remove view of v",
        "alter data source t",
        "create view of v into t",
        "update pipe v (materialized, 1 nodes)",
    ]
    await home.add_event("ann", 1)
    dependent = await home.deployer.delete_datasource(home.workspace_id, "t", force=True, dry_run=False)
    assert [each.name for each in dependent] == ["v"]
    await home.add_event("ann", 2)
    await home.deploy(wider)
    await home.add_event("ann", 3)
    target = home.workspace.datasource("t").table
    assert await home.rows(f"SELECT user, n FROM {target}") == [{"user": "ann", "n": 3}]

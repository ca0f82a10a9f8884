"""`tb push`, `tb pull` and `tb diff` of whole projects."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flows.flow_server import Server
from sample_project import DAYS, PROJECT, RESOURCES, ROWS, TOP_USERS
from tb_client import REPOSITORY, Tb

INSIGHTS = REPOSITORY / "insights"


@pytest.fixture(params=[False, True], ids=["plain", "with-lru"])
def project_tb(request: pytest.FixtureRequest, signed_out_tb: Tb, empty_server: Server) -> Tb:
    """The client in the sample project, pushed to a server of its own, with rows."""
    tb = signed_out_tb.signed_in(empty_server)
    tb = tb.with_lru() if request.param else tb
    tb.write(PROJECT | {"rows.ndjson": ROWS})
    return tb


def append_rows(server: Server) -> None:
    target = {"mode": "append", "format": "ndjson", "name": "events"}
    assert server.post("/v0/datasources", params=target, content=ROWS).status_code == 200


def state(server: Server) -> dict[str, Any]:
    """What a push of the same files must not change."""
    datasources = server.get("/v0/datasources").json()["datasources"]
    pipes = server.get("/v0/pipes").json()["pipes"]
    tokens = server.get("/v0/tokens").json()["tokens"]
    tags = server.get("/v0/tags").json()["tags"]
    return {
        "rows": {each["name"]: server.sql(f"SELECT count() AS n FROM {each['name']}") for each in datasources},
        "datasources": {each["name"]: (each["id"], each["schema"], each["engine"]) for each in datasources},
        "pipes": {each["name"]: (each["id"], each["type"], each["description"], each["nodes"]) for each in pipes},
        "tokens": {each["name"]: (each["token"], sorted(map(str, each["scopes"]))) for each in tokens},
        "tags": {each["name"]: sorted(resource["name"] for resource in each["resources"]) for each in tags},
    }


@contextmanager
def answering(server: Server, path: str) -> Iterator[list[int]]:
    """Calls an endpoint all the time while the body runs; the statuses other than 200."""
    failures: list[int] = []
    calls: list[int] = []
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            status = server.get(path).status_code
            calls.append(status)
            if status != 200:
                failures.append(status)

    caller = threading.Thread(target=call)
    caller.start()
    try:
        yield failures
    finally:
        stop.set()
        caller.join()
    assert len(calls) > 3


def test_a_project_is_pushed_and_pushed_again(project_tb: Tb, empty_server: Server) -> None:
    server = empty_server
    first = project_tb("push", "--push-deps")
    for name in RESOURCES:
        assert f"'{name}' created" in first
    append_rows(server)
    assert server.get("/v0/pipes/top_users.json").json()["data"] == TOP_USERS
    assert server.get("/v0/pipes/days.json").json()["data"] == DAYS
    before = state(server)
    assert before["rows"]["hourly"] == [{"n": 3}]
    assert before["tags"] == {"billing": ["events"], "core": ["events", "hourly_mv", "top_users"]}
    assert {"copy_read", "events_append", "events_read", "top_users_read"} <= before["tokens"].keys()

    second = project_tb("push")
    for name in RESOURCES:
        assert f"{name} already exists, skipping" in second
    assert "created" not in second
    assert state(server) == before

    with answering(server, "/v0/pipes/top_users.json") as failures:
        forced = project_tb("push", "--force", "--yes")
    assert failures == []
    assert "ADD COLUMN" not in forced
    after = state(server)
    assert after == before


def test_what_was_pushed_is_pulled_and_does_not_differ(project_tb: Tb, empty_server: Server) -> None:
    project_tb("push")
    append_rows(empty_server)
    differences = [line for line in project_tb("diff").splitlines() if line and "Writing" not in line]
    assert differences == ["Saving remote resources in .diff_tmp folder.", "hourly only exists remotely"]

    pulled = Tb(project_tb.folder.parent / "pulled", project_tb.environment)
    pulled.folder.mkdir()
    pulled("pull")
    text = (pulled.folder / "pipes" / "top_users.pipe").read_text("utf-8")
    assert 'TOKEN "top_users_read" READ' in text
    assert "NODE only_people" in text
    before = state(empty_server)
    pulled("push", "--force", "--yes")
    assert state(empty_server) == before
    shutil.rmtree(pulled.folder)


def test_a_changed_data_source_is_altered(project_tb: Tb, empty_server: Server) -> None:
    server = empty_server
    project_tb("push")
    append_rows(server)
    path = project_tb.folder / "datasources" / "events.datasource"
    text = path.read_text("utf-8")
    changed = text.replace("What users did", "What people did").replace(
        "    `labels`", "    `note` String `json:$.note` DEFAULT 'none',\n    `labels`"
    )
    path.write_text(changed.replace("36500", "36000"), "utf-8")
    output = project_tb("push", "datasources/events.datasource", "--force", "--yes")
    assert "ADD COLUMN" in output
    assert server.sql("SELECT note, count() AS n FROM events GROUP BY note") == [{"note": "none", "n": 4}]
    again = project_tb("push", "datasources/events.datasource", "--force", "--yes")
    assert "ADD COLUMN" not in again


def test_fixtures_are_pushed_with_their_data_source(tb: Tb, server: Server) -> None:
    schema = "SCHEMA >\n    `id` UInt32 `json:$.id`,\n    `name` String `json:$.name`\n"
    tb.write({"datasources/with_fixture.datasource": schema})
    tb.write({"datasources/fixtures/with_fixture.ndjson": '{"id": 1, "name": "a"}\n{"id": 2, "name": "b"}\n'})
    tb("push", "datasources/with_fixture.datasource", "--fixtures")
    assert server.sql("SELECT id, name FROM with_fixture ORDER BY id") == [
        {"id": 1, "name": "a"},
        {"id": 2, "name": "b"},
    ]


def test_a_dry_run_changes_nothing(tb: Tb, server: Server) -> None:
    tb.write({"pipes/only_tried.pipe": "NODE one\nSQL >\n    SELECT 1 AS a\n"})
    assert "[DRY RUN]" in tb("push", "pipes/only_tried.pipe", "--dry-run")
    assert server.get("/v0/pipes/only_tried").status_code == 404


def test_versions_are_kept_apart(tb: Tb, server: Server) -> None:
    tb.write(
        {
            "datasources/numbered.datasource": "VERSION 2\n\nSCHEMA >\n    `id` UInt32\n",
            "pipes/reads_numbered.pipe": "NODE all_of_it\nSQL >\n    SELECT count() AS n FROM numbered\n",
        }
    )
    tb("push")
    assert server.get("/v0/datasources/numbered__v2").status_code == 200
    assert server.get("/v0/pipes/reads_numbered.json").json()["data"] == [{"n": 0}]
    assert "already exists, skipping" in tb("push")


def test_a_token_file_is_pushed(tb: Tb, server: Server) -> None:
    tb.write(
        {
            "datasources/watched.datasource": "SCHEMA >\n    `id` UInt32\n",
            "tokens/watcher.token": "SCOPE DATASOURCES:READ\n    RESOURCE watched\n    FILTER id > 1\n",
        }
    )
    tb("push")
    scopes = server.get("/v0/tokens/watcher").json()["scopes"]
    assert scopes == [{"type": "DATASOURCES:READ", "resource": "watched", "filter": "id > 1"}]


REFUSED = {
    "unknown_table": (
        {"pipes/reads_nothing.pipe": "NODE n\nSQL >\n    SELECT *\n    FROM no_such_table\n"},
        "Resource 'no_such_table' not found, read by node 'n' of pipe 'reads_nothing'",
    ),
    "syntax_error": (
        {"pipes/not_sql.pipe": "NODE broken\nSQL >\n    SELECT a FROM (SELECT 1 AS a\n"},
        "(SELECT 1 AS a. Unmatched parentheses: (",  # said by the server, or by the client where it parses SQL itself
    ),
    "unknown_column": (
        {"pipes/wrong_column.pipe": "NODE n\nSQL >\n    SELECT nothing_like_it FROM (SELECT 1 AS a)\n"},
        "(in node 'n' of pipe 'wrong_column', line 1)",
    ),
    "node_named_like_its_pipe": (
        {"pipes/twin.pipe": "NODE twin\nSQL >\n    SELECT 1\n"},
        "Nodes can't have the same exact name as the Pipe they belong to",
    ),
    "missing_target": (
        {
            "pipes/copies_nowhere.pipe": "NODE n\nSQL >\n    SELECT 1 AS a\n\n"
            "TYPE copy\nTARGET_DATASOURCE no_such_target\nCOPY_SCHEDULE @on-demand\n"
        },
        "no_such_target",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_pipe_that_cannot_work_is_refused_with_the_reason(tb: Tb, server: Server, case: str) -> None:
    files, reason = REFUSED[case]
    tb.write(files)
    output = tb("push", code=1)
    assert reason in output
    assert server.get(f"/v0/pipes/{Path(next(iter(files))).stem}").status_code == 404


def test_a_cycle_over_two_pushes_is_refused_by_the_server(tb: Tb, server: Server) -> None:
    one = "NODE n\nSQL >\n    SELECT 1 AS a\n"
    tb.write({"pipes/hen.pipe": one, "pipes/egg.pipe": one.replace("1 AS a", "* FROM hen")})
    tb("push")
    closed = {"name": "hen", "nodes": [{"name": "n", "sql": "SELECT * FROM egg"}]}
    answer = server.post("/v0/pipes", params={"force": "true"}, json=closed)
    assert answer.status_code == 409
    assert "egg.n -> hen.n -> egg.n" in answer.json()["error"]
    assert server.get("/v0/pipes/egg.json").json()["data"] == [{"a": 1}]


def node(sql: str, output: str = "") -> str:
    return f"NODE n\nSQL >\n    {sql}\n\n{output}"


OUTPUTS = {
    "endpoint": "TYPE endpoint\n",
    "copy": "TYPE copy\nTARGET_DATASOURCE {name}_to\nCOPY_SCHEDULE @on-demand\n",
    "materialized": "TYPE materialized\nDATASOURCE {name}_to\n",
}
CHANGES = [(old, new) for old in OUTPUTS for new in OUTPUTS if old != new]


@pytest.mark.parametrize("checks", ["--check", "--no-check"])
def test_the_type_of_a_pipe_changes(tb: Tb, server: Server, checks: str) -> None:
    """Every type becomes every other; what the pipe was ends, what it is begins, and it stays the same pipe."""
    names = {(old, new): f"{old}_to_{new}{checks.replace('-', '_')}" for old, new in CHANGES}
    columns = "SCHEMA >\n    `id` UInt32\n"
    tb.write({f"datasources/{name}_{end}.datasource": columns for name in names.values() for end in ("from", "to")})

    def write(outputs: dict[str, str]) -> None:
        for name, output in outputs.items():
            sql = f"SELECT id FROM {name}_from"
            tb.write({f"pipes/{name}.pipe": node(sql, OUTPUTS[output].format(name=name))})

    write({name: old for (old, _), name in names.items()})
    tb("push")
    before = {name: server.get(f"/v0/pipes/{name}").json() for name in names.values()}
    assert {name: before[name]["type"] for name in before} == {name: old for (old, _), name in names.items()}

    write({name: new for (_, new), name in names.items()})
    tb("push", "--force", "--yes", checks)
    for (_, new), name in names.items():
        pipe = server.get(f"/v0/pipes/{name}").json()
        assert (name, pipe["type"], pipe["id"]) == (name, new, before[name]["id"])
        assert server.get(f"/v0/pipes/{name}.json").status_code == (200 if new == "endpoint" else 404)
        server.post("/v0/events", params={"name": f"{name}_from", "wait": "true"}, content='{"id": 7}')
        rows = server.sql(f"SELECT id FROM {name}_to")
        assert (name, rows) == (name, [{"id": 7}] if new == "materialized" else [])


def test_a_new_view_is_filled_when_asked(tb: Tb, server: Server) -> None:
    tb.write({"datasources/flown.datasource": "SCHEMA >\n    `id` UInt32\n"})
    tb("push")
    server.post("/v0/events", params={"name": "flown", "wait": "true"}, content='{"id": 1}\n{"id": 2}')
    tb.write(
        {
            "pipes/flown_mv.pipe": node(
                "SELECT id, id * 2 AS twice FROM flown",
                'TYPE materialized\nDATASOURCE flown_twice\nENGINE "MergeTree"\n',
            )
        }
    )
    output = tb("push", "pipes/flown_mv.pipe", "--populate", "--wait")
    assert "Materialized pipe 'flown_mv' created the Data Source 'flown_twice'" in output
    assert server.sql("SELECT id, twice FROM flown_twice ORDER BY id") == [{"id": 1, "twice": 2}, {"id": 2, "twice": 4}]


RIVER = "SCHEMA >\n    `id` UInt32 `json:$.id`,\n    `kind` String `json:$.kind`\n"
LAKE = 'TYPE materialized\nDATASOURCE lake_{0}\nENGINE "MergeTree"\nENGINE_SORTING_KEY "id"\n'


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ((), range(40)),
        (("--sql-condition", "kind = 'b' AND id < 10"), range(1, 10, 2)),
        (("--subset", "0.1"), range(4)),
        (("--unlink-on-populate-error",), range(40)),
    ],
    ids=["all", "condition", "subset", "unlink"],
)
def test_a_new_view_is_filled_as_the_options_say(
    tb: Tb, server: Server, request: pytest.FixtureRequest, options: tuple[str, ...], ids: range
) -> None:
    name = request.node.callspec.id
    tb.write({f"datasources/river_{name}.datasource": RIVER})
    tb("push")
    rows = "\n".join(f'{{"id": {each}, "kind": "{"ab"[each % 2]}"}}' for each in range(40))
    server.post("/v0/events", params={"name": f"river_{name}", "wait": "true"}, content=rows)
    tb.write({f"pipes/lake_{name}_mv.pipe": node(f"SELECT id FROM river_{name}", LAKE.format(name))})
    tb("push", f"pipes/lake_{name}_mv.pipe", "--populate", "--wait", *options)
    assert [row["id"] for row in server.sql(f"SELECT id FROM lake_{name} ORDER BY id")] == list(ids)
    server.post("/v0/events", params={"name": f"river_{name}", "wait": "true"}, json={"id": 99, "kind": "a"})
    assert server.sql(f"SELECT max(id) AS id FROM lake_{name}") == [{"id": 99}]


def test_a_populate_that_fails_unlinks_the_view_when_asked(tb: Tb, server: Server) -> None:
    tb.write({"datasources/stream.datasource": RIVER})
    tb("push")
    server.post("/v0/events", params={"name": "stream", "wait": "true"}, json={"id": 1, "kind": "a"})
    sql = "SELECT id + throwIf(id = 1, 'no ones') AS id FROM stream"
    tb.write({"pipes/pond_mv.pipe": node(sql, LAKE.format("pond"))})
    arguments = ("push", "pipes/pond_mv.pipe", "--populate", "--wait", "--unlink-on-populate-error")
    assert "no ones" in tb(*arguments, code=1)
    assert server.get("/v0/pipes/pond_mv").json()["type"] == "default"


def test_a_view_that_does_not_fit_is_refused_with_both_schemas(tb: Tb, server: Server) -> None:
    tb.write({"datasources/sea.datasource": RIVER, "datasources/ocean.datasource": "SCHEMA >\n    `id` UInt32\n"})
    tb("push")
    sql = "SELECT kind AS id, id AS depth FROM sea"
    tb.write({"pipes/ocean_mv.pipe": node(sql, "TYPE materialized\nDATASOURCE ocean\n")})
    output = tb("push", "pipes/ocean_mv.pipe", code=1)
    assert "  column  query   Data Source" in output
    assert "  id      String  UInt32       not every text can be converted" in output
    assert "  depth   String  -            the Data Source has no such column" in output
    assert server.get("/v0/pipes/ocean_mv").status_code == 404
    tb.write({"pipes/ocean_mv.pipe": node("SELECT id FROM sea LIMIT 3", "TYPE materialized\nDATASOURCE ocean\n")})
    assert "LIMIT takes rows of each inserted block by itself" in tb("push", "pipes/ocean_mv.pipe")


def test_a_partial_replace_reaches_views_or_says_which_it_cannot(tb: Tb, server: Server) -> None:
    parted = 'ENGINE "MergeTree"\nENGINE_PARTITION_KEY "{}"\nENGINE_SORTING_KEY "id"\n'
    tb.write(
        {
            "datasources/bay.datasource": RIVER + "\n" + parted.format("kind"),
            "datasources/gulf.datasource": RIVER + "\n" + parted.format("kind"),
            "datasources/cove.datasource": RIVER + "\n" + parted.format("id"),
            "pipes/gulf_mv.pipe": node("SELECT id, kind FROM bay", "TYPE materialized\nDATASOURCE gulf\n"),
            "rows.csv": "id,kind\n7,b\n",
        }
    )
    tb("push")
    for each in ({"id": 1, "kind": "a"}, {"id": 2, "kind": "b"}):
        server.post("/v0/events", params={"name": "bay", "wait": "true"}, json=each)
    tb("datasource", "replace", "bay", "rows.csv", "--sql-condition", "kind = 'b'")
    for name in ("bay", "gulf"):
        assert server.sql(f"SELECT id FROM {name} ORDER BY id") == [{"id": 1}, {"id": 7}]
    tb.write({"pipes/cove_mv.pipe": node("SELECT id, kind FROM bay", "TYPE materialized\nDATASOURCE cove\n")})
    tb("push", "pipes/cove_mv.pipe")
    assert "cove" in tb("dependencies", "--datasource", "bay", "--check-for-partial-replace", code=1)
    assert "'cove'" in tb("datasource", "replace", "bay", "rows.csv", "--sql-condition", "kind = 'a'", code=1)
    skip = ("--skip-incompatible-partition-key",)
    tb("datasource", "replace", "bay", "rows.csv", "--sql-condition", "kind = 'a'", *skip)
    assert server.sql("SELECT id FROM gulf") == [{"id": 7}]


def test_the_insights_project_is_pushed_twice_without_harm(signed_out_tb: Tb, empty_server: Server) -> None:
    tb, server = signed_out_tb.signed_in(empty_server), empty_server
    shutil.copytree(INSIGHTS, tb.folder, dirs_exist_ok=True)
    files = [path for suffix in ("datasource", "pipe") for path in sorted(tb.folder.glob(f"*/*.{suffix}"))]
    first = tb("push")
    for path in files:
        assert f"'{path.stem}' created" in first
    for source in ("insightsProjects", "segments", "repositories"):
        rows = (tb.folder / "fixtures" / f"{source}.ndjson").read_bytes()
        server.post("/v0/datasources", params={"mode": "append", "format": "ndjson", "name": source}, content=rows)
    before = state(server)
    projects = server.get("/v0/pipes/segments_filtered.json?project=nest").json()["data"]
    assert len(projects) > 0

    with answering(server, "/v0/pipes/segments_filtered.json?project=nest") as failures:
        tb("push", "--force", "--yes", "--no-check")
    assert failures == []
    assert state(server) == before
    assert server.get("/v0/pipes/segments_filtered.json?project=nest").json()["data"] == projects
    differences = [line for line in tb("diff").splitlines() if line and "Writing" not in line]
    assert differences == ["Saving remote resources in .diff_tmp folder."]

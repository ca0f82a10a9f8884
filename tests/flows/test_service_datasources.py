"""`tinybird.*` and `organization.*`: what they are made of, who may read them, and what every deed leaves in them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flow_server import Server, running_server

COLUMNS_FILE = Path(__file__).with_name("service_columns.txt")
INSIGHTS = Path(__file__).parent.parent.parent / "insights" / "pipes"
SCHEMA = "`id` Int32 `json:$.id`"
TABLE = "SCHEMA >\n    `id` Int32 `json:$.id`\n\nENGINE MergeTree\nENGINE_SORTING_KEY id\n"
GOOD_AND_BAD = b'{"id": 1}\n{"id": "x"}\n{"id": 2}\n'


def documented() -> dict[str, list[str]]:
    """Table to its columns with their types, as the reference has them."""
    tables: dict[str, list[str]] = {}
    for line in COLUMNS_FILE.read_text("utf-8").splitlines():
        if line.startswith(" "):
            tables[list(tables)[-1]].append(line.strip())
        elif line:
            tables[line] = []
    return tables


def refreshed(server: Server) -> None:
    assert server.post("/v0/service_datasources/refresh").status_code == 200


def operations(server: Server, datasource: str) -> list[dict[str, Any]]:
    """On a data source, oldest first, by the time they took effect."""
    refreshed(server)
    sql = f"SELECT * FROM tinybird.datasources_ops_log WHERE datasource_name = '{datasource}' ORDER BY timestamp"
    return server.sql(sql)


def ok(answer: Any) -> Any:
    assert answer.status_code in (200, 202, 204), answer.text
    return answer


@pytest.fixture(scope="module")
def person(server: Server) -> str:
    """The user token, which alone may see other workspaces."""
    return str(server.get("/tokens").json()["user_token"])


def make(server: Server, name: str) -> None:
    ok(server.post("/v0/datasources", data={"name": name, "schema": SCHEMA}))


@pytest.mark.parametrize("table", documented())
def test_a_table_has_the_documented_columns(server: Server, person: str, table: str) -> None:
    query = {"q": f"SELECT * FROM {table} LIMIT 0 FORMAT JSON"}
    meta = ok(server.get("/v0/sql", params=query, token=person)).json()["meta"]
    assert [f"{column['name']} {column['type']}" for column in meta] == documented()[table]


@pytest.mark.parametrize(
    ("scopes", "readable"),
    [
        (["ADMIN"], {"tinybird"}),
        (["WORKSPACE:READ_ALL"], {"tinybird"}),
        (["ORG_DATASOURCES:READ"], {"organization"}),
        (["DATASOURCES:READ:@"], set()),
        (["DATASOURCES:CREATE", "PIPES:CREATE", "TOKENS"], set()),
    ],
)
def test_only_tokens_that_may_read_everything_read_them(
    server: Server, person: str, name: str, scopes: list[str], readable: set[str]
) -> None:
    make(server, name)
    wanted = [("name", f"t_{name}"), *(("scope", scope.replace("@", name)) for scope in scopes)]
    token = ok(server.post("/v0/tokens", params=wanted, token=person)).json()["token"]
    for namespace in ("tinybird", "organization"):
        sql = f"SELECT count() FROM {namespace}.jobs_log"
        answer = server.get("/v0/sql", params={"q": sql}, token=token)
        assert answer.status_code == (200 if namespace in readable else 403), namespace


def test_an_admin_of_one_workspace_gives_nobody_the_record_of_all(server: Server, name: str) -> None:
    wanted = {"name": f"t_{name}", "scope": "ORG_DATASOURCES:READ"}
    refused = server.post("/v0/tokens", params=wanted)
    assert refused.status_code == 403
    assert "may not see or give the scope ORG_DATASOURCES:READ" in refused.json()["error"]


def test_a_name_that_is_none_is_told_with_the_nearest(server: Server, person: str) -> None:
    for table, hint in (
        ("tinybird.job_log", "Did you mean 'tinybird.jobs_log'?"),
        ("organization.workspace", "Did you mean 'organization.workspaces'?"),
        ("tinybird.xyz", "There are block_log, datasources_ops_log, "),
    ):
        answer = server.get("/v0/sql", params={"q": f"SELECT * FROM {table}"}, token=person)
        assert answer.status_code == 400
        assert f"'{table}' not found" in answer.json()["error"] and hint in answer.json()["error"]


def test_nodes_endpoints_and_copies_read_them(server: Server, name: str) -> None:
    pipe = f"p_{name}"
    server.deploy(
        {
            f"{name}.datasource": "SCHEMA >\n    `job_id` String\n\nENGINE MergeTree\nENGINE_SORTING_KEY job_id\n",
            f"{pipe}_copy.pipe": "NODE n\nSQL >\n    SELECT job_id FROM tinybird.jobs_log\n\n"
            f"TYPE COPY\nTARGET_DATASOURCE {name}\nCOPY_MODE replace\n",
            f"{pipe}.pipe": "NODE created\nSQL >\n    SELECT * FROM tinybird.datasources_ops_log "
            "WHERE event_type = 'create'\n\nNODE n\nSQL >\n    SELECT count() AS n FROM created "
            f"WHERE datasource_name = '{name}'\n",
        }
    )
    first = ok(server.post(f"/v0/pipes/{pipe}_copy/copy")).json()["job"]["id"]
    assert server.finished(first)["status"] == "done"
    refreshed(server)
    second = ok(server.post(f"/v0/pipes/{pipe}_copy/copy")).json()["job"]["id"]
    assert server.finished(second)["status"] == "done"
    assert first in {row["job_id"] for row in server.sql(f"SELECT * FROM {name}")}
    assert server.get(f"/v0/pipes/{pipe}.json").json()["data"] == [{"n": 1}]


@pytest.mark.parametrize("through", ["node", "pipe", "join"])
def test_they_cannot_be_the_source_of_a_materialized_view(server: Server, name: str, through: str) -> None:
    target = "SCHEMA >\n    `job_id` String\n\nENGINE MergeTree\nENGINE_SORTING_KEY job_id\n"
    jobs = "SELECT job_id FROM tinybird.jobs_log"
    reads = {
        "node": f"NODE jobs\nSQL >\n    {jobs}\n\nNODE n\nSQL >\n    SELECT job_id FROM jobs\n",
        "pipe": f"NODE n\nSQL >\n    SELECT job_id FROM p_{name}\n",
        "join": f"NODE n\nSQL >\n    SELECT a.job_id FROM {name} AS a JOIN tinybird.jobs_log AS b USING job_id\n",
    }[through]
    files = {
        f"{name}.datasource": target,
        f"p_{name}.pipe": f"NODE n\nSQL >\n    {jobs}\n",
        f"mv_{name}.pipe": f"{reads}\nTYPE materialized\nDATASOURCE {name}\n",
    }
    answer = server.post("/v0/deployments", json={"files": files})
    assert answer.status_code == 400
    assert "A materialized view cannot read 'tinybird.jobs_log'" in answer.json()["error"]
    assert "TYPE COPY" in answer.json()["error"]
    assert server.get(f"/v0/datasources/{name}").status_code == 404


def test_a_pipe_cannot_pass_on_what_other_workspaces_do(server: Server, name: str) -> None:
    files = {f"{name}.pipe": "NODE n\nSQL >\n    SELECT * FROM organization.pipe_stats_rt\n"}
    answer = server.post("/v0/deployments", json={"files": files})
    assert answer.status_code == 400
    assert "'organization.pipe_stats_rt' cannot be read in a pipe" in answer.json()["error"]


def test_the_organization_knows_its_workspace(server: Server, person: str) -> None:
    refreshed(server)
    query = {"q": "SELECT * FROM organization.workspaces FORMAT JSON"}
    (workspace,) = ok(server.get("/v0/sql", params=query, token=person)).json()["data"]
    own = server.get("/v0/workspace").json()
    assert (workspace["workspace_id"], workspace["name"], workspace["plan"]) == (own["id"], own["name"], own["plan"])


def append_events(server: Server, name: str) -> None:
    ok(server.post("/v0/events", params={"name": name, "wait": "true"}, content=GOOD_AND_BAD))


def upload(mode: str) -> Callable[[Server, str], None]:
    def send(server: Server, name: str) -> None:
        params = {"name": name, "mode": mode, "format": "ndjson"}
        ok(server.post("/v0/datasources", params=params, files={"ndjson": ("rows.ndjson", GOOD_AND_BAD)}))

    return send


def delete_rows(server: Server, name: str) -> None:
    append_events(server, name)
    answer = ok(server.post(f"/v0/datasources/{name}/delete", data={"delete_condition": "id = 1"}))
    assert server.finished(answer.json()["job_id"])["status"] == "done"


def exchange(server: Server, name: str) -> None:
    make(server, f"{name}_b")
    ok(server.post("/v0/datasources/exchange", data={"datasource_a": name, "datasource_b": f"{name}_b"}))


UPLOADED = ["source=rows.ndjson", "format=ndjson"]
DEEDS: dict[str, tuple[Callable[[Server, str], Any], dict[str, Any], list[str]]] = {
    "create": (lambda server, name: None, {"event_type": "create", "rows": None}, []),
    "append-hfi": (
        append_events,
        {"event_type": "append-hfi", "rows": 2, "rows_quarantine": 1, "written_rows": 2, "written_rows_quarantine": 1},
        ["requests=1"],
    ),
    "append": (upload("append"), {"event_type": "append", "rows": 2, "rows_quarantine": 1}, UPLOADED),
    "replace": (upload("replace"), {"event_type": "replace", "rows": 2, "rows_quarantine": 1}, UPLOADED),
    "delete of rows": (delete_rows, {"event_type": "delete", "rows": 1}, ["delete_condition=id = 1"]),
    "truncate": (
        lambda server, name: ok(server.post(f"/v0/datasources/{name}/truncate")),
        {"event_type": "truncate"},
        [],
    ),
    "alter": (
        lambda server, name: ok(
            server.post(f"/v0/datasources/{name}/alter", data={"schema": f"{SCHEMA},`b` Int8 `json:$.b`"})
        ),
        {"event_type": "alter"},
        ["operations=ADD COLUMN `b` Int8"],
    ),
    "rename": (
        lambda server, name: ok(server.put(f"/v0/datasources/{name}", data={"name": f"{name}_x"})),
        {"event_type": "rename"},
        ["old_name=@", "new_name=@_x"],
    ),
    "exchange": (exchange, {"event_type": "exchange"}, ["with=@_b"]),
    "delete": (lambda server, name: ok(server.delete(f"/v0/datasources/{name}")), {"event_type": "delete"}, []),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_every_deed_on_a_data_source_leaves_a_row(server: Server, name: str, deed: str) -> None:
    act, expected, options = DEEDS[deed]
    make(server, name)
    act(server, name)
    found = operations(server, f"{name}_x" if deed == "rename" else name)
    (row,) = [row for row in found if row["event_type"] == expected["event_type"]]
    assert row | expected == row
    assert (row["result"], row["error"]) == ("ok", None)
    assert row["request_id"] != "" and row["operation_id"] != "" and row["elapsed_time"] > 0
    given = [f"{key}={value}" for key, value in zip(row["Options.Names"], row["Options.Values"], strict=True)]
    assert given == [option.replace("@", name) for option in options]


def test_a_deed_that_fails_leaves_its_error(server: Server, name: str) -> None:
    make(server, name)
    params = {"name": name, "mode": "replace", "format": "parquet"}
    assert server.post("/v0/datasources", params=params, content=b"PAR1 and no more").status_code == 400
    created, failed = operations(server, name)
    assert (created["event_type"], created["result"]) == ("create", "ok")
    assert (failed["event_type"], failed["result"], failed["rows"]) == ("replace", "error", 0)
    assert failed["error"]
    (block,) = server.sql(f"SELECT * FROM tinybird.block_log WHERE datasource_name = '{name}'")
    assert (block["status"], block["processing_error"]) == ("error", failed["error"])
    assert [block["block_id"]] == failed["blocks_ids"]


def test_a_request_can_be_followed_through_the_logs(server: Server, name: str) -> None:
    """`X-Request-Id` of the answer is in the operation, its import in the block."""
    make(server, name)
    answer = ok(server.post("/v0/datasources", params={"name": name, "mode": "append", "format": "csv"}, content=b"7"))
    (operation,) = [row for row in operations(server, name) if row["event_type"] == "append"]
    assert operation["request_id"] == answer.headers["x-request-id"]
    assert operation["import_id"] == answer.json()["import_id"]
    (block,) = server.sql(f"SELECT * FROM tinybird.block_log WHERE import_id = '{operation['import_id']}'")
    assert (block["request_id"], block["status"]) == (operation["request_id"], "done")
    assert (block["rows"], block["quarantine_lines"], block["parser"]) == (1, 0, "csv")
    assert [block["block_id"]] == operation["blocks_ids"]


def test_requests_to_the_events_api_are_gathered(server: Server, name: str) -> None:
    make(server, name)
    for _ in range(20):
        append_events(server, name)
    found = [row for row in operations(server, name) if row["event_type"] == "append-hfi"]
    assert len(found) < 20
    assert sum(int(row["Options.Values"][0]) for row in found) == 20
    assert (sum(row["rows"] for row in found), sum(row["rows_quarantine"] for row in found)) == (40, 20)


def test_events_that_are_refused_leave_their_error(server: Server, name: str) -> None:
    make(server, name)
    answer = server.post("/v0/events", params={"name": name, "format": "avro"}, content=b'{"id": 1}')
    assert answer.status_code == 400
    (row,) = [row for row in operations(server, name) if row["event_type"] == "append-hfi"]
    assert (row["result"], row["rows"]) == ("error", 0)
    assert row["error"] == answer.json()["error"]


VIEWS = {
    "@_sums.datasource": TABLE,
    "@_last.datasource": TABLE,
    "mv_@.pipe": "NODE n\nSQL >\n    SELECT id FROM @\n\nTYPE materialized\nDATASOURCE @_sums\n",
    "mv_@_more.pipe": "NODE n\nSQL >\n    SELECT id FROM @_sums\n\nTYPE materialized\nDATASOURCE @_last\n",
}


@pytest.mark.parametrize("act", [append_events, upload("append")], ids=["events", "file"])
def test_an_insert_and_the_views_it_triggers_are_one_operation(
    server: Server, name: str, act: Callable[[Server, str], None]
) -> None:
    make(server, name)
    server.deploy({path.replace("@", name): text.replace("@", name) for path, text in VIEWS.items()})
    act(server, name)
    (operation,) = [row for row in operations(server, name) if row["event_type"].startswith("append")]
    together = server.sql(
        "SELECT datasource_name, pipe_name, event_type FROM tinybird.datasources_ops_log "
        f"WHERE operation_id = '{operation['operation_id']}' ORDER BY datasource_name"
    )
    kind = operation["event_type"]
    assert [tuple(row.values()) for row in together] == [
        (name, "", kind),
        (f"{name}_last", f"mv_{name}_more", kind),
        (f"{name}_sums", f"mv_{name}", kind),
    ]


def test_what_views_made_of_replaced_rows_is_replaced_in_the_same_operation(server: Server, name: str) -> None:
    make(server, name)
    server.deploy({path.replace("@", name): text.replace("@", name) for path, text in VIEWS.items()})
    upload("replace")(server, name)
    (replaced,) = [row for row in operations(server, name) if row["event_type"] == "replace"]
    for below in ("sums", "last"):
        (row,) = [row for row in operations(server, f"{name}_{below}") if row["event_type"] == "replace"]
        assert row["operation_id"] == replaced["operation_id"]


COPY = "NODE n\nSQL >\n    SELECT {} FROM @\n\nTYPE COPY\nTARGET_DATASOURCE @_target\nCOPY_MODE append\n"


def test_a_copy_is_a_job_and_an_operation(server: Server, name: str) -> None:
    make(server, name)
    append_events(server, name)
    server.deploy(
        {
            f"{name}_target.datasource": TABLE,
            f"c_{name}.pipe": COPY.format("id").replace("@", name),
            f"f_{name}.pipe": COPY.format("id + throwIf(id > 0) AS id").replace("@", name),
        }
    )
    answers = [ok(server.post(f"/v0/pipes/{pipe}_{name}/copy")) for pipe in "cf"]
    jobs = [server.finished(answer.json()["job"]["id"]) for answer in answers]
    refreshed(server)
    for job, answer, status in zip(jobs, answers, ("done", "error"), strict=True):
        (logged,) = server.sql(f"SELECT * FROM tinybird.jobs_log WHERE job_id = '{job['id']}'")
        assert (logged["job_type"], logged["status"], logged["error"]) == ("copy", status, job.get("error"))
        assert logged["request_id"] == answer.headers["x-request-id"]
        assert (logged["pipe_id"], logged["datasource_id"]) == (job["pipe_id"], job["datasource"]["id"])
        assert logged["created_at"] <= logged["started_at"] <= logged["updated_at"]
    copied, failed = [row for row in operations(server, f"{name}_target") if row["event_type"] == "copy"]
    assert (copied["result"], copied["rows"], copied["pipe_name"]) == ("ok", 2, f"c_{name}")
    assert (failed["result"], failed["rows"], failed["pipe_name"]) == ("error", None, f"f_{name}")
    assert [copied["job_id"], failed["job_id"]] == [job["id"] for job in jobs]
    (asked,) = server.sql(
        "SELECT JSONExtractString(job_metadata, 'pipe_name') AS pipe, JSONExtractFloat(job_metadata, 'duration') > 0 "
        f"AS took FROM tinybird.jobs_log WHERE job_id = '{jobs[0]['id']}'"
    )
    assert asked == {"pipe": f"c_{name}", "took": 1}


def test_a_populate_is_queued_and_then_done(server: Server, name: str) -> None:
    make(server, name)
    append_events(server, name)
    server.deploy({path.replace("@", name): text.replace("@", name) for path, text in VIEWS.items()})
    node = server.get(f"/v0/pipes/mv_{name}").json()["nodes"][0]["id"]
    answer = ok(server.post(f"/v0/pipes/mv_{name}/nodes/{node}/population", params={"truncate": "true"}))
    job = server.finished(answer.json()["job"]["id"])
    assert job["status"] == "done", job
    _, queued, done = operations(server, f"{name}_sums")
    assert (queued["event_type"], done["event_type"]) == ("populateview-queued", "populateview")
    assert (done["rows"], done["pipe_name"], done["job_id"]) == (2, f"mv_{name}", job["id"])


def test_a_deployment_is_a_release_done_or_refused(server: Server, name: str) -> None:
    files = {f"{name}.datasource": TABLE}
    ok(server.post("/v0/deployments", params={"commit": f"c_{name}"}, json={"files": files}))
    server.post("/v0/deployments", params={"commit": f"c_{name}", "dry_run": "true"}, json={"files": files})
    broken = {f"p_{name}.pipe": "NODE n\nSQL >\n    SELECT FROM\n"}
    refused = server.post("/v0/deployments", params={"commit": f"c_{name}"}, json={"files": broken})
    assert refused.status_code == 400
    refreshed(server)
    found = server.sql(f"SELECT * FROM tinybird.releases_log WHERE commit = 'c_{name}' ORDER BY timestamp")
    assert [(row["event_type"], row["result"]) for row in found] == [("deploy", "ok"), ("deploy", "error")]
    assert found[1]["error"] in refused.json()["error"]
    assert found[0]["token_name"] == "workspace admin token"


def test_the_size_of_a_data_source_and_its_quarantine_is_measured(server: Server, name: str) -> None:
    make(server, name)
    append_events(server, name)
    refreshed(server)
    append_events(server, name)
    refreshed(server)
    hours = server.sql(f"SELECT * FROM tinybird.datasources_storage WHERE datasource_name = '{name}'")
    assert 1 <= len(hours) <= 2  # the clock may strike between
    newest = max(hours, key=lambda row: str(row["timestamp"]))
    assert (newest["rows"], newest["rows_quarantine"]) == (4, 2)
    assert newest["bytes"] > 0 and newest["bytes_quarantine"] > 0
    assert str(newest["timestamp"]).endswith(":00:00")
    assert server.get(f"/v0/datasources/{name}").json()["statistics"]["row_count"] == 4


MONITORING = (
    "monitoring_copy_pipe_executions",
    "monitoring_copy_pipes_spread_info",
    "monitoring_long_running_endpoints",
)


def test_the_monitoring_pipes_of_the_data_project_answer_with_what_was_done(server: Server, name: str) -> None:
    """In JSON and for Prometheus; `tests/usage/test_monitoring_pipes.py` has their rules."""
    executions, spread, slow = MONITORING
    make(server, name)
    copy = f"c_{name}"
    server.deploy(
        {
            f"{name}_target.datasource": TABLE,
            f"{copy}.pipe": COPY.format("id").replace("@", name),
            **{f"{pipe}.pipe": (INSIGHTS / f"{pipe}.pipe").read_text("utf-8") for pipe in MONITORING},
        }
    )
    assert server.finished(ok(server.post(f"/v0/pipes/{copy}/copy")).json()["job"]["id"])["status"] == "done"
    ok(server.get(f"/v0/pipes/{executions}.json"))
    refreshed(server)

    def rows(pipe: str, **of: object) -> list[dict[str, Any]]:
        found = ok(server.get(f"/v0/pipes/{pipe}.json")).json()["data"]
        return [row for row in found if of.items() <= row.items()]

    def metrics(pipe: str, **params: str) -> str:
        return str(ok(server.get(f"/v0/pipes/{pipe}.prometheus", params=params)).text)

    labels = {"pipe_name": copy, "status": "ok"}
    assert [row["value"] for row in rows(executions, labels=labels)] == [1]
    assert f'copy_pipes_latest_execution_status{{pipe_name="{copy}",status="ok"}} 1\n' in metrics(executions)

    assert rows(spread, pipe_name=copy)[0]["duration_seconds"] > 0
    assert re.search(rf'{spread}_duration_seconds{{.*pipe_name="{copy}".*}} 0\.\d', metrics(spread))
    running = metrics(spread, q="SELECT * FROM copies_running")
    assert re.search(r"# TYPE tinybird_copy_jobs_running gauge\n(tinybird_copy_jobs_running \d+ \d+\n)+", running)

    assert [row["pct_over_1s"] for row in rows(slow, pipe_name=executions)] == [0]
    assert f'{slow}_pct_over_1s{{pipe_name="{executions}"' in metrics(slow)


GUIDE = Path(__file__).parent.parent.parent / "docs" / "monitoring.md"


@pytest.mark.parametrize("query", re.findall(r"^\| .+\? \| `(SELECT .+)` \|$", GUIDE.read_text("utf-8"), re.MULTILINE))
def test_the_queries_of_the_guide_can_be_asked(server: Server, query: str) -> None:
    server.sql(query)


def test_only_an_admin_asks_for_a_refresh(server: Server) -> None:
    token = server.token("reads_all", "WORKSPACE:READ_ALL")
    assert server.post("/v0/service_datasources/refresh", token=token).status_code == 403


def test_nothing_is_recorded_when_the_setting_says_so(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", usage_recorded="false", storage_sample_seconds=0.05) as server:
        make(server, "quiet")
        append_events(server, "quiet")
        time.sleep(0.2)
        refreshed(server)
        for table in (each for each in documented() if each.startswith("tinybird.")):
            assert server.sql(f"SELECT count() AS n FROM {table}") == [{"n": 0}], table


def test_sizes_are_measured_as_often_as_the_setting_says(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", storage_sample_seconds=0.05) as server:
        make(server, "watched")
        deadline = time.monotonic() + 20
        while not server.sql("SELECT * FROM tinybird.datasources_storage WHERE datasource_name = 'watched'"):
            assert time.monotonic() < deadline
            time.sleep(0.1)

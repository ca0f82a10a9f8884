"""Materialized views through HTTP, with events coming in all the time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from flow_server import Server, running_server

SORTED = "ENGINE MergeTree\nENGINE_SORTING_KEY id\n"
COLUMNS = f"SCHEMA >\n    `id` UInt64 `json:$.id`,\n    `kind` UInt8 `json:$.kind`\n\n{SORTED}"
TARGET = f"SCHEMA >\n    `id` UInt64,\n    `kind` UInt8\n\n{SORTED}"
SUMS = "SCHEMA >\n    `kind` UInt8,\n    `rows` UInt64\n\nENGINE SummingMergeTree\nENGINE_SORTING_KEY kind\n"
VIEW_SQL = "SELECT id, kind FROM {} WHERE kind != 9"


def view(sql: str, target: str) -> str:
    return f"NODE n\nSQL >\n    {sql}\n\nTYPE materialized\nDATASOURCE {target}\n"


class Traffic:
    """Posts events with new ids, from two threads, until it is told to stop."""

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._name = name
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(each,), daemon=True) for each in (1, 2)]
        self.acknowledged = 0
        self.refused: list[str] = []

    def _send(self, sender: int) -> None:
        headers = {"Authorization": f"Bearer {self._server.admin_token}"}
        with httpx.Client(base_url=self._server.url, headers=headers, timeout=30) as http:
            count = 0
            while not self._stopped.is_set():
                rows = [{"id": sender * 10**9 + count + each, "kind": each % 4} for each in range(5)]
                body = "\n".join(map(json.dumps, rows))
                answer = http.post("/v0/events", params={"name": self._name, "wait": "true"}, content=body)
                if answer.status_code == 200:
                    self.acknowledged += len(rows)
                else:
                    self.refused.append(answer.text)
                count += len(rows)

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in self._threads:
                thread.join(30)
        assert self.refused == []


def deploy_cascade(server: Server, name: str, *, with_view: bool) -> None:
    """name → name_all → name_sums."""
    files = {
        f"{name}.datasource": COLUMNS,
        f"{name}_all.datasource": TARGET,
        f"{name}_sums.datasource": SUMS,
        f"{name}_to_sums.pipe": view(f"SELECT kind, count() AS rows FROM {name}_all GROUP BY kind", f"{name}_sums"),
    }
    if with_view:
        files[f"{name}_view.pipe"] = view(VIEW_SQL.format(name), f"{name}_all")
    server.deploy(files)
    rows = "\n".join(json.dumps({"id": each, "kind": each % 4}) for each in range(5000))
    assert server.post("/v0/events", params={"name": name, "wait": "true"}, content=rows).status_code == 200


def assert_agreement(server: Server, name: str, where: str = "1") -> int:
    """Source, target and what is below: the same rows, each once. How many there are."""
    facts = "count() AS rows, uniqExact(id) AS ids, sum(id) AS total"
    expected = server.sql(f"SELECT {facts} FROM {name} WHERE kind != 9 AND ({where})")[0]
    assert server.sql(f"SELECT {facts} FROM {name}_all")[0] == expected
    assert expected["rows"] == expected["ids"]
    per_kind = f"SELECT kind, count() AS rows FROM {name} WHERE kind != 9 AND ({where}) GROUP BY kind ORDER BY kind"
    sums = f"SELECT kind, sum(rows) AS rows FROM {name}_sums GROUP BY kind ORDER BY kind"
    assert server.sql(sums) == server.sql(per_kind)
    return int(expected["rows"])


def ended_well(server: Server, answer: httpx.Response) -> dict[str, object]:
    assert answer.status_code == 200, answer.text
    job = server.finished(answer.json()["job"]["job_id"])
    assert job["status"] == "done", job
    return job


def push_populated(server: Server, name: str, **parameters: str) -> httpx.Response:
    node = {"name": "n", "type": "materialized", "sql": VIEW_SQL.format(name), "datasource": f"{name}_all"}
    params = {"force": "true", "populate": "true", **parameters}
    return server.post("/v0/pipes", params=params, json={"name": f"{name}_view", "nodes": [node]})


def test_a_view_that_is_pushed_and_populated_has_every_row_once(server: Server, name: str) -> None:
    deploy_cascade(server, name, with_view=False)
    traffic = Traffic(server, name)
    with traffic.running():
        ended_well(server, push_populated(server, name))
    assert assert_agreement(server, name) == 5000 + traffic.acknowledged


def test_a_node_that_is_materialized_and_populated_has_every_row_once(server: Server, name: str) -> None:
    deploy_cascade(server, name, with_view=False)
    pipe = {"name": f"{name}_view", "nodes": [{"name": "n", "sql": VIEW_SQL.format(name)}]}
    assert server.post("/v0/pipes", json=pipe).status_code == 200
    traffic = Traffic(server, name)
    with traffic.running():
        path = f"/v0/pipes/{name}_view/nodes/n/materialization"
        ended_well(server, server.post(path, data={"datasource": f"{name}_all"}, params={"populate": "true"}))
    assert assert_agreement(server, name) == 5000 + traffic.acknowledged


def test_a_live_view_that_is_populated_with_truncate_has_every_row_once(server: Server, name: str) -> None:
    deploy_cascade(server, name, with_view=True)
    traffic = Traffic(server, name)
    with traffic.running():
        for _ in range(2):
            path = f"/v0/pipes/{name}_view/nodes/n/population"
            ended_well(server, server.post(path, params={"truncate": "true"}))
    assert assert_agreement(server, name) == 5000 + traffic.acknowledged


def test_a_live_view_that_is_populated_without_truncate_gets_the_rows_of_one_moment_more(
    server: Server, name: str
) -> None:
    """Those that its source has when the job begins; what comes in meanwhile is there once."""
    deploy_cascade(server, name, with_view=True)
    traffic = Traffic(server, name)
    with traffic.running():
        job = ended_well(server, server.post(f"/v0/pipes/{name}_view/nodes/n/population"))
    added = job["statistics"]["row_count"]  # type: ignore[index]
    counts = server.sql(f"SELECT count() AS rows, uniqExact(id) AS ids FROM {name}_all")[0]
    total = 5000 + traffic.acknowledged
    assert (counts["rows"], counts["ids"]) == (total + added, total)
    assert 5000 <= added <= total
    assert server.sql(f"SELECT sum(rows) AS rows FROM {name}_sums") == [{"rows": total + added}]


def test_conditions_and_subsets_choose_rows_of_the_source(server: Server, name: str) -> None:
    deploy_cascade(server, name, with_view=False)
    job = ended_well(server, push_populated(server, name, populate_condition="id < 100 AND kind IN (1, 2)"))
    assert job["statistics"]["row_count"] == 50  # type: ignore[index]
    assert assert_agreement(server, name, "id < 100 AND kind IN (1, 2)") == 50
    path = f"/v0/pipes/{name}_view/nodes/n/population"
    ended_well(server, server.post(path, params={"truncate": "true", "populate_subset": "0.1"}))
    assert server.sql(f"SELECT count() AS rows FROM {name}_all") == [{"rows": 500}]
    refused = server.post(path, params={"populate_condition": "nope = 1"})
    assert refused.status_code == 400
    assert f"(in the condition on '{name}')" in refused.json()["error"]
    assert server.post(path, params={"populate_subset": "2"}).status_code == 400


def test_a_failing_populate_leaves_all_as_it_was_and_unlinks_when_asked(server: Server, name: str) -> None:
    deploy_cascade(server, name, with_view=True)
    sql = f"SELECT id, kind + throwIf(id = 4999, 'too far') AS kind FROM {name}"
    server.deploy({f"{name}_view.pipe": view(sql, f"{name}_all")})
    path = f"/v0/pipes/{name}_view/nodes/n/population"
    for unlink, kind in (("false", "materialized"), ("true", "default")):
        answer = server.post(path, params={"truncate": "true", "unlink_on_populate_error": unlink})
        job = server.finished(answer.json()["job"]["job_id"])
        assert job["status"] == "error" and "too far" in job["error"]
        assert server.get(f"/v0/pipes/{name}_view").json()["type"] == kind
        assert assert_agreement(server, name) == 5000


def upload(server: Server, name: str, rows: str, **parameters: str) -> httpx.Response:
    params = {"name": name, "mode": "replace", "format": "csv", **parameters}
    return server.post("/v0/datasources", params=params, content=f"id,kind\n{rows}".encode())


def test_views_follow_when_the_rows_of_their_source_are_replaced(server: Server, name: str) -> None:
    deploy_cascade(server, name, with_view=True)
    traffic = Traffic(server, name)
    with traffic.running():
        assert upload(server, name, "1,1\n2,2\n3,9\n").json()["error"] is False
        assert upload(server, name, "2,3\n8,3\n", replace_condition="id = 2 OR id = 8").json()["error"] is False
    assert_agreement(server, name)
    kept = server.sql(f"SELECT id, kind FROM {name}_all WHERE id < 10 ORDER BY id")
    assert kept == [{"id": 1, "kind": 1}, {"id": 2, "kind": 3}, {"id": 8, "kind": 3}]


def test_targets_in_other_partitions_stop_a_partial_replace_or_are_left_out(server: Server, name: str) -> None:
    deploy_cascade(server, name, with_view=True)
    by_kind = f'{TARGET}ENGINE_PARTITION_KEY "kind"\n'
    to_odd = view(f"SELECT id, kind FROM {name}", f"{name}_odd")
    server.deploy({f"{name}_odd.datasource": by_kind, f"{name}_to_odd.pipe": to_odd})
    params = {"datasource": name, "check_for_partial_replace": "true"}
    below = server.get("/v0/dependencies", params=params).json()
    assert below["incompatible_datasources"] == {f"{name}_odd": [f"{name}_to_odd"]}
    assert set(below["dependencies"]) == {f"{name}_all", f"{name}_sums"}
    refused = upload(server, name, "1,7\n", replace_condition="id = 1")
    assert refused.status_code == 409
    assert f"'{name}_odd'" in refused.json()["error"] and "skip_incompatible" in refused.json()["error"]
    skipped = upload(server, name, "1,7\n", replace_condition="id = 1", skip_incompatible_partition_key="true")
    assert skipped.status_code == 200, skipped.text
    assert assert_agreement(server, name) == 5000


def test_the_analysis_tells_what_is_wrong_and_what_may_surprise(server: Server, name: str) -> None:
    deploy_cascade(server, name, with_view=False)
    sql = f"SELECT id, kind FROM {name} ORDER BY kind LIMIT 5"
    pipe = {"name": f"{name}_checker", "nodes": [{"name": "n", "sql": sql}]}
    assert server.post("/v0/pipes", json=pipe).status_code == 200
    path = f"/v0/pipes/{name}_checker/nodes/n/analysis"
    found = server.get(path, params={"datasource": f"{name}_all", "include_datafile": "true"}).json()
    assert [each["code"] for each in found["warnings"]] == ["LIMIT", "ORDER_BY"]
    assert all(each["weight"] and each["text"] and each["documentation"] for each in found["warnings"])
    sql = f"SELECT kind, countState() AS c FROM {name} GROUP BY kind"
    pipe = {"name": f"{name}_states", "nodes": [{"name": "n", "sql": sql}]}
    assert server.post("/v0/pipes", json=pipe).status_code == 200
    path = f"/v0/pipes/{name}_states/nodes/n/analysis"
    inferred = server.get(path, params={"datasource": f"{name}_new"}).json()["analysis"]["datasource"]["datafile"]
    assert "ENGINE AggregatingMergeTree\nENGINE_SORTING_KEY `kind`\n" in inferred
    misfit = server.get(path, params={"datasource": f"{name}_all"})
    assert misfit.status_code == 400
    assert "the Data Source has no such column" in misfit.json()["error"]


def test_a_service_data_source_cannot_be_materialized(server: Server, name: str) -> None:
    sql = "SELECT pipe_name FROM tinybird.pipe_stats_rt"
    node = {"name": "n", "type": "materialized", "sql": sql, "datasource": f"{name}_all", "engine": "MergeTree"}
    answer = server.post("/v0/pipes", json={"name": f"{name}_view", "nodes": [node]})
    assert answer.status_code == 400
    assert "A materialized view cannot read 'tinybird.pipe_stats_rt'" in answer.json()["error"]


FAILS = "SELECT id, kind + throwIf(kind = 13, 'thirteen') AS kind FROM {}"


def test_a_view_that_fails_is_answered_logged_and_put_right(tmp_path: Path) -> None:
    """The rows are in the source; the view gets them at a start, once it can take them, or when it is corrected."""
    with running_server(tmp_path / "data") as server:
        deploy_cascade(server, "events", with_view=False)
        server.deploy({"events_view.pipe": view(FAILS.format("events"), "events_all")})
        answer = server.post("/v0/events?name=events&wait=true", content='{"id": 1, "kind": 13}')
        assert answer.status_code == 422
        assert "'events_view' could not take them (thirteen)" in answer.json()["error"]
        assert server.get("/v0/pipes/events_view").json()["missed_rows"] == 1
        assert server.sql("SELECT count() AS rows FROM events WHERE kind = 13") == [{"rows": 1}]
        uploaded = server.post("/v0/datasources?name=events&mode=append&format=csv", content=b"id,kind\n2,13\n3,1\n")
        assert uploaded.status_code == 200
        assert "could not take them" in uploaded.json()["error"]
    with running_server(tmp_path / "data") as server:
        (failed,) = [job for job in server.get("/v0/jobs").json()["jobs"] if job["kind"] == "repairview"]
        failed = server.finished(failed["id"])
        assert failed["status"] == "error" and "thirteen" in failed["error"]
        logged = server.sql(
            "SELECT datasource_name, error, Options.Values[1] AS missed FROM tinybird.datasources_ops_log "
            "WHERE pipe_name = 'events_view' AND event_type = 'append' AND result = 'error' ORDER BY missed"
        )
        assert [(each["datasource_name"], each["error"], each["missed"]) for each in logged] == [
            ("events_all", "thirteen", "1"),
            ("events_all", "thirteen", "2"),
        ]
        again = server.post("/v0/pipes/events_view/nodes/n/population", params={"missed": "true"})
        assert server.finished(again.json()["job"]["job_id"])["status"] == "error"
        server.deploy({"events_view.pipe": view("SELECT id, kind FROM events", "events_all")})
        repairs = [job for job in server.get("/v0/jobs").json()["jobs"] if job["kind"] == "repairview"]
        assert server.finished(repairs[0]["id"])["status"] == "done"
        assert server.get("/v0/pipes/events_view").json()["missed_rows"] == 0
        rows = server.sql("SELECT id FROM events_all ORDER BY id")
        assert [each["id"] for each in rows] == [1, 2, 3]


@pytest.mark.parametrize("deed", ["truncate", "delete"])
def test_truncating_and_deleting_go_no_further(server: Server, name: str, deed: str) -> None:
    deploy_cascade(server, name, with_view=True)
    if deed == "truncate":
        assert server.post(f"/v0/datasources/{name}/truncate").status_code == 200
    else:
        answer = server.post(f"/v0/datasources/{name}/delete", data={"delete_condition": "id >= 0"})
        assert server.finished(answer.json()["job_id"])["status"] == "done"
    assert server.sql(f"SELECT count() AS rows FROM {name}") == [{"rows": 0}]
    assert server.sql(f"SELECT count() AS rows FROM {name}_all") == [{"rows": 5000}]

"""Copies and their schedules through HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from flow_server import Server

TABLE = "SCHEMA >\n    `a` UInt64 `json:$.a`\n"
YEARLY = "0 0 1 1 *"
SLOW = "SELECT max(sipHash64(number)) AS a FROM numbers(1000000000000)"


def copy(sql: str, target: str, schedule: str = "@on-demand", tags: str = "", mode: str = "append") -> str:
    lines = ["NODE n", "SQL >", f"    {sql}", "", "TYPE copy", f"TARGET_DATASOURCE {target}", f"COPY_MODE {mode}"]
    return "\n".join([*lines, f"COPY_SCHEDULE {schedule}", *([f'TAGS "{tags}"'] if tags else []), ""])


@pytest.fixture
def project(server: Server, name: str) -> Iterator[dict[str, str]]:
    """Names of this test: `raw`, `a` and `b` are data sources, `to_a` runs once a year, `to_b` after it."""
    names = {short: f"{name}_{short}" for short in ("raw", "a", "b", "to_a", "to_b")}
    server.deploy({
        **{f"datasources/{names[each]}.datasource": TABLE for each in ("raw", "a", "b")},
        f"pipes/{names['to_a']}.pipe": copy(f"SELECT a FROM {names['raw']}", names["a"], YEARLY, mode="replace"),
        f"pipes/{names['to_b']}.pipe": copy(f"SELECT a FROM {names['a']}", names["b"], tags="run_after=upstream"),
    })  # fmt: skip
    server.post("/v0/events", params={"name": names["raw"], "wait": "true"}, json={"a": 1})
    yield names
    for each in ("to_a", "to_b"):
        server.post(f"/v0/pipes/{names[each]}/copy/cancel")


def schedule_of(server: Server, pipe: str) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"/v0/pipes/{pipe}").json()["schedule"]
    return found


def jobs_of(server: Server, pipe: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get("/v0/jobs", params={"pipe_name": pipe}).json()["jobs"]
    return found


def eventually(server: Server, pipe: str, *statuses: str) -> list[dict[str, Any]]:
    """The jobs of a pipe once they have exactly these statuses, newest first."""
    deadline = time.monotonic() + 30
    while (found := jobs_of(server, pipe)) or time.monotonic() < deadline:
        if [job["status"] for job in found] == list(statuses):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    raise AssertionError(f"no job of {pipe}")


def node_copy(server: Server, pipe: str, **form: str) -> Any:
    return server.put(f"/v0/pipes/{pipe}/nodes/n/copy", data=form)


def test_a_pipe_tells_its_schedule(server: Server, project: dict[str, str]) -> None:
    schedule = schedule_of(server, project["to_a"])
    assert (schedule["cron"], schedule["status"], schedule["timezone"]) == (YEARLY, "running", "Etc/UTC")
    assert schedule["next_at"].endswith("-01-01 00:00:00.000000")
    follower = schedule_of(server, project["to_b"])
    assert "cron" not in follower
    assert (follower["status"], follower["run_after"], follower["next_at"]) == ("running", [project["to_a"]], None)


def test_a_copy_is_paused_and_resumed(server: Server, project: dict[str, str]) -> None:
    for action, status in (("pause", "paused"), ("pause", "paused"), ("resume", "running"), ("resume", "running")):
        answer = server.post(f"/v0/pipes/{project['to_a']}/copy/{action}")
        assert (answer.status_code, answer.json()["schedule"]["status"]) == (200, status)
        assert schedule_of(server, project["to_a"])["status"] == status


@pytest.mark.parametrize("action", ["pause", "resume", "cancel", ""])
def test_what_is_no_copy_is_refused(server: Server, name: str, action: str) -> None:
    server.deploy({f"pipes/{name}.pipe": "NODE n\nSQL >\n    SELECT 1 AS a\n"})
    answer = server.post(f"/v0/pipes/{name}/copy/{action}".rstrip("/"))
    assert (answer.status_code, "is not a copy pipe" in answer.json()["error"]) == (409, True)
    assert server.post(f"/v0/pipes/{name}_absent/copy/{action}".rstrip("/")).status_code == 404


def test_a_copy_without_a_schedule_cannot_be_paused(server: Server, name: str) -> None:
    server.deploy({f"{name}.datasource": TABLE, f"{name}_p.pipe": copy("SELECT 1 AS a", name)})
    answer = server.post(f"/v0/pipes/{name}_p/copy/pause")
    assert (answer.status_code, "COPY_SCHEDULE" in answer.json()["error"]) == (409, True)
    assert server.post(f"/v0/pipes/{name}_p/copy/cancel").json()["cancelled_jobs"] == []


@pytest.mark.parametrize("action", ["pause", "resume", "cancel"])
def test_a_token_needs_the_right_to_create_pipes(server: Server, project: dict[str, str], action: str) -> None:
    token = server.token(f"{project['to_a']}_{action}", f"PIPES:READ:{project['to_a']}")
    answer = server.post(f"/v0/pipes/{project['to_a']}/copy/{action}", token=token)
    assert (answer.status_code, "PIPES:CREATE" in answer.json()["error"]) == (403, True)


def test_a_run_by_hand_starts_what_follows(server: Server, project: dict[str, str]) -> None:
    job = server.post(f"/v0/pipes/{project['to_a']}/copy").json()["job"]
    assert server.finished(job["job_id"])["asked_by"] == "workspace admin token"
    (follower,) = eventually(server, project["to_b"], "done")
    assert (follower["asked_by"], follower["scheduled_for"] is not None) == ("schedule", True)
    assert follower["waiting_seconds"] >= 0 and follower["waiting_for"] == []
    assert server.sql(f"SELECT a FROM {project['b']}") == [{"a": 1}]


def test_a_failed_copy_holds_what_follows_and_says_so(server: Server, project: dict[str, str]) -> None:
    broken = copy(f"SELECT a + throwIf(a = 1, 'broken') AS a FROM {project['raw']}", project["a"], YEARLY)
    server.deploy({f"pipes/{project['to_a']}.pipe": broken})
    server.post(f"/v0/pipes/{project['to_a']}/copy")
    (failed,) = eventually(server, project["to_a"], "error")
    (held,) = eventually(server, project["to_b"], "waiting")
    (wait,) = schedule_of(server, project["to_b"])["waiting_for"]
    assert held["waiting_for"] == [wait]
    assert (wait["kind"], wait["name"], wait["job_id"]) == ("upstream", project["to_a"], failed["id"])
    assert "failed" in wait["reason"] and "broken" in wait["reason"]
    shown = server.get(f"/v0/jobs/{held['id']}").json()
    assert shown["waiting_for"] == [wait] and shown["waiting_seconds"] >= held["waiting_seconds"] >= 0


def test_jobs_tell_what_they_wait_for_and_cancel_ends_them_all(server: Server, project: dict[str, str]) -> None:
    slow = copy(SLOW, project["a"], YEARLY)
    server.deploy({f"pipes/{project['to_a']}.pipe": slow})
    first, second = (server.post(f"/v0/pipes/{project['to_a']}/copy").json()["job"]["id"] for _ in range(2))
    other = server.post(f"/v0/pipes/{project['to_b']}/copy").json()["job"]["id"]
    eventually(server, project["to_a"], "waiting", "working")
    by_id = {job["id"]: job["waiting_for"] for job in server.get("/v0/jobs").json()["jobs"]}
    assert by_id[first] == []
    assert [(each["kind"], each["job_id"]) for each in by_id[second]] == [("job", first)]
    assert [each["kind"] for each in by_id[other]] == ["worker"]
    answer = server.post(f"/v0/pipes/{project['to_a']}/copy/cancel").json()
    assert {job["id"] for job in answer["cancelled_jobs"]} == {first, second}
    assert answer["schedule"]["status"] == "paused"
    assert {server.finished(job)["status"] for job in (first, second)} == {"cancelled"}
    assert server.finished(other)["status"] == "done"


def test_schedule_mode_and_target_of_a_node_are_changed(server: Server, project: dict[str, str]) -> None:
    pipe = project["to_a"]
    changed = node_copy(server, pipe, schedule_cron="5 1 * * *", mode="append", target_datasource=project["b"])
    assert changed.status_code == 200, changed.text
    assert changed.json()["schedule"]["cron"] == "5 1 * * *"
    target = server.get(f"/v0/datasources/{project['b']}").json()["id"]
    assert changed.json()["copy_target_datasource"] == target
    assert changed.json()["nodes"][0]["mode"] == "append"
    assert node_copy(server, pipe, mode="replace").json()["schedule"]["cron"] == "5 1 * * *"
    assert node_copy(server, pipe, schedule_cron="None").json()["schedule"] == {}
    text = server.get(f"/v1/pipes/{pipe}.pipe").text
    assert "COPY_SCHEDULE @on-demand" in text and "COPY_MODE replace" in text


def test_a_changed_schedule_keeps_the_tags_of_its_node(server: Server, project: dict[str, str]) -> None:
    assert node_copy(server, project["to_b"], mode="replace").json()["schedule"]["run_after"] == [project["to_a"]]
    assert 'TAGS "run_after=upstream"' in server.get(f"/v1/pipes/{project['to_b']}.pipe").text


def test_a_copy_that_ends_keeps_its_data_and_has_no_schedule(server: Server, project: dict[str, str]) -> None:
    pipe = project["to_a"]
    assert server.finished(server.post(f"/v0/pipes/{pipe}/copy").json()["job"]["id"])["status"] == "done"
    answer = server.delete(f"/v0/pipes/{pipe}/nodes/n/copy").json()
    assert (answer["type"], answer["schedule"], answer["copy_node"]) == ("default", {}, None)
    assert server.sql(f"SELECT a FROM {project['a']}") == [{"a": 1}]


@pytest.mark.parametrize("cron", ["every hour", "* * * *", "61 * * * *", "0 0 31 2 *"])
def test_a_bad_schedule_is_refused_with_its_line(server: Server, project: dict[str, str], cron: str) -> None:
    assert node_copy(server, project["to_a"], schedule_cron=cron).status_code == 400
    text = copy(f"SELECT a FROM {project['raw']}", project["a"], f'"{cron}"')
    answer = server.post("/v0/deployments", json={"files": {f"pipes/{project['to_a']}.pipe": text}})
    assert answer.status_code == 400
    for part in ("COPY_SCHEDULE", cron, f"pipes/{project['to_a']}.pipe:8", "such as 0 * * * *"):
        assert part in answer.json()["error"]
    assert schedule_of(server, project["to_a"])["cron"] == YEARLY


def test_copies_that_would_wait_for_each_other_are_refused(server: Server, project: dict[str, str]) -> None:
    after = copy(f"SELECT a FROM {project['b']}", project["a"], tags="run_after=upstream")
    answer = server.post("/v0/deployments", json={"files": {f"pipes/{project['to_a']}.pipe": after}})
    assert answer.status_code == 409
    a, b = project["to_a"], project["to_b"]
    assert f"{a} -> {b} -> {a}" in answer.json()["error"]
    assert f"run_behind={b}" in answer.json()["error"]
    behind = copy(f"SELECT a FROM {project['b']}", project["a"], YEARLY, tags=f"run_after=upstream&run_behind={b}")
    server.deploy({f"pipes/{a}.pipe": behind})
    renamed = server.put(f"/v0/pipes/{b}", params={"name": f"{b}_renamed"})
    assert (renamed.status_code, f"run_behind of: {a}" in renamed.json()["error"]) == (409, True)


def test_options_arrive_as_keys_of_a_node(server: Server, project: dict[str, str]) -> None:
    node = {"name": "n", "sql": f"SELECT a FROM {project['a']}", "type": "copy", "mode": "append",
            "target_datasource": project["b"], "run_after": "upstream", "shard_key": "a % 7", "shards": 3,
            "refuse_empty": True, "engine_x": "y"}  # fmt: skip
    answer = server.post("/v0/pipes", params={"force": "true"}, json={"name": project["to_b"], "nodes": [node]})
    assert answer.status_code == 200, answer.text
    expected = {"run_after": "upstream", "shard_key": "a % 7", "shards": "3", "refuse_empty": "true"}
    assert answer.json()["nodes"][0]["tags"] == expected
    node["shard_key"] = "nothing"
    refused = server.post("/v0/pipes", params={"force": "true"}, json={"name": project["to_b"], "nodes": [node]})
    assert (refused.status_code, "shard_key" in refused.json()["error"]) == (400, True)


def test_a_populate_has_a_budget_too(server: Server, name: str) -> None:
    sums = "SCHEMA >\n    `a` UInt64,\n    `n` UInt64\n"
    fill = copy("SELECT number AS a FROM numbers(400000)", f"{name}_raw")
    server.deploy({f"{name}_raw.datasource": TABLE, f"{name}_sums.datasource": sums, f"{name}_fill.pipe": fill})
    assert server.finished(server.post(f"/v0/pipes/{name}_fill/copy").json()["job"]["id"])["status"] == "done"
    view = f"NODE n\nSQL >\n    SELECT a, count() AS n FROM {name}_raw GROUP BY a\n\nTYPE materialized\n"
    for memory_bytes, status in ((9_000_000, "error"), (900_000_000, "done")):
        tags = f'DATASOURCE {name}_sums\nTAGS "job_memory_bytes_max={memory_bytes}"\n'
        server.deploy({f"{name}_view.pipe": view + tags})
        job = server.post(f"/v0/pipes/{name}_view/nodes/n/population", params={"truncate": "true"}).json()["job"]
        ended = server.finished(job["id"])
        assert (ended["status"], "memory" in ended.get("error", "")) == (status, status == "error"), ended
    assert server.sql(f"SELECT count() AS n FROM {name}_sums") == [{"n": 400_000}]

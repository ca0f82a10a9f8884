"""Copies, their schedules and their jobs through the official client."""

from __future__ import annotations

import time

import pytest
from flows.flow_server import Server
from tb_client import Tb

TABLE = "SCHEMA >\n    `a` UInt64 `json:$.a`\n\nENGINE MergeTree\nENGINE_SORTING_KEY a\n"
TARGET = "SCHEMA >\n    `a` UInt64\n\nENGINE MergeTree\nENGINE_SORTING_KEY a\n"
TAGS = 'TAGS "run_after=upstream&job_seconds_max=600&shard_key=cityHash64(a) %25 7&shards=4"'
PROJECT = {
    "datasources/drops.datasource": TABLE,
    "datasources/ponds.datasource": TARGET,
    "datasources/seas.datasource": TARGET,
    "datasources/wells.datasource": TARGET,
    "pipes/to_ponds.pipe": "NODE n\nSQL >\n    %\n    SELECT a FROM drops WHERE a < {{ UInt64(most, 10) }}\n\n"
    "TYPE COPY\nTARGET_DATASOURCE ponds\nCOPY_MODE replace\nCOPY_SCHEDULE 0 0 1 1 *\n",
    "pipes/to_seas.pipe": "NODE n\nSQL >\n    SELECT a FROM ponds\n\n"
    f"TYPE COPY\nTARGET_DATASOURCE seas\nCOPY_MODE append\nCOPY_SCHEDULE @on-demand\n{TAGS}\n",
    "pipes/by_hand.pipe": "NODE n\nSQL >\n    SELECT max(sipHash64(number)) AS a FROM numbers(1000000000000)\n\n"
    "TYPE COPY\nTARGET_DATASOURCE wells\nCOPY_MODE append\nCOPY_SCHEDULE @on-demand\n",
}


@pytest.fixture
def project_tb(tb: Tb, server: Server) -> Tb:
    """The client in the project, pushed; `drops` has the rows 1 to 3, and the copies are as after a push."""
    tb.write(PROJECT)
    if server.get("/v0/datasources/drops").status_code == 404:
        tb("push")
        for a in (1, 2, 3):
            server.post("/v0/events", params={"name": "drops", "wait": "true"}, json={"a": a})
    return tb


def schedule(server: Server, pipe: str) -> dict[str, object]:
    found: dict[str, object] = server.get(f"/v0/pipes/{pipe}").json()["schedule"]
    return found


def count(server: Server, name: str) -> int:
    return int(server.sql(f"SELECT count() AS n FROM {name}")[0]["n"])


def rows_come(server: Server, name: str, rows: int) -> None:
    deadline = time.monotonic() + 30
    while count(server, name) != rows:
        assert time.monotonic() < deadline, f"{name} has {count(server, name)} rows"
        time.sleep(0.1)


def test_what_a_node_says_about_its_job_survives_push_pull_and_diff(project_tb: Tb, server: Server) -> None:
    text = server.get("/v1/pipes/to_seas.pipe").text
    assert text == PROJECT["pipes/to_seas.pipe"]
    assert schedule(server, "to_seas")["run_after"] == ["to_ponds"]
    for _ in range(2):
        project_tb("push", "pipes/to_seas.pipe", "pipes/to_ponds.pipe", "--force", "--yes")
        assert server.get("/v1/pipes/to_seas.pipe").text == text
        assert schedule(server, "to_ponds")["cron"] == "0 0 1 1 *"
    pulled = Tb(project_tb.folder / "pulled", project_tb.environment)
    pulled.folder.mkdir()
    pulled("pull")
    assert (pulled.folder / "pipes" / "to_seas.pipe").read_text("utf-8") == text
    assert "@@" not in project_tb("diff")


def test_a_copy_runs_by_hand_and_what_reads_it_follows(project_tb: Tb, server: Server) -> None:
    before = count(server, "seas")
    output = project_tb("pipe", "copy", "run", "to_ponds", "--wait", "--yes")
    assert "Data copied to 'ponds'" in output
    rows_come(server, "seas", before + 3)
    output = project_tb("pipe", "copy", "run", "to_ponds", "--param", "most=3", "--mode", "append", "--wait", "--yes")
    assert count(server, "ponds") == 5
    rows_come(server, "seas", before + 8)
    listed = project_tb("job", "ls", "-s", "done")
    assert listed.count("copy") >= 4
    details = project_tb("job", "details", server.get("/v0/jobs").json()["jobs"][0]["id"])
    assert "waiting_seconds" in details and "schedule" in details


def test_a_schedule_is_paused_and_resumed(project_tb: Tb, server: Server) -> None:
    assert "paused" in project_tb("pipe", "copy", "pause", "to_ponds")
    assert schedule(server, "to_ponds")["status"] == "paused"
    project_tb("push", "pipes/to_ponds.pipe", "--force", "--yes")
    assert schedule(server, "to_ponds")["status"] == "paused"
    assert "resumed" in project_tb("pipe", "copy", "resume", "to_ponds")
    assert schedule(server, "to_ponds")["status"] == "running"
    assert "has no schedule" in project_tb("pipe", "copy", "pause", "by_hand", code=1)


def test_a_push_changes_schedule_mode_and_target(project_tb: Tb, server: Server) -> None:
    changed = PROJECT["pipes/to_ponds.pipe"].replace("0 0 1 1 *", "30 4 1 1 *").replace("replace", "append")
    project_tb.write({"pipes/to_ponds.pipe": changed.replace("DATASOURCE ponds", "DATASOURCE seas")})
    project_tb("push", "pipes/to_ponds.pipe", "--force", "--yes")
    pipe = server.get("/v0/pipes/to_ponds").json()
    assert (pipe["schedule"]["cron"], pipe["nodes"][0]["mode"]) == ("30 4 1 1 *", "append")
    assert pipe["copy_target_datasource"] == server.get("/v0/datasources/seas").json()["id"]
    project_tb.write({"pipes/to_ponds.pipe": changed.replace("30 4 1 1 *", "@on-demand")})
    project_tb("push", "pipes/to_ponds.pipe", "--force", "--yes")
    assert schedule(server, "to_ponds") == {}
    project_tb.write({"pipes/to_ponds.pipe": PROJECT["pipes/to_ponds.pipe"]})
    project_tb("push", "pipes/to_ponds.pipe", "--force", "--yes")
    assert schedule(server, "to_ponds")["cron"] == "0 0 1 1 *"


def test_what_cannot_be_is_refused_at_push(project_tb: Tb) -> None:
    text = PROJECT["pipes/to_seas.pipe"]
    for wrong, told in (
        (text.replace("run_after", "run_afer"), "Did you mean run_after?"),
        (text.replace("cityHash64(a)", "cityHash64(b)"), "shard_key"),
    ):
        project_tb.write({"pipes/to_seas.pipe": wrong})
        assert told in project_tb("push", "pipes/to_seas.pipe", "--force", "--yes", code=1)


def test_a_copy_that_waits_is_cancelled(project_tb: Tb, server: Server) -> None:
    running, waiting = (server.post("/v0/pipes/by_hand/copy").json()["job"]["id"] for _ in range(2))
    assert running in project_tb("job", "details", waiting)
    for job in (waiting, running):
        assert "cancel" in project_tb("job", "cancel", job).lower()
        assert server.finished(job)["status"] == "cancelled"

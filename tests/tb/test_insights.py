"""The data project as its README tests it: the fixtures, the copies, `tb test run` and the exact answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flows.flow_server import Server, running_server
from tb_client import REPOSITORY, Tb

from birdhouse.cli.project import read_project

INSIGHTS = REPOSITORY / "insights"
NIGHT = "2024-04-10 01:00:00"
"""The night of `tests/pipeline.txt`."""
SCRIPT_SECONDS_MAX = 600.0


@pytest.fixture(scope="module")
def insights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A workspace with the project, its fixtures, and every copy run; none runs by its schedule meanwhile."""
    with running_server(tmp_path_factory.mktemp("insights") / "data", follow_schedules=False) as server:
        server.deploy(read_project(INSIGHTS))
        run_script("append_fixtures.sh", server)
        yield server


def run_script(name: str, server: Server, code: int = 0) -> str:
    """What a script of the project prints when it ends with `code`."""
    done = subprocess.run(
        [INSIGHTS / "scripts" / name],
        env={**os.environ, "TB_HOST": server.url, "TB_TOKEN": server.admin_token},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SCRIPT_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def run_copy(server: Server, name: str, moment: str) -> None:
    started = server.post(f"/v0/pipes/{name}/copy", params={"job_timestamp": moment}).json()
    job = server.finished(started["job"]["job_id"])
    assert job["status"] == "done", job


def board(server: Server, kind: str) -> list[tuple[int, str, float]]:
    answer = server.get("/v0/pipes/leaderboards.json", params={"leaderboardType": kind}).json()
    return [(row["rank"], row["slug"], row["value"]) for row in answer["data"]]


def test_every_test_of_the_project_passes(insights: Server) -> None:
    """With `birdhouse test`; that the script does the same is tested on fewer."""
    command = [sys.executable, "-m", "birdhouse", "test", str(INSIGHTS), "--host", insights.url, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SCRIPT_SECONDS_MAX, check=False)
    answer = json.loads(done.stdout)
    assert [test for test in answer["tests"] if not test["passed"]] == []
    assert answer["passed"] == len(answer["tests"]) > len(list((INSIGHTS / "tests").glob("*.test"))) > 0


def test_no_rule_is_broken(insights: Server, signed_out_tb: Tb) -> None:
    tb = signed_out_tb.signed_in(insights)
    shutil.copytree(INSIGHTS / "tests", tb.folder / "tests")
    rules = sum(len(re.findall(r"^- ", path.read_text("utf-8"), re.M)) for path in INSIGHTS.glob("tests/*.yaml"))
    output = tb("test", "run")
    assert f"Total Pass: {rules}" in output
    assert "Fail" not in output


def test_every_copy_but_those_on_demand_has_a_schedule() -> None:
    texts = {Path(name).stem: text for name, text in read_project(INSIGHTS).items() if "TYPE COPY" in text}
    unscheduled = {name for name, text in texts.items() if not re.search(r"^COPY_SCHEDULE \S", text, re.M)}
    assert unscheduled == set()


def test_a_board_of_the_same_day_takes_the_place_of_the_first(insights: Server) -> None:
    before = board(insights, "stars")
    run_copy(insights, "leaderboards_stars", NIGHT)
    assert board(insights, "stars") == before != []


def test_a_board_counts_until_its_own_next_one_is_there(insights: Server) -> None:
    """A type that has not run yet today keeps its place beside those that have; an older day changes nothing."""
    commits, sizes = board(insights, "commit-activity"), board(insights, "codebase-size")
    run_copy(insights, "leaderboards_commits", "2024-04-08 01:00:00")
    assert board(insights, "commit-activity") == commits
    # Two months later the twelve months begin after wren's commit of May 2023 and hold all that swift made in April.
    run_copy(insights, "leaderboards_commits", "2024-06-10 01:00:00")
    assert board(insights, "commit-activity") == [(1, "swift", 28.0), (2, "nest", 26.0), (3, "wren", 2.0)]
    assert board(insights, "codebase-size") == sizes != []


@pytest.mark.parametrize("name", ["activities_count", "contributors", "avg_merge_time", "maintainers"])
def test_the_dashboard_of_organizations_asks_for_them(insights: Server, name: str) -> None:
    answer = insights.get(f"/v0/pipes/org_dash_{name}.json?project=swift&bucketId=2&granularity=monthly")
    assert answer.status_code == 400
    assert "organizationIds" in answer.json()["error"]

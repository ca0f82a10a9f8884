"""Tests of a project: with the official client, with the scripts, and what `birdhouse test` makes of the same files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from flows.flow_server import Server
from sample_project import PROJECT, ROWS
from tb_client import REPOSITORY, Tb

QUALITY = """\
- nobody_is_negative:
    max_bytes_read: 100000
    max_time: 10
    sql: SELECT * FROM events WHERE value < 0
- the_bot_is_no_user:
    sql: null
    pipe:
      name: top_users
      params:
        since: "2024-01-03 00:00:00"
- no_total_is_large:
    sql: SELECT * FROM top_users WHERE total > 5
- something_is_read:
    max_bytes_read: 1
    max_time: 0.0000001
    sql: SELECT user, count() AS c FROM events GROUP BY user HAVING c < 0
"""
TOP = """\
curl --silent --get "$TB_HOST/v0/pipes/top_users.csv" --header "Authorization: Bearer $TB_TOKEN" \\
    --data-urlencode "limit=1"
"""


@pytest.fixture(scope="module")
def filled(server: Server) -> Server:
    """The server with the sample project and its rows."""
    texts = {path: text for path, text in PROJECT.items() if not path.startswith("includes/")}
    include = PROJECT["includes/only_people.incl"].replace("$SOURCE", "events")
    line = 'INCLUDE "../includes/only_people.incl" "SOURCE=events"\n'
    texts["pipes/top_users.pipe"] = texts["pipes/top_users.pipe"].replace(line, include)
    server.deploy(texts)
    target = {"mode": "append", "format": "ndjson", "name": "events"}
    assert server.post("/v0/datasources", params=target, content=ROWS).status_code == 200
    return server


@pytest.fixture
def tb(signed_out_tb: Tb, filled: Server) -> Tb:
    return signed_out_tb.signed_in(filled)


def birdhouse_test(tb: Tb, *options: str) -> Mapping[str, bool]:
    """Whether each test passed, by its name."""
    command = [sys.executable, "-m", "birdhouse", "test", "--host", tb.environment["TB_HOST"], "--json", *options]
    done = subprocess.run(
        command, cwd=tb.folder, capture_output=True, text=True, check=False, env=_with_package(tb.environment)
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return {test["name"]: test["passed"] for test in answer["tests"]}


def _with_package(environment: Mapping[str, str]) -> dict[str, str]:
    return {**environment, "PYTHONPATH": str(REPOSITORY)}


def test_init_writes_a_first_file_that_runs(tb: Tb) -> None:
    assert "tests/default.yaml" in tb("test", "init")
    output = tb("test", "run", code=1)
    for status in ("Pass", "Fail", "Pass Over Time", "Pass Over Read Bytes", "Pass Over Time and Over Read Bytes"):
        assert f"Total {status}: 1" in output
    ours = birdhouse_test(tb)
    assert [name for name, passed in ours.items() if not passed] == ["this_test_should_fail"]
    tb("test", "init", code=1)
    tb("test", "init", "--force", "tests/other.yaml")


def test_parse_shows_what_a_file_says(tb: Tb) -> None:
    tb.write({"tests/quality.yaml": QUALITY})
    output = tb("test", "parse", "tests/quality.yaml")
    assert "TestCase(name='the_bot_is_no_user'" in output
    assert "params={'since': '2024-01-03 00:00:00'}" in output


def test_run_tells_which_queries_find_rows(tb: Tb) -> None:
    tb.write({"tests/quality.yaml": QUALITY, "tests/regression.yaml": "- nothing\n"})
    output = tb("test", "run", "-v", code=1)
    assert "Total Fail: 1" in output and "Total Pass: 2" in output
    assert "Pass Over Time and Over Read Bytes" in output
    assert birdhouse_test(tb) == {
        "nobody_is_negative": True,
        "the_bot_is_no_user": True,
        "no_total_is_large": False,
        "something_is_read": True,
    }
    assert birdhouse_test(tb, "--strict")["something_is_read"] is False
    tb.write({"tests/quality.yaml": QUALITY.replace("total > 5", "total > 500")})
    tb("test", "run", "tests/quality.yaml", "-c", "2")


def test_the_script_runs_the_exact_tests(tb: Tb) -> None:
    shutil.copytree(REPOSITORY / "insights" / "scripts", tb.folder / "scripts")
    tb.write({
        "tests/top.test": TOP,
        "tests/top.test.result": '"user","total"\n"ann",5.5\n',
        "tests/other.test": TOP,
        "tests/other.test.result": '"user","total"\n"bob",2\n',
    })  # fmt: skip
    done = tb.shell(["bash", "scripts/exec_test.sh"])
    assert done.code == 1
    assert "ok      tests/top.test" in done.output
    assert "FAILED  tests/other.test" in done.output and '+"ann",5.5' in done.output
    assert tb.shell(["bash", "scripts/exec_test.sh", "top"]).code == 0
    assert birdhouse_test(tb) == {"other": False, "top": True}
    birdhouse_test(tb, "--update")
    assert tb.shell(["bash", "scripts/exec_test.sh"]).code == 0

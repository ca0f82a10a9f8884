"""The commands of the client about pipes, jobs and SQL."""

from __future__ import annotations

import json

import pytest
from flows.flow_server import Server
from flows.recorded import recorded_requests
from sample_project import PROJECT, ROWS
from tb_client import Tb


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


def new_pipe(server: Server, name: str, *nodes: str) -> None:
    """A pipe with the nodes first, second, … that publishes nothing."""
    names = ("first", "second", "third")
    content = {"name": name, "nodes": [{"name": a, "sql": b} for a, b in zip(names, nodes, strict=False)]}
    assert server.post("/v0/pipes", json=content).status_code == 200


def test_auth_writes_who_is_signed_in(signed_out_tb: Tb, server: Server) -> None:
    output = signed_out_tb("auth", "--host", server.url, "--token", server.admin_token)
    assert "Auth successful" in output
    written = json.loads((signed_out_tb.folder / ".tinyb").read_text("utf-8"))
    assert (written["host"], written["token"]) == (server.url, server.admin_token)
    assert server.admin_token not in signed_out_tb("auth", "info")


def test_auth_refuses_a_wrong_token(signed_out_tb: Tb, server: Server) -> None:
    output = signed_out_tb("auth", "--host", server.url, "--token", "p.wrong", code=1)
    assert f"Invalid token for {server.url}" in output
    assert not (signed_out_tb.folder / ".tinyb").exists()


def test_pipe_ls_lists_every_pipe_with_its_nodes(tb: Tb) -> None:
    output = tb("pipe", "ls")
    for name, nodes in (("top_users", 2), ("daily_mv", 1), ("totals_copy", 1), ("days", 2)):
        line = next(line for line in output.splitlines() if f"| {name} " in line)
        assert line.endswith(f"{nodes} |")


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        ((), ["| ann  |   5.5 |", "| bob  |     2 |", "Rows read: 4"]),
        (("--since", "2024-01-02 00:00:00"), ["| ann  |     4 |"]),
        (("--users", "bob,ann", "--query", "SELECT count() AS n FROM _"), ["| 2 |"]),
        (("--format", "csv"), ['"user","total"', '"ann",5.5']),
    ],
    ids=["plain", "parameter", "query", "csv"],
)
def test_pipe_data_prints_the_answer_of_an_endpoint(tb: Tb, arguments: tuple[str, ...], printed: list[str]) -> None:
    output = tb("pipe", "data", "top_users", *arguments)
    for text in printed:
        assert text in output


def test_pipe_data_shows_what_is_wrong_with_a_parameter(tb: Tb) -> None:
    output = tb("pipe", "data", "top_users", "--limit", "many", code=1)
    assert "Error validating 'many' to type Int32 (in node 'ranked' of pipe 'top_users', line 9)" in output


def test_an_endpoint_is_unpublished_and_published_again(tb: Tb, filled: Server) -> None:
    new_pipe(filled, "switched", "SELECT 1 AS a", "SELECT a + 1 AS b FROM first")
    assert filled.get("/v0/pipes/switched.json").status_code == 404
    tb("pipe", "publish", "switched")
    assert filled.get("/v0/pipes/switched.json").json()["data"] == [{"b": 2}]
    tb("pipe", "set_endpoint", "switched", "first")
    assert filled.get("/v0/pipes/switched.json").json()["data"] == [{"a": 1}]
    tb("pipe", "append", "switched", "SELECT 3 AS c")
    assert filled.get("/v0/pipes/switched.json").json()["data"] == [{"a": 1}]
    assert len(filled.get("/v0/pipes/switched").json()["nodes"]) == 3
    tb("pipe", "unpublish", "switched")
    assert filled.get("/v0/pipes/switched.json").status_code == 404
    assert filled.get("/v0/pipes/switched").json()["type"] == "default"


def test_unlinking_ends_a_view_and_a_copy_but_keeps_the_data(tb: Tb, filled: Server) -> None:
    files = {
        "datasources/river.datasource": "SCHEMA >\n    `id` UInt32\n",
        "datasources/lake.datasource": "SCHEMA >\n    `id` UInt32\n",
        "pipes/river_mv.pipe": "NODE n\nSQL >\n    SELECT id FROM river\n\nTYPE materialized\nDATASOURCE lake\n",
        "pipes/river_copy.pipe": "NODE n\nSQL >\n    SELECT id FROM river\n\nTYPE copy\nTARGET_DATASOURCE lake\n",
    }
    filled.deploy(files)
    for number, unlinked in enumerate(("river_mv", "river_copy"), 1):
        filled.post("/v0/events", params={"name": "river", "wait": "true"}, json={"id": number})
        assert filled.sql("SELECT id FROM lake") == [{"id": 1}]
        tb("pipe", "unlink", unlinked)
        assert filled.get(f"/v0/pipes/{unlinked}").json()["type"] == "default"


def test_a_view_is_populated(tb: Tb, filled: Server) -> None:
    before = filled.sql(
        "SELECT day, uniqMerge(users) AS users, sum(total) AS total FROM daily GROUP BY day ORDER BY day"
    )
    filled.post("/v0/datasources/daily/truncate")
    assert filled.sql("SELECT count() AS n FROM daily") == [{"n": 0}]
    tb("pipe", "populate", "daily_mv", "--node", "per_day", "--truncate", "--wait")
    after = filled.sql(
        "SELECT day, uniqMerge(users) AS users, sum(total) AS total FROM daily GROUP BY day ORDER BY day"
    )
    assert after == before
    assert len(after) == 2


def test_a_copy_is_run_in_its_mode_and_in_another(tb: Tb, filled: Server) -> None:
    for mode, rows in (((), 3), (("--mode", "append"), 6), (("--mode", "replace"), 3)):
        output = tb("pipe", "copy", "run", "totals_copy", "--wait", "--yes", *mode)
        assert "Data copied to 'user_totals'" in output
        assert filled.sql("SELECT count() AS n FROM user_totals") == [{"n": rows}]


def test_a_copy_takes_parameters(tb: Tb, filled: Server) -> None:
    files = {
        "datasources/numbers_kept.datasource": "SCHEMA >\n    `n` UInt32\n",
        "pipes/numbers_copy.pipe": "NODE n1\nSQL >\n    %\n    SELECT toUInt32({{ Int32(n, 1) }}) AS n\n\n"
        "TYPE copy\nTARGET_DATASOURCE numbers_kept\n",
    }
    filled.deploy(files)
    tb("pipe", "copy", "run", "numbers_copy", "--param", "n=42", "--wait", "--yes")
    assert filled.sql("SELECT n FROM numbers_kept") == [{"n": 42}]


def test_jobs_are_listed_and_shown(tb: Tb, filled: Server) -> None:
    job = filled.post("/v0/pipes/totals_copy/copy").json()["job"]
    assert filled.finished(job["job_id"])["status"] == "done"
    assert job["job_id"] in tb("job", "ls")
    assert job["job_id"] in tb("job", "ls", "-s", "done")
    assert job["job_id"] not in tb("job", "ls", "-s", "error")
    assert "copy" in tb("job", "details", job["job_id"])


def test_a_running_job_is_cancelled(tb: Tb, filled: Server) -> None:
    files = {
        "datasources/slow_kept.datasource": "SCHEMA >\n    `n` UInt64\n",
        "pipes/slow_copy.pipe": "NODE n1\nSQL >\n    SELECT max(cityHash64(number)) AS n FROM numbers(100000000000)\n\n"
        "TYPE copy\nTARGET_DATASOURCE slow_kept\n",
    }
    filled.deploy(files)
    job_id = filled.post("/v0/pipes/slow_copy/copy").json()["job"]["job_id"]
    assert "cancel" in tb("job", "cancel", job_id).lower()
    assert filled.finished(job_id)["status"] == "cancelled"
    assert filled.sql("SELECT count() AS n FROM slow_kept") == [{"n": 0}]


def test_a_job_that_does_not_exist_is_named(tb: Tb) -> None:
    assert "does not exist" in tb("job", "cancel", "no-such-job", code=1)


def test_sql_prints_rows_statistics_and_csv(tb: Tb) -> None:
    assert "| ann " in tb("sql", "SELECT user FROM events WHERE value = 4")
    with_statistics = tb("sql", "SELECT count() AS n FROM events", "--stats")
    assert "Query took" in with_statistics
    assert "| 4 |" in with_statistics
    csv = tb("sql", "SELECT user, value FROM events ORDER BY value LIMIT 1", "--format", "csv")
    assert csv.split() == ['"user","value"', '"ann",1.5']
    assert "No rows" in tb("sql", "SELECT user FROM events WHERE value = -1")


def test_sql_reads_the_nodes_of_a_pipe(tb: Tb) -> None:
    assert "| 3 |" in tb("sql", "--pipeline", "top_users", "SELECT count() AS n FROM only_people")


def test_a_long_query_is_posted(tb: Tb) -> None:
    values = ", ".join(str(number) for number in range(1_500))
    assert "| 1500 |" in tb("sql", f"SELECT length([{values}]) AS n")


def test_sql_shows_what_is_wrong(tb: Tb) -> None:
    assert "Resource 'evnts' not found. Did you mean 'events'?" in tb("sql", "SELECT * FROM evnts", code=1)


def test_dependencies_are_shown_as_a_tree(tb: Tb) -> None:
    lines = [line.removeprefix("** ") for line in tb("dependencies", "--datasource", "events").splitlines()]
    assert lines[0] == "events"
    assert {"--- daily_mv", "--- hourly_mv", "--- top_users", "--- totals_copy"} <= set(lines)


def test_the_token_of_a_pipe_is_read(tb: Tb, filled: Server) -> None:
    token = filled.get("/v0/tokens/top_users_read").json()["token"]
    printed = tb("pipe", "token_read", "top_users").split()[-1]
    assert printed[-8:] == token[-8:]


def test_a_pipe_is_removed_unless_another_reads_it(tb: Tb, filled: Server) -> None:
    new_pipe(filled, "lower", "SELECT 1 AS a")
    new_pipe(filled, "upper", "SELECT a FROM lower")
    assert "is used by: upper" in tb("pipe", "rm", "lower", "--yes", code=1)
    tb("pipe", "rm", "upper", "--yes")
    tb("pipe", "rm", "lower", "--yes")
    assert filled.get("/v0/pipes/lower").status_code == 404
    assert "'lower' pipe does not exist" in tb("pipe", "rm", "lower", "--yes", code=1)


def test_pipe_stats_counts_requests_and_errors(tb: Tb, filled: Server) -> None:
    content = {"name": "counted", "nodes": [{"name": "n", "sql": "%\nSELECT {{ Int32(n, required=True) }} AS n"}]}
    filled.post("/v0/pipes", json=content)
    filled.post("/v0/pipes/counted/nodes/n/endpoint")
    for query in ("n=1", "n=2", "n=x"):
        filled.get(f"/v0/pipes/counted.json?{query}")
    recorded_requests(filled, "counted", 3)
    shown = json.loads(tb("pipe", "stats", "counted", "--format", "json"))
    found = next(each for each in shown["pipes"] if each["name"] == "counted")
    assert (found["requests"], found["errors"]) == (3, 1)

"""Workspaces and branches with the official client: made, chosen, filled, told apart, and removed."""

from __future__ import annotations

import json

import pytest
from flows.flow_server import Server
from tb_client import Tb

PROJECT = {
    "datasources/visits.datasource": """\
SCHEMA >
    `day` Date `json:$.day`,
    `n` UInt32 `json:$.n`

ENGINE MergeTree
ENGINE_PARTITION_KEY toYYYYMM(day)
ENGINE_SORTING_KEY day
""",
    "pipes/visits_total.pipe": "NODE total\nSQL >\n    SELECT sum(n) AS n FROM visits\n\nTYPE ENDPOINT\n",
}
ROWS = b'{"day": "2024-01-05", "n": 1}\n{"day": "2024-02-05", "n": 10}\n{"day": "2024-03-05", "n": 100}\n'


@pytest.fixture
def user_token(server: Server) -> str:
    return str(server.get("/tokens").json()["user_token"])


@pytest.fixture
def tb(signed_out_tb: Tb, server: Server, user_token: str) -> Tb:
    """Signed in by a file, as the user: `use` changes it."""
    signed_out_tb("auth", "--host", server.url, "--token", user_token)
    return signed_out_tb


def current(tb: Tb) -> tuple[str, str]:
    """The name of the workspace that the folder is signed in to, and its token."""
    written = json.loads((tb.folder / ".tinyb").read_text("utf-8"))
    return written["name"], written["token"]


def answer(server: Server, tb: Tb) -> list[dict[str, object]]:
    found: list[dict[str, object]] = server.get("/v0/pipes/visits_total.json", token=current(tb)[1]).json()["data"]
    return found


def test_workspaces_are_created_used_listed_cleared_and_deleted(tb: Tb, server: Server, user_token: str) -> None:
    tb("workspace", "create", "shop", "--user_token", user_token)
    assert all(name in tb("workspace", "ls") for name in ("local", "shop"))
    tb("workspace", "use", "shop")
    assert current(tb)[0] == "shop"
    tb.write(PROJECT)
    tb("push")
    assert "visits" in tb("datasource", "ls")
    tb("workspace", "use", "local")
    assert "visits" not in tb("datasource", "ls")
    assert "shop" not in tb("workspace", "current")
    tb("workspace", "use", "shop")
    tb("workspace", "clear", "--yes")
    assert "visits" not in tb("datasource", "ls")
    tb("workspace", "use", "local")
    output = tb("workspace", "delete", "shop", "--user_token", user_token, "--yes")
    assert "shop" in output
    assert "shop" not in tb("workspace", "ls")


def test_a_workspace_needs_the_user_token_and_a_name_of_its_own(tb: Tb, server: Server, user_token: str) -> None:
    refused = tb("workspace", "create", "other", "--user_token", server.admin_token, code=1)
    assert "user token" in refused
    assert "already a workspace 'local'" in tb("workspace", "create", "local", "--user_token", user_token, code=1)
    assert "starts with" in tb("workspace", "delete", "local", "--user_token", user_token, "--yes", code=1)


def test_a_starter_kit_which_would_come_from_elsewhere_is_refused(filled: Tb, user_token: str) -> None:
    name, user = f"{current(filled)[0]}_kit", ("--user_token", user_token)
    kit = filled.run("workspace", "create", name, "--starter_kit", "web-analytics", *user)
    assert "Traceback" not in kit.output
    assert name not in filled("workspace", "ls")


def test_members_are_added_listed_changed_and_removed(tb: Tb, server: Server, user_token: str) -> None:
    """Each has a token of the name `member EMAIL`, which may what the role says."""
    name, user = "ann@example.com", ("--user_token", user_token)
    tb("workspace", "members", "add", name, "--role", "viewer", *user)
    assert name in tb("workspace", "members", "ls")
    found = server.get(f"/v0/tokens/member {name}", token=user_token).json()
    assert [scope["type"] for scope in found["scopes"]] == ["WORKSPACE:READ_ALL"]
    assert server.get("/v0/datasources", token=found["token"]).status_code == 200
    tb("workspace", "members", "set-role", "admin", name, *user)
    assert [each["type"] for each in server.get(f"/v0/tokens/member {name}").json()["scopes"]] == ["ADMIN"]
    tb("workspace", "members", "rm", name, *user)
    assert name not in tb("workspace", "members", "ls")
    assert server.get("/v0/workspace", token=found["token"]).status_code == 403


@pytest.fixture
def filled(tb: Tb, server: Server, user_token: str) -> Tb:
    """A workspace of this test with rows in three months."""
    name = f"main_{abs(hash(tb.folder)) % 10**8}"
    tb("workspace", "create", name, "--user_token", user_token)
    tb("workspace", "use", name)
    tb.write(PROJECT)
    tb("push")
    posted = server.post("/v0/events", params={"name": "visits", "wait": "true"}, content=ROWS, token=current(tb)[1])
    assert posted.status_code == 200
    return tb


@pytest.mark.parametrize(
    ("options", "total"), [((), 0), (("--last-partition",), 100), (("--all",), 111), (("--all", "-i", "visits"), 0)]
)
def test_a_branch_has_the_resources_and_the_rows_it_is_asked_for(
    filled: Tb, server: Server, options: tuple[str, ...], total: int
) -> None:
    main, main_token = current(filled)
    branch = f"{main}_b"
    filled("branch", "create", branch, *options)
    name, token = current(filled)
    assert name == branch and token != main_token
    assert answer(server, filled) == [{"n": total}]
    assert branch in filled("branch", "ls") and branch in filled("branch", "current")
    assert server.get("/v0/workspace", token=token).json()["main"]
    filled("branch", "use", "main")
    assert current(filled)[0] == main
    filled("branch", "rm", branch, "--yes")
    assert branch not in filled("branch", "ls")
    assert server.get("/v0/workspace", token=token).status_code == 403
    assert answer(server, filled) == [{"n": 111}]


def test_what_is_changed_in_a_branch_stays_there(filled: Tb, server: Server) -> None:
    main, main_token = current(filled)
    filled("branch", "create", f"{main}_b", "--all")
    token = current(filled)[1]
    filled.write({"pipes/visits_total.pipe": PROJECT["pipes/visits_total.pipe"].replace("sum(n)", "max(n)")})
    filled("push", "pipes/visits_total.pipe", "--force", "--no-check")
    posted = server.post("/v0/events", params={"name": "visits", "wait": "true"}, content=ROWS, token=token)
    assert posted.status_code == 200
    assert answer(server, filled) == [{"n": 100}]
    url = "/v0/sql?q=SELECT count() AS rows FROM visits FORMAT JSON"
    assert server.get(url, token=token).json()["data"] == [{"rows": 6}]
    assert server.get(url, token=main_token).json()["data"] == [{"rows": 3}]
    assert server.get("/v0/pipes/visits_total.json", token=main_token).json()["data"] == [{"n": 111}]


def test_a_branch_gets_rows_of_main_later_on(filled: Tb, server: Server) -> None:
    main, main_token = current(filled)
    filled("branch", "create", f"{main}_b")
    more = {"params": {"name": "visits", "wait": "true"}, "content": ROWS, "token": main_token}
    assert server.post("/v0/events", **more).status_code == 200  # type: ignore[arg-type]
    filled("branch", "data", "--last-partition", "--wait")
    assert answer(server, filled) == [{"n": 200}]
    filled("branch", "data", "--all", "--wait")
    assert answer(server, filled) == [{"n": 222}]


OF_DAY = """\
NODE total
SQL >
    %
    SELECT sum(n) AS n, toStartOfMonth(day) AS month FROM visits
    WHERE day >= {{ Date(since, '2024-01-01') }} GROUP BY month ORDER BY month

TYPE ENDPOINT
"""


@pytest.fixture
def asked(filled: Tb, server: Server) -> Tb:
    """In a branch of a workspace that has answered requests to the endpoint `by_month`."""
    main, token = current(filled)
    filled.write({"pipes/by_month.pipe": OF_DAY})
    filled("push", "pipes/by_month.pipe")
    for since in ("2024-01-01", "2024-02-01", "2024-03-01"):
        assert server.get("/v0/pipes/by_month.json", params={"since": since}, token=token).status_code == 200
    assert server.get("/v0/pipes/by_month.json", token=token).status_code == 200
    filled("branch", "create", f"{main}_b", "--all")
    return filled


@pytest.mark.parametrize(
    ("command", "run"),
    [
        (("coverage", "by_month"), 2),
        (("last", "by_month", "--limit", "3"), 3),
        (("manual", "by_month", "--since", "2024-02-02"), 1),
        (("coverage",), 2),
    ],
)
def test_a_branch_like_main_passes_its_regression_tests(asked: Tb, command: tuple[str, ...], run: int) -> None:
    output = asked("branch", "regression-tests", *command, "--wait")
    assert f"{run} of {run} requests passed" in output


def test_a_changed_endpoint_fails_and_says_where(asked: Tb) -> None:
    """Rows of main, or those that the branch has: with `--main` what is missing in the branch makes no difference."""
    asked("datasource", "truncate", "visits", "--yes")
    output = asked("branch", "regression-tests", "coverage", "by_month", "--wait", code=1)
    assert "The main workspace answers 3 rows, the branch 0" in output and "since=" in output
    assert "2 of 2" in asked("branch", "regression-tests", "coverage", "by_month", "--main", "--wait")
    asked.write({"pipes/by_month.pipe": OF_DAY.replace("sum(n)", "sum(n) * 2")})
    asked("push", "pipes/by_month.pipe", "--force", "--no-check")
    output = asked("branch", "regression-tests", "coverage", "by_month", "--main", "--wait", code=1)
    assert "column 'n'" in output
    options = ("--no-assert-result", "--main", "--wait")
    assert "2 of 2" in asked("branch", "regression-tests", "coverage", "by_month", *options)


def test_regression_tests_are_read_from_a_file(asked: Tb) -> None:
    asked.write(
        {"tests/regression.yaml": "- pipe: 'by_.*'\n  tests:\n    - last:\n        limit: 2\n    - coverage:\n"}
    )
    output = asked("branch", "regression-tests", "-f", "tests/regression.yaml", "--wait")
    assert output.count("2 of 2 requests passed") == 2


def test_a_branch_of_a_branch_is_refused(filled: Tb) -> None:
    main = current(filled)[0]
    filled("branch", "create", f"{main}_b")
    refused = filled.run("branch", "create", f"{main}_c")
    assert refused.code == 1 and "Traceback" not in refused.output


def test_a_deleted_workspace_takes_its_branches_along(filled: Tb, server: Server, user_token: str) -> None:
    main = current(filled)[0]
    filled("branch", "create", f"{main}_b", "--all")
    token = current(filled)[1]
    filled("branch", "use", "main")
    filled("workspace", "use", "local")
    filled("workspace", "delete", main, "--user_token", user_token, "--yes")
    assert main not in filled("workspace", "ls")
    assert server.get("/v0/workspace", token=token).status_code == 403


def test_a_branch_copies_rows_of_a_data_source_of_main(filled: Tb, server: Server) -> None:
    main, main_token = current(filled)
    filled("branch", "create", f"{main}_b")
    token = current(filled)[1]
    filled("branch", "datasource", "copy", "visits", "--sql-from-main", "--wait")
    assert answer(server, filled) == [{"n": 111}]
    filled("branch", "datasource", "copy", "visits", "--sql", "SELECT day, n FROM main.visits WHERE n = 10", "--wait")
    assert answer(server, filled) == [{"n": 121}]
    assert server.get("/v0/pipes/visits_total.json", token=main_token).json()["data"] == [{"n": 111}]

    def refusal(token: str, sql: str, path: str = "/v0/sql_copy") -> str:
        answer = server.post(path, params={"copy_to": "visits"}, data={"q": sql}, token=token)
        assert answer.status_code in (400, 403, 404), answer.text
        return str(answer.json()["error"])

    reads = "SELECT * FROM main.visits"
    author = server.post("/v0/tokens", params={"name": "author", "scope": "DATASOURCES:CREATE"}, token=token).json()
    assert "administer" in refusal(author["token"], reads)
    assert "'main.visits' not found" in refusal(main_token, reads)
    assert "'main.visits' not found" in refusal(token, f"{reads} FORMAT JSON", "/v0/sql")
    assert "'other' not found" in refusal(token, "SELECT * FROM main.other")
    assert refusal(token, f"SELECT * FROM {main}.visits")

"""Sharing a data source with another workspace, with the official client: by command, by datafile, and by a fork."""

from __future__ import annotations

import json

import pytest
from flows.flow_server import Server
from tb_client import Tb

VISITS = (
    "SCHEMA >\n    `day` Date `json:$.day`,\n    `n` UInt32 `json:$.n`\n\nENGINE MergeTree\nENGINE_SORTING_KEY day\n"
)
ROWS = b'{"day": "2024-01-05", "n": 1}\n{"day": "2024-02-05", "n": 10}\n'
READS = "NODE n\nSQL >\n    SELECT sum(n) AS n FROM {}.visits\n\nTYPE ENDPOINT\n"


@pytest.fixture
def user(server: Server) -> tuple[str, str]:
    return "--user_token", str(server.get("/tokens").json()["user_token"])


@pytest.fixture
def tb(signed_out_tb: Tb, server: Server, user: tuple[str, str]) -> Tb:
    """Signed in, in a workspace of this test that has `visits` with rows."""
    tb = signed_out_tb
    tb("auth", "--host", server.url, "--token", user[1])
    origin = f"origin_{abs(hash(tb.folder)) % 10**8}"
    for name in (origin, f"{origin}_reader"):
        tb("workspace", "create", name, *user)
    tb("workspace", "use", origin)
    tb.write({"datasources/visits.datasource": VISITS})
    tb("push")
    server.post("/v0/events", params={"name": "visits", "wait": "true"}, content=ROWS, token=current(tb)[1])
    return tb


def current(tb: Tb) -> tuple[str, str]:
    written = json.loads((tb.folder / ".tinyb").read_text("utf-8"))
    return written["name"], written["token"]


def listed(tb: Tb) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(tb("datasource", "ls", "--format", "json"))["datasources"]
    return found


def test_what_is_shared_is_listed_read_pulled_and_taken_back(tb: Tb, server: Server, user: tuple[str, str]) -> None:
    origin = current(tb)[0]
    reader = f"{origin}_reader"
    assert "correctly shared" in tb("datasource", "share", "visits", reader, *user, "--yes")
    tb("workspace", "use", reader)
    (seen,) = listed(tb)
    assert (seen["shared from"], seen["name"], seen["row_count"]) == (origin, "visits", 2)
    assert '"n": 11' in tb("sql", f"SELECT sum(n) AS n FROM {origin}.visits", "--format", "json")
    (tb.folder / "datasources" / "visits.datasource").unlink()
    tb.write({"pipes/total_visits.pipe": READS.format(origin)})
    tb("push", "pipes/total_visits.pipe")
    answer = server.get("/v0/pipes/total_visits.json", token=current(tb)[1]).json()
    assert answer["data"] == [{"n": 11}]
    tb("pull", "--force", "--auto")
    pulled = (tb.folder / "vendor" / origin / "datasources" / "visits.datasource").read_text("utf-8")
    assert "`n` UInt32" in pulled and "SHARED_WITH" not in pulled
    tb("push", "--force", "--yes")
    tb("workspace", "use", origin)
    refused = tb("datasource", "unshare", "visits", reader, *user, "--yes", code=1)
    assert f"{reader}.total_visits" in refused
    server.delete("/v0/pipes/total_visits", token=token_of(server, reader, user[1]))
    assert "correctly unshared" in tb("datasource", "unshare", "visits", reader, *user, "--yes")
    tb("workspace", "use", reader)
    assert listed(tb) == []


def token_of(server: Server, workspace: str, user_token: str) -> str:
    found = server.get("/v0/user/workspaces", token=user_token).json()["workspaces"]
    return next(str(each["token"]) for each in found if each["name"] == workspace)


def test_a_datafile_says_with_whom_it_is_shared(tb: Tb, server: Server, user: tuple[str, str]) -> None:
    origin = current(tb)[0]
    reader = f"{origin}_reader"
    push = ("push", "datasources/visits.datasource", "--force", "--yes", *user)
    tb.write({"datasources/visits.datasource": f"{VISITS}\nSHARED_WITH >\n    {reader}\n"})
    assert "correctly shared" in tb(*push)
    tb("pull", "--force", "--auto")
    assert f"SHARED_WITH >\n    {reader}" in (tb.folder / "datasources" / "visits.datasource").read_text("utf-8")
    tb.write({"datasources/visits.datasource": VISITS})
    assert "correctly unshared" in tb(*push)
    assert server.get("/v0/datasources/visits", token=current(tb)[1]).json()["shared_with"] == []


def test_a_fork_reads_the_data_sources_of_its_origin(tb: Tb, server: Server, user: tuple[str, str]) -> None:
    origin = current(tb)[0]
    fork = f"{origin}_fork"
    tb("workspace", "create", fork, "--fork", *user)
    tb("workspace", "use", fork)
    assert [(each["shared from"], each["name"]) for each in listed(tb)] == [(origin, "visits")]


def test_sharing_takes_the_user_token_and_a_workspace_that_is_there(
    tb: Tb, server: Server, user: tuple[str, str]
) -> None:
    admin = server.admin_token
    reader = f"{current(tb)[0]}_reader"
    for tokens, to in ((("--user_token", admin), reader), (user, "nowhere")):
        for command in ("share", "unshare"):
            refused = tb.run("datasource", command, "visits", to, *tokens, "--yes")
            assert refused.code == 1 and "Traceback" not in refused.output

from __future__ import annotations

from collections.abc import Iterator

import pytest
from commands import Commands
from flows.flow_server import Server, running_server

EVENTS = """TOKEN "app" APPEND

SCHEMA >
    `at` DateTime `json:$.at`,
    `user` String `json:$.user`
"""
TOP = """TOKEN "app" READ

NODE counted
SQL >
    SELECT user, count() AS events FROM events GROUP BY user

NODE first
SQL >
    %
    SELECT * FROM counted LIMIT {{Int32(n,10)}}
"""
COPY = "NODE n\nSQL >\n    SELECT at, user FROM events\n\nTYPE copy\nTARGET_DATASOURCE kept\n"
PROJECT = {
    "project/datasources/events.datasource": EVENTS,
    "project/datasources/kept.datasource": "VERSION 2\nSCHEMA >\n    at DateTime, user String\n",
    "project/pipes/top.pipe": TOP,
    "project/pipes/keep.pipe": COPY.replace("kept", "kept__v2"),
    "project/tokens/page.token": "SCOPE DATASOURCES:READ\nRESOURCE events\nFILTER user = 'a'\n",
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    with (
        running_server(tmp_path_factory.mktemp("staging") / "data") as staging,
        running_server(tmp_path_factory.mktemp("production") / "data") as production,
    ):
        yield staging, production


@pytest.fixture
def both(birdhouse: Commands, servers: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch) -> Commands:
    """The project is deployed to `staging`, which is TB_HOST, and to `production`."""
    staging, production = servers
    birdhouse.write(PROJECT)
    for name, server in (("_STAGING", staging), ("_PRODUCTION", production), ("", staging)):
        monkeypatch.setenv(f"TB_HOST{name}", server.url)
        monkeypatch.setenv(f"TB_TOKEN{name}", server.admin_token)
    for server in servers:
        for pipe in [each["name"] for each in server.get("/v0/pipes").json()["pipes"]]:
            server.delete(f"/v0/pipes/{pipe}")
        for source in [each["name"] for each in server.get("/v0/datasources").json()["datasources"]]:
            server.delete(f"/v0/datasources/{source}", params={"force": "true"})
    birdhouse("deploy", "project", "--host", "staging")
    birdhouse("deploy", "project", "--host", "production")
    return birdhouse


def test_what_is_deployed_is_no_difference(both: Commands) -> None:
    assert both("diff", "project").endswith(" and project: no difference in 6 resources\n")
    assert "no difference" in both("diff", "production", "project")
    assert "no difference" in both("diff", "staging", "production")
    assert both.json("diff", "staging", "production") == {"from": "staging", "to": "production", "changes": []}


def test_layout_and_what_goes_without_saying_are_no_difference(both: Commands) -> None:
    both("fmt", "project")
    text = both.read("project/pipes/keep.pipe")
    both.write({
        "project/pipes/keep.pipe": f"{text}COPY_MODE append\nCOPY_SCHEDULE @on-demand\n",
        "project/pipes/top.pipe": both.read("project/pipes/top.pipe") + "TYPE endpoint\n",
    })  # fmt: skip
    both("diff", "project")


def test_changes_are_shown_as_text(both: Commands) -> None:
    (both.folder / "project/pipes/keep.pipe").unlink()
    both.write({
        "project/datasources/events.datasource": EVENTS.replace("user` String", "user` LowCardinality(String)"),
        "project/pipes/new.pipe": "NODE n\nSQL >\n    SELECT 1 AS one\n",
    })  # fmt: skip
    printed = both("diff", "project", code=1)
    assert "-    `user` String `json:$.user`\n+    `user` LowCardinality(String) `json:$.user`\n" in printed
    assert "+    SELECT 1 AS one\n" in printed
    assert "-TARGET_DATASOURCE kept__v2\n" in printed
    assert printed.endswith("project: 1 added, 1 removed, 1 changed\n")
    assert both("diff", "project", "--name-only", code=1).splitlines()[:3] == [
        "changed  datasources/events.datasource",
        "removed  pipes/keep.pipe",
        "added    pipes/new.pipe",
    ]
    changes = both.json("diff", "project", code=1)["changes"]
    assert [(each["path"], each["change"]) for each in changes][:1] == [("datasources/events.datasource", "changed")]


def test_drift_between_servers_covers_endpoints_and_tokens(both: Commands, servers: tuple[Server, Server]) -> None:
    _, production = servers
    nodes = {node["name"]: node["id"] for node in production.get("/v0/pipes/top").json()["nodes"]}
    assert production.post(f"/v0/pipes/top/nodes/{nodes['counted']}/endpoint").status_code == 200
    token = next(each for each in production.get("/v0/tokens").json()["tokens"] if each["name"] == "page")
    assert production.put(f"/v0/tokens/{token['id']}", params={"scope": "DATASOURCES:READ:events"}).status_code == 200
    printed = both("diff", "staging", "production", code=1)
    assert "-# endpoint: first\n+# endpoint: counted\n" in printed
    assert "-FILTER user = 'a'\n" in printed
    assert production.token("extra", "PIPES:READ:top")
    assert "added    tokens/extra.token" in both("diff", "staging", "production", "--name-only", code=1)
    assert "tokens/extra" not in both("diff", "production", "project", "--name-only", code=1)


def test_what_cannot_be_compared_exits_with_two(both: Commands) -> None:
    both("diff", "stagin", code=2)
    assert "There is no server 'stagin'\n  Did you mean staging?" in both.error
    both("diff", "http://127.0.0.1:9", "project", code=2)
    assert "does not answer" in both.error
    both.write({"project/pipes/bad.pipe": "NOD x\n"})
    both("diff", "project", code=2)
    assert "Unknown directive NOD" in both.error


def test_a_token_is_sent_to_its_own_server_alone(both: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TB_TOKEN_PRODUCTION")
    monkeypatch.setenv("TB_TOKEN", "p.wrong")
    both("diff", "project", code=2)  # TB_HOST gets it
    assert "invalid authentication token" in both.error
    both("diff", "production", "project")  # and another server does not: it was asked for its own

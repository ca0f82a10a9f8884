"""Data sources that another workspace may read: who sees them, who does not, and what nobody can do to them there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from flow_server import Server, running_server

VISITS = """\
SCHEMA >
    `site` String `json:$.site`,
    `n` UInt32 `json:$.n`

ENGINE MergeTree
ENGINE_SORTING_KEY site
"""
ROWS = '{"site": "a", "n": 1}\n{"site": "b", "n": 10}\n{"site": "b", "n": 100}\n'
TOTALS = "NODE n\nSQL >\n    SELECT site, sum(n) AS n FROM shop.visits GROUP BY site ORDER BY site\n\nTYPE ENDPOINT\n"
SITES = [{"site": "a", "n": 1}, {"site": "b", "n": 110}]


@dataclass
class Home:
    """The workspace `shop` has the data source `visits`; `reader` is another one."""

    server: Server
    user: str
    shop: dict[str, str]
    reader: dict[str, str]

    @property
    def visits_id(self) -> str:
        return str(self.server.get("/v0/datasources/visits", token=self.shop["token"]).json()["id"])

    def share(self, method: str = "POST", *, to: str = "", token: str | None = None, **form: str) -> httpx.Response:
        values = {"origin_workspace_id": self.shop["id"], "destination_workspace_id": to or self.reader["id"], **form}
        path = f"/v0/datasources/{self.visits_id}/share"
        return self.server.request(method, path, data=values, token=self.user if token is None else token)

    def deploy(self, files: dict[str, str], token: str) -> httpx.Response:
        return self.server.post("/v0/deployments", json={"files": files}, token=token)

    def query(self, sql: str, token: str) -> httpx.Response:
        return self.server.get("/v0/sql", params={"q": f"{sql} FORMAT JSON"}, token=token)


def workspace(server: Server, name: str, user: str) -> dict[str, str]:
    made = server.post("/v0/workspaces", params={"name": name}, token=user)
    assert made.status_code == 200, made.text
    tokens = server.get("/v0/tokens", token=made.json()["token"]).json()["tokens"]
    admin = next(each for each in tokens if each["name"] == "workspace admin token")
    return {"id": made.json()["id"], "token": admin["token"]}


def filled_home(server: Server) -> Home:
    user = str(server.get("/tokens").json()["user_token"])
    home = Home(server, user, workspace(server, "shop", user), workspace(server, "reader", user))
    home.deploy({"datasources/visits.datasource": VISITS}, home.shop["token"])
    posted = server.post(
        "/v0/events", params={"name": "visits", "wait": "true"}, content=ROWS, token=home.shop["token"]
    )
    assert posted.status_code == 200
    return home


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("shares") / "data") as server:
        yield server


@pytest.fixture
def home(alone: Server) -> Iterator[Home]:
    home = filled_home(alone)
    yield home
    for each in (home.reader, home.shop):
        alone.delete(f"/v0/workspaces/{each['id']}", token=home.user)


@pytest.fixture
def shared(home: Home) -> Home:
    assert home.share().json()["name"] == "shop.visits"
    return home


def test_it_is_read_like_a_data_source_of_ones_own(shared: Home) -> None:
    server, token = shared.server, shared.reader["token"]
    deployed = shared.deploy({"pipes/per_site.pipe": TOTALS}, token)
    assert deployed.status_code == 200, deployed.text
    assert server.get("/v0/pipes/per_site.json", token=token).json()["data"] == SITES
    assert shared.query("SELECT sum(n) AS n FROM shop.visits", token).json()["data"] == [{"n": 111}]
    listed = server.get("/v0/datasources", token=token).json()["datasources"]
    (found,) = [each for each in listed if each["name"] == "shop.visits"]
    assert (found["statistics"]["row_count"], found["id"]) == (3, shared.visits_id)
    assert [each["name"] for each in found["used_by"]] == ["per_site"]
    assert server.get("/v0/datasources/shop.visits", token=token).json()["name"] == "shop.visits"
    assert "SHARED_WITH" not in server.get("/v0/datasources/shop.visits.datasource", token=token).text
    own = server.get("/v0/datasources/visits", token=shared.shop["token"]).json()
    assert own["shared_with"] == [shared.reader["id"]]
    text = server.get("/v0/datasources/visits.datasource", token=shared.shop["token"]).text
    assert "SHARED_WITH >\n    reader" in text


def test_a_copy_brings_it_over_and_a_view_cannot_wait_for_it(shared: Home) -> None:
    token = shared.reader["token"]
    node = TOTALS.replace("TYPE ENDPOINT\n", "")
    mine = {"datasources/mine.datasource": VISITS.replace("UInt32", "UInt64")}
    copy = f"{node}TYPE COPY\nTARGET_DATASOURCE mine\n"
    assert shared.deploy({**mine, "pipes/bring.pipe": copy}, token).status_code == 200
    started = shared.server.post("/v0/pipes/bring/copy", token=token).json()
    assert shared.server.finished(started["job"]["job_id"], token=token)["status"] == "done"
    assert shared.query("SELECT site, n FROM mine ORDER BY site", token).json()["data"] == [
        {"site": "a", "n": 1}, {"site": "b", "n": 110}
    ]  # fmt: skip
    view = f"{node}TYPE MATERIALIZED\nDATASOURCE mine\n"
    refused = shared.deploy({**mine, "pipes/view.pipe": view}, token)
    assert refused.status_code == 400
    assert "'shop.visits', a data source of another workspace" in refused.text and "TYPE COPY" in refused.text


def test_nobody_else_reads_it(shared: Home) -> None:
    """A scope on a data source of the same name says nothing about the shared one."""
    server, token = shared.server, shared.reader["token"]
    shared.deploy({"datasources/visits.datasource": VISITS, "pipes/per_site.pipe": TOTALS}, token)
    scoped = [
        server.post("/v0/tokens", params=[("name", name), ("scope", scope)], token=token).json()["token"]
        for name, scope in (("own", "DATASOURCES:READ:visits"), ("endpoint", "PIPES:READ:per_site"))
    ]
    claims = {"name": "j", "expiration_time": 4_000_000_000}
    body = {"scopes": [{"type": "DATASOURCES:READ", "resource": "visits"}]}
    jwt = server.post("/v0/tokens", params=claims, json=body, token=token).json()["token"]
    for each in (*scoped, jwt, server.admin_token):
        answer = shared.query("SELECT * FROM shop.visits", each)
        assert answer.status_code in (400, 403), answer.text
        listed = server.get("/v0/datasources", token=each).json().get("datasources", [])
        assert "shop.visits" not in [found["name"] for found in listed]
        assert server.get(f"/v0/datasources/{shared.visits_id}", token=each).status_code in (403, 404)
    assert server.get("/v0/pipes/per_site.json", token=scoped[1]).json()["data"] == SITES
    assert shared.query("SELECT * FROM shop.visits_quarantine", token).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("POST", "/v0/events", {"params": {"name": "shop.visits", "wait": "true"}, "content": ROWS}),
        ("POST", "/v0/datasources", {"params": {"name": "shop.visits", "mode": "append"}, "content": "a,1\n"}),
        ("POST", "/v0/datasources/shop.visits/truncate", {}),
        ("POST", "/v0/datasources/shop.visits/delete", {"data": {"delete_condition": "1"}}),
        ("POST", "/v0/datasources/shop.visits/alter", {"data": {"schema": "site String, n UInt32, more String"}}),
        ("POST", "/v0/datasources/exchange", {"data": {"datasource_a": "shop.visits", "datasource_b": "shop.visits"}}),
        ("PUT", "/v0/datasources/shop.visits", {"data": {"name": "mine"}}),
        ("DELETE", "/v0/datasources/shop.visits", {"params": {"force": "true"}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_it_can_only_be_read_there(shared: Home, method: str, path: str, options: dict[str, object]) -> None:
    for each in (path, path.replace("shop.visits", shared.visits_id)):
        said = json.loads(json.dumps(options).replace("shop.visits", shared.visits_id)) if each != path else options
        answer = shared.server.request(method, each, token=shared.reader["token"], **said)
        assert answer.status_code in (400, 404, 409), answer.text
    assert shared.query("SELECT count() AS n FROM visits", shared.shop["token"]).json()["data"] == [{"n": 3}]


def test_it_stays_while_it_is_read_elsewhere(shared: Home) -> None:
    server, token = shared.server, shared.reader["token"]
    shared.deploy({"pipes/per_site.pipe": TOTALS}, token)
    for answer in (
        shared.share("DELETE"),
        server.delete("/v0/datasources/visits", params={"force": "true"}, token=shared.shop["token"]),
        server.put("/v0/datasources/visits", data={"name": "views"}, token=shared.shop["token"]),
        server.delete(f"/v0/workspaces/{shared.shop['id']}", token=shared.user),
    ):
        assert answer.status_code == 409, answer.text
        assert "reader.per_site" in answer.json()["error"]
    server.delete("/v0/pipes/per_site", token=token)
    assert shared.share("DELETE").status_code == 200
    unknown = shared.query("SELECT * FROM shop.visits", token)
    assert unknown.status_code == 400 and "tb datasource share visits reader" in unknown.text


def test_a_new_column_and_a_new_name_are_seen_at_once(shared: Home) -> None:
    server, token = shared.server, shared.reader["token"]
    assert shared.query("SELECT * FROM shop.visits LIMIT 1", token).json()["data"][0].keys() == {"site", "n"}
    wider = VISITS.replace("`json:$.n`", "`json:$.n`,\n    `more` String `json:$.more` DEFAULT 'x'")
    shared.deploy({"datasources/visits.datasource": wider}, shared.shop["token"])
    assert shared.query("SELECT * FROM shop.visits LIMIT 1", token).json()["data"][0]["more"] == "x"
    assert "more" in server.get("/v0/datasources/shop.visits", token=token).json()["schema"]["sql_schema"]
    server.put("/v0/datasources/visits", data={"name": "views"}, token=shared.shop["token"])
    assert shared.query("SELECT sum(n) AS n FROM shop.views", token).json()["data"] == [{"n": 111}]


def test_a_branch_reads_what_its_main_workspace_may_read(shared: Home) -> None:
    server, token = shared.server, shared.reader["token"]
    shared.deploy({"pipes/per_site.pipe": TOTALS}, token)
    made = server.post("/v0/environments", params={"name": "reader_b"}, token=token).json()
    job = made.get("job", {}).get("id")
    if job:
        server.finished(job, token=token)
    listed = server.get("/v0/user/workspaces", token=shared.user).json()["workspaces"]
    branch = next(each for each in listed if each["name"] == "reader_b")
    assert server.get("/v0/pipes/per_site.json", token=branch["token"]).json()["data"] == SITES
    assert "is a branch" in shared.share(to=branch["id"]).text


@pytest.mark.parametrize(
    ("form", "token", "said"),
    [
        ({}, "admin", "user token"),
        ({"destination_workspace_id": "nowhere"}, "user", "'nowhere' not found"),
        ({"destination_workspace_id": ""}, "user", "destination_workspace_id"),
        ({"destination_workspace_id": "shop"}, "user", "already"),
        ({"origin_workspace_id": "nowhere"}, "user", "'nowhere' not found"),
    ],
)
def test_what_cannot_be_shared_is_said(home: Home, form: dict[str, str], token: str, said: str) -> None:
    answer = home.share(token=home.shop["token"] if token == "admin" else home.user, **form)
    assert answer.status_code in (400, 403, 404) and said in answer.text, answer.text


def test_a_deployment_shares_for_a_person_and_says_what_a_program_cannot(home: Home) -> None:
    file = {"datasources/visits.datasource": f"{VISITS}\nSHARED_WITH >\n    reader\n    elsewhere\n"}
    (first, second) = home.deploy(file, home.shop["token"]).json()["notes"]
    assert "'reader'" in first and "tb datasource share visits elsewhere" in second
    person = home.server.get("/v0/user/workspaces", token=home.user).json()["workspaces"]
    of_shop = next(each["token"] for each in person if each["name"] == "shop")
    assert home.server.get("/v0/auth", token=of_shop).json()["is_user"]
    (left,) = home.deploy(file, of_shop).json()["notes"]
    assert "elsewhere" in left
    assert home.query("SELECT count() AS n FROM shop.visits", home.reader["token"]).json()["data"] == [{"n": 3}]


def test_shares_outlive_a_restart_and_a_restored_backup(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        home = filled_home(server)
        home.share()
        made = server.post("/v0/backups", params={"name": "before"}, token=home.shop["token"])
        assert made.status_code == 200, made.text
        server.finished(made.json()["job"]["id"], token=home.shop["token"])
        server.post("/v0/datasources/visits/truncate", token=home.shop["token"])
    with running_server(tmp_path / "data") as server:
        home.server = server
        count = "SELECT count() AS n FROM shop.visits"
        assert home.query(count, home.reader["token"]).json()["data"] == [{"n": 0}]
        wanted = {"workspace": "shop", "replace": "true"}
        restored = server.post("/v0/backups/before/restore", data=wanted, token=home.shop["token"])
        assert restored.status_code == 200, restored.text
        server.finished(restored.json()["job"]["id"], token=home.shop["token"])
        assert home.query(count, home.reader["token"]).json()["data"] == [{"n": 3}]

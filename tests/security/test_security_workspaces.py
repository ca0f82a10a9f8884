"""Workspaces of one server know nothing of each other: every route, asked by one of them about what another has."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from flows.flow_server import Server

from birdhouse.api.routes import ROUTES

VALUE = "the-secret-of-{}"
LISTS = ("datasources", "pipes", "tokens", "tags", "connectors", "variables", "jobs", "environments", "backups")


@dataclass(frozen=True)
class Tenant:
    """A workspace with one of everything. `only` are texts that nobody else may read."""

    name: str
    id: str
    token: str
    names: Mapping[str, str]

    @property
    def only(self) -> list[str]:
        # Names of resources are known to whoever asks for them, and come back in refusals.
        return [VALUE.format(self.name), self.id, self.token]


def project(name: str) -> dict[str, str]:
    """Both have the data source `visits`, with rows of their own, and what is named after them."""
    return {
        "datasources/visits.datasource": "SCHEMA >\n    `secret` String `json:$.secret`\n\nENGINE_SORTING_KEY secret\n",
        f"datasources/of_{name}.datasource": "SCHEMA >\n    `secret` String `json:$.secret`\n",
        f"pipes/read_{name}.pipe": "NODE all_visits\nSQL >\n    SELECT secret FROM visits\n\nTYPE ENDPOINT\n",
        f"pipes/copy_{name}.pipe": "NODE all_visits\nSQL >\n    SELECT secret FROM visits\n\n"
        f"TYPE COPY\nTARGET_DATASOURCE of_{name}\nCOPY_SCHEDULE @on-demand\n",
    }


def tenant(server: Server, name: str, user_token: str) -> Tenant:
    made = server.post("/v0/workspaces", params={"name": name}, token=user_token).json()
    listed = server.get("/v0/user/workspaces", token=made["token"]).json()["workspaces"]
    (mine,) = [each for each in listed if each["name"] == name]
    tokens = server.get("/v0/tokens", token=mine["token"]).json()["tokens"]
    (token,) = [each["token"] for each in tokens if each["name"] == "workspace admin token"]
    deployed = server.post("/v0/deployments", json={"files": project(name)}, token=token)
    assert deployed.status_code == 200, deployed.text
    row = f'{{"secret": "{VALUE.format(name)}"}}'.encode()
    assert server.post("/v0/events", params={"name": "visits", "wait": "true"}, content=row, token=token).is_success
    job = server.post(f"/v0/pipes/copy_{name}/copy", token=token).json()["job"]["job_id"]
    while server.get(f"/v0/jobs/{job}", token=token).json()["status"] in ("waiting", "working"):
        time.sleep(0.05)
    tag = {"name": f"tag_{name}", "resources": []}
    assert server.post("/v0/tags", json=tag, token=token).is_success
    assert server.post("/v0/variables", data={"name": "password", "value": VALUE.format(name)}, token=token).is_success
    kafka = {
        "service": "kafka", "name": f"kafka_{name}", "kafka_bootstrap_servers": "127.0.0.1:1",
        "kafka_sasl_plain_username": "u", "kafka_sasl_plain_password": VALUE.format(name),
    }  # fmt: skip
    connector = server.post("/v0/connectors", json=kafka, token=token).json()["id"]
    pipe = server.get(f"/v0/pipes/read_{name}", token=token).json()
    datasource = server.get(f"/v0/datasources/of_{name}", token=token).json()
    custom = server.post("/v0/tokens", params={"name": f"token_{name}", "scope": "ADMIN"}, token=token).json()
    names = {
        "datasources": datasource["id"], "pipes": pipe["id"], "node": pipe["nodes"][0]["id"], "jobs": job,
        "tokens": custom["id"], "tags": tag["name"], "connectors": connector, "variables": f"password_{name}",
        "workspaces": made["id"], "environments": made["id"], "backups": f"backup_{name}", "release": "0.0.0",
        "integrations": "s3", "policy": "read-access-policy", "path": "roles", "format": "json",
    }  # fmt: skip
    return Tenant(name, made["id"], token, {str(key): str(value) for key, value in names.items()})


@pytest.fixture(scope="module")
def tenants(server: Server) -> tuple[Tenant, Tenant]:
    user_token = server.get("/tokens").json()["user_token"]
    return tenant(server, "ann", user_token), tenant(server, "bob", user_token)


CHANGES_BY_ITSELF = ("updated_at", "waiting_seconds", "waiting_for", "statistics", "progress_percentage")


def seen_by(server: Server, who: Tenant) -> dict[str, Any]:
    """All that a workspace has, without what changes by itself."""
    found = {each: steady(server.get(f"/v0/{each}", token=who.token).json()) for each in LISTS}
    rows = server.get("/v0/sql?q=SELECT * FROM visits FORMAT JSON", token=who.token).json()["data"]
    return {**found, "rows": rows}


def steady(content: Any) -> Any:
    if isinstance(content, list):
        return [steady(each) for each in content]
    if isinstance(content, dict):
        return {key: steady(value) for key, value in content.items() if key not in CHANGES_BY_ITSELF}
    return content


def paths(victim: Tenant) -> list[tuple[str, str]]:
    """Every route with a name in its path, filled in with what the victim has."""
    found = []
    for route in ROUTES:
        noun = route.path.split("/")[2] if route.path.count("/") > 1 else ""
        if "{" not in route.path:
            continue
        path = route.path.replace("{name", "{" + noun if noun in victim.names else "{workspaces")
        path = re.sub(r"{(\w+)(:path)?}", lambda place: victim.names.get(place[1], "x"), path)
        found += [(method, path) for method in sorted(route.methods or {"GET"}) if method != "HEAD"]
    return found


def test_no_route_tells_or_changes_anything_of_another_workspace(
    server: Server, tenants: tuple[Tenant, Tenant]
) -> None:
    victim, other = tenants
    before = seen_by(server, victim)
    told, crashed, allowed = [], [], []
    for method, path in paths(victim):
        body = {"operation": "add", "users": "eve@example.com", "name": "taken", "mode": "append", "q": "SELECT 1"}
        answer = server.request(method, path, data=body if method != "GET" else None, token=other.token)
        if any(text in answer.text and text not in path for text in victim.only):
            told.append((method, path, answer.text))
        if answer.status_code >= 500:
            crashed.append((method, path, answer.text))
        if answer.is_success and "/integrations/" not in path:  # what it says is the same for all
            allowed.append((method, path, answer.text))
    assert (told, crashed, allowed) == ([], [], [])
    assert seen_by(server, victim) == before


@pytest.mark.parametrize("path", sorted({f"/v0/{each}" for each in LISTS} | {"/v0/workspace", "/v0/user/workspaces"}))
def test_no_list_names_anything_of_another_workspace(server: Server, tenants: tuple[Tenant, Tenant], path: str) -> None:
    victim, other = tenants
    text = server.get(path, token=other.token).text
    assert [each for each in (*victim.only, f"_{victim.name}", *victim.names.values()) if len(each) > 4 and each in text
            and each not in other.names.values()] == []  # fmt: skip


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM visits",
        "SELECT * FROM of_ann",
        "SELECT * FROM ann.visits",
        "SELECT * FROM system.tables",
        "SELECT * FROM {database}.{table}",
        "SELECT * FROM tinybird.pipe_stats_rt",
        "SELECT * FROM tinybird.jobs_log",
        "SELECT * FROM tinybird.datasources_ops_log",
        "SELECT * FROM tinybird.datasources_storage",
        "SELECT * FROM merge('visits')",
        "SELECT * FROM organization.pipe_stats_rt",
    ],
)
def test_no_query_reads_another_workspace(server: Server, tenants: tuple[Tenant, Tenant], sql: str) -> None:
    victim, other = tenants
    server.get("/v0/pipes/read_ann.json", token=victim.token)
    server.post("/v0/service_datasources/refresh", token=victim.token)
    sql = sql.format(database="w_" + "0" * 32, table=victim.names["datasources"])
    answer = server.post("/v0/sql", content=f"{sql} FORMAT JSON".encode(), token=other.token)
    assert answer.status_code < 500
    assert [each for each in (*victim.only, "read_ann", "copy_ann") if each in answer.text] == []


def test_a_jwt_of_one_workspace_is_none_in_another(server: Server, tenants: tuple[Tenant, Tenant]) -> None:
    other = tenants[1]
    scopes = {"scopes": [{"type": "PIPES:READ", "resource": "read_ann"}]}
    params = {"name": "eve", "expiration_time": 4_000_000_000}
    answer = server.post("/v0/tokens", params=params, json=scopes, token=other.token)
    if answer.is_success:
        token = answer.json()["token"]
        assert server.get("/v0/pipes/read_ann.json", token=token).status_code in (403, 404)


def test_no_route_without_a_name_reaches_another_workspace(server: Server, tenants: tuple[Tenant, Tenant]) -> None:
    """What is named in the query or the body is looked for in the caller's own workspace alone."""
    victim, other = tenants
    before = seen_by(server, victim)
    ids = {
        "name": victim.names["datasources"], "copy_to": victim.names["datasources"], "id": victim.names["pipes"],
        "datasource_a": victim.names["datasources"], "datasource_b": "visits", "pipe_id": victim.names["pipes"],
        "pipeline": victim.names["pipes"], "workspace_id": victim.id, "from": victim.names["tokens"],
        "connector": victim.names["connectors"], "mode": "append", "q": "SELECT secret FROM _",
    }  # fmt: skip
    asked = 0
    for route in ROUTES:
        if "{" in route.path or route.path == "/tokens":  # those are for who runs the server, by where they call from
            continue
        for method in sorted((route.methods or {"GET"}) - {"HEAD"}):
            body = {"data": ids} if method in ("POST", "PUT") else {}
            answer = server.request(method, route.path, params=ids, token=other.token, **body)
            asked += 1
            told = [text for text in (VALUE.format(victim.name), victim.token) if text in answer.text]
            assert (answer.status_code < 500, told) == (True, []), (method, route.path, answer.text)
    assert asked > 30
    assert seen_by(server, victim) == before

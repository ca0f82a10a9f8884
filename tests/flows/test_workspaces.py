"""Who am I, which workspace is this, and what the server does not have."""

from __future__ import annotations

import json
import time

import pytest
from flow_server import Server

LISTED = {
    "id", "name", "token", "role", "plan", "owner", "members", "created_at", "is_branch", "main", "release",
    "rate_limits",
}  # fmt: skip


def test_sign_in_reads_the_workspace_and_its_scope(server: Server) -> None:
    found = server.get("/v0/workspace").json()
    assert found["name"] == "local"
    assert (found["scope"], found["main"]) == ("admin", None)
    assert found["id"] and found["user_id"] and "@" in found["user_email"]


@pytest.mark.parametrize(("scope", "said"), [("ADMIN", "admin"), ("TOKENS", "")])
def test_a_token_that_is_no_admin_has_no_scope_to_sign_in_with(
    server: Server, name: str, scope: str, said: str
) -> None:
    assert server.get("/v0/workspace", token=server.token(name, scope)).json()["scope"] == said


def test_the_list_of_workspaces_has_every_key_that_clients_read(server: Server) -> None:
    answer = server.get("/v0/user/workspaces/", params={"with_environments": "true"}).json()
    (workspace,) = answer["workspaces"]
    assert set(workspace) == LISTED
    assert (workspace["is_branch"], workspace["main"], workspace["release"]) == (False, None, None)
    assert workspace["owner"] == workspace["members"][0]["id"] == answer["id"]
    assert len(workspace["created_at"]) == len("2024-05-01 10:00:00.123456")
    assert answer["organization_id"] is None
    assert server.get("/v1/user/workspaces").json()["workspaces"] == [workspace]


def test_the_flags_of_the_list_choose_keys_and_branches(server: Server) -> None:
    flags = {"with_environments": "false", "with_organization": "true", "with_members_and_owner": "false"}
    (workspace,) = server.get("/v0/user/workspaces/", params=flags).json()["workspaces"]
    assert set(workspace) == LISTED - {"owner", "members"} | {"organization"}
    branches = {"with_environments": "true", "only_environments": "true"}
    assert server.get("/v0/user/workspaces/", params=branches).json()["workspaces"] == []


def test_the_listed_token_works_and_is_never_more_than_the_callers(server: Server, name: str) -> None:
    (workspace,) = server.get("/v0/user/workspaces").json()["workspaces"]
    assert server.get("/v0/tokens", token=workspace["token"]).status_code == 200
    author = server.token(name, "DATASOURCES:CREATE")
    (seen,) = server.get("/v0/user/workspaces", token=author).json()["workspaces"]
    assert (seen["token"], seen["role"]) == (author, "guest")


def test_a_workspace_is_shown_by_name_and_id_and_its_token_on_request(server: Server) -> None:
    found = server.get("/v0/workspaces/local").json()
    assert "token" not in found
    assert "token" in server.get(f"/v0/workspaces/{found['id']}", params={"with_token": "true"}).json()
    assert server.get("/v0/workspaces/other").status_code == 404


def test_only_the_user_token_is_that_of_a_person(server: Server) -> None:
    tokens = server.get("/tokens").json()
    assert server.get("/v0/auth", token=tokens["user_token"]).json() == {"is_valid": True, "is_user": True}
    assert server.get("/v0/auth", token=tokens["admin_token"]).json() == {"is_valid": True, "is_user": False}
    assert server.get("/v0/auth", token="p.eyJub25l.x").status_code == 403


def test_the_only_region_is_this_server(server: Server) -> None:
    (region,) = server.get("/v0/regions").json()["regions"]
    assert region["api_host"] == region["host"] == server.url
    assert "telemetry_token" not in region


def test_lists_of_what_the_server_does_not_have_are_empty(server: Server) -> None:
    assert server.get("/v0/templates").json() == {"templates": []}
    assert server.get("/v0/environments").json() == {"environments": []}
    assert server.get("/v0/workspaces/local/releases").json() == {"releases": []}
    assert server.get("/v0/connections/bigquery").json() == {"items": []}
    assert server.get("/v0/connectors/my_kafka").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "reason"),
    [
        ("POST", "/v0/environments?name=b", "branches are not available"),
        ("DELETE", "/v0/environments/b", "branches are not available"),
        ("POST", "/v0/environments/b/data?mode=last_partition", "branches are not available"),
        ("POST", "/v0/environments/b/regression/main", "branches are not available"),
        ("POST", "/v0/workspaces?name=w", "one workspace"),
        ("DELETE", "/v0/workspaces/local", "one workspace"),
        ("PUT", "/v0/workspaces/local/users/", "no user accounts"),
        ("POST", "/v0/workspaces/local/releases/?commit=abc", "no releases"),
        ("GET", "/v0/workspaces/local/releases/oldest-rollback", "no releases"),
        ("PUT", "/v0/workspaces/local/releases/0.0.0?status=live", "no releases"),
    ],
)
def test_what_the_server_cannot_do_is_said_with_the_way_around(
    server: Server, method: str, path: str, reason: str
) -> None:
    answer = server.request(method, path)
    assert (answer.status_code, reason in answer.json()["error"]) == (400, True), answer.text


def test_a_jwt_does_not_sign_in(server: Server, name: str) -> None:
    server.deploy({f"pipes/{name}.pipe": "NODE one\nSQL >\n    SELECT 1 AS n\n"})
    scopes = {"scopes": [{"type": "PIPES:READ", "resource": name}]}
    expires = {"name": name, "expiration_time": int(time.time()) + 60}
    token = server.post("/v0/tokens", params=expires, content=json.dumps(scopes)).json()["token"]
    assert server.get("/v0/workspace", token=token).status_code == 403
    assert server.get("/v0/user/workspaces", token=token).status_code == 403

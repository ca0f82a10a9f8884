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
        ("POST", "/v0/workspaces?name=w&starter_kit=web", "user token"),
        ("POST", "/v0/workspaces/local/releases/?commit=abc&semver=1.0.0", "branch"),
        ("PUT", "/v0/workspaces/local/releases/0.0.0?status=live", "every push takes effect"),
    ],
)
def test_what_the_server_cannot_do_is_said_with_the_way_around(
    server: Server, method: str, path: str, reason: str
) -> None:
    answer = server.request(method, path)
    assert answer.status_code in (400, 403) and reason in answer.json()["error"], answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("POST", "/v0/workspaces?name=local", 409, "already a workspace"),
        ("POST", "/v0/workspaces?name=1st", 400, "cannot be the name"),
        ("POST", "/v0/workspaces?name=tinybird", 400, "cannot be the name"),
        ("POST", "/v0/workspaces", 400, "'name' is required"),
        ("POST", "/v0/workspaces?name=w&starter_kit=web", 400, "no starter kit 'web'"),
        ("DELETE", "/v0/workspaces/nowhere", 404, "'nowhere' not found"),
        ("DELETE", "/v0/workspaces/local", 409, "starts with"),
        ("DELETE", "/v0/environments/local", 404, "tb branch ls"),
        ("POST", "/v0/environments?name=local", 409, "already a workspace"),
        ("POST", "/v0/environments?name=b&data=some", 400, "last_partition"),
        ("POST", "/v0/environments?name=b&ignore_datasources=nothing", 404, "'nothing' not found"),
        ("POST", "/v0/environments/b/data?mode=all_partitions", 404, "'b' not found"),
        ("PUT", "/v0/workspaces/local/users?operation=add&users=ann", 400, "not an e-mail"),
        ("PUT", "/v0/workspaces/local/users?operation=add&users=a@b.c&role=boss", 400, "admin, guest, viewer"),
        ("PUT", "/v0/workspaces/local/users?operation=swap&users=a@b.c", 400, "change_role"),
        ("PUT", "/v0/workspaces/local/users?operation=remove&users=a@b.c", 404, "not a member"),
    ],
)
def test_a_wrong_change_of_workspaces_is_refused_with_the_reason(
    server: Server, method: str, path: str, status: int, reason: str
) -> None:
    user_token = server.get("/tokens").json()["user_token"]
    before = server.get("/v0/user/workspaces", token=user_token).json()
    answer = server.request(method, path, token=user_token)
    assert (answer.status_code, reason in answer.json()["error"]) == (status, True), answer.text
    assert server.get("/v0/user/workspaces", token=user_token).json() == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "are a list"),
        ([{"pipe": 1}], "regular expression"),
        ([{"pipe": "x", "tests": [{"none": {}}]}], "no test 'none'"),
        ([{"pipe": "x", "tests": [{"last": {"limit": 0}}]}], "from 1 to 100"),
        ([{"pipe": "x", "tests": [{"last": {"config": {"assert_all": True}}}]}], "no option 'assert_all'"),
        ([{"pipe": "x", "tests": [{"last": {"config": {"failfast": 3}}}]}], "not a flag"),
        ([{"pipe": "x", "tests": [{"manual": {"params": ["x"]}}]}], "'params'"),
    ],
)
def test_wrong_regression_tests_are_refused(server: Server, name: str, content: object, reason: str) -> None:
    name = name[-60:].lstrip("0123456789")
    assert server.post("/v0/environments", params={"name": name}).is_success
    answer = server.post(f"/v0/environments/{name}/regression", json=content)
    assert (answer.status_code, reason in answer.json()["error"]) == (400, True), answer.text
    assert server.delete(f"/v0/environments/{name}").status_code == 204


@pytest.mark.parametrize(("pattern", "status"), [("(", "error"), ("nothing", "done"), ("(a+)+$", "done")])
def test_endpoints_to_compare_are_named_by_a_pattern(server: Server, name: str, pattern: str, status: str) -> None:
    server.deploy({f"pipes/{name}.pipe": "NODE one\nSQL >\n    SELECT 1 AS n\n\nTYPE ENDPOINT\n"})
    branch = name[-60:].lstrip("0123456789")
    assert server.post("/v0/environments", params={"name": branch}).is_success
    token = branch_token(server, branch)
    tests = [{"pipe": pattern, "tests": [{"last": None}]}]
    job = server.post(f"/v0/environments/{branch}/regression", json=tests, token=token).json()["job"]
    while (found := server.get(f"/v0/jobs/{job['id']}", token=token).json())["status"] in ("waiting", "working"):
        time.sleep(0.05)
    assert (found["status"], found.get("progress", [])) == (status, []), found
    assert server.delete(f"/v0/environments/{branch}").status_code == 204


def branch_token(server: Server, name: str) -> str:
    listed = server.get("/v0/user/workspaces").json()["workspaces"]
    return next(str(each["token"]) for each in listed if each["name"] == name)


def test_each_token_is_told_the_workspaces_that_it_may_go_on_to(server: Server, name: str) -> None:
    """A branch's token for programs leads nowhere else; that of a person leads back, and the user token anywhere."""
    tokens = server.get("/tokens").json()
    made = server.post("/v0/environments", params={"name": name}, token=tokens["workspace_admin_token"])
    assert made.json()["job"]["status"] == "done", made.text

    def listed(token: str) -> dict[str, str]:
        found = server.get("/v0/user/workspaces", token=token).json()["workspaces"]
        return {each["name"]: each["token"] for each in found}

    branch = {key: listed(tokens[key])[name] for key in tokens}
    assert set(listed(branch["workspace_admin_token"])) == {name}
    assert set(listed(branch["admin_token"])) == {"local", name}
    assert listed(branch["user_token"])["local"] == tokens["user_token"]
    only_main = server.get("/v0/user/workspaces", params={"with_environments": "false"}, token=tokens["user_token"])
    assert name not in [each["name"] for each in only_main.json()["workspaces"]]
    assert server.delete(f"/v0/environments/{name}").status_code == 204


def test_a_workspace_is_deleted_although_jobs_of_it_run_and_wait(server: Server, name: str) -> None:
    user_token = server.get("/tokens").json()["user_token"]
    token = server.post("/v0/workspaces", params={"name": name}, token=user_token).json()["token"]
    slow = "SELECT max(number) AS n FROM numbers(100000000000) WHERE sipHash64(number) % 3 = 1"
    files = {
        "datasources/slow.datasource": "SCHEMA >\n    `n` UInt64\n",
        "pipes/fill.pipe": f"NODE n\nSQL >\n    {slow}\n\nTYPE COPY\nTARGET_DATASOURCE slow\n",
    }
    assert server.post("/v0/deployments", json={"files": files}, token=token).status_code == 200
    for _ in range(2):
        assert server.post("/v0/pipes/fill/copy", token=token).status_code == 200
    assert server.delete(f"/v0/workspaces/{name}", token=user_token).status_code == 200
    assert server.get("/v0/workspace", token=token).status_code == 403
    assert server.post("/v0/workspaces", params={"name": name}, token=user_token).status_code == 200
    assert server.delete(f"/v0/workspaces/{name}", token=user_token).status_code == 200


def test_a_jwt_does_not_sign_in(server: Server, name: str) -> None:
    server.deploy({f"pipes/{name}.pipe": "NODE one\nSQL >\n    SELECT 1 AS n\n"})
    scopes = {"scopes": [{"type": "PIPES:READ", "resource": name}]}
    expires = {"name": name, "expiration_time": int(time.time()) + 60}
    token = server.post("/v0/tokens", params=expires, content=json.dumps(scopes)).json()["token"]
    assert server.get("/v0/workspace", token=token).status_code == 403
    assert server.get("/v0/user/workspaces", token=token).status_code == 403

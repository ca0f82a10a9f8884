"""Deployments from git with the official client: what was committed since the last one, and back again."""

from __future__ import annotations

import subprocess

import pytest
from flows.flow_server import Server
from tb_client import Tb

PROJECT = {
    "datasources/visits.datasource": (
        'SCHEMA >\n    `n` UInt32 `json:$.n`\n\nENGINE "MergeTree"\nENGINE_SORTING_KEY "n"\n'
    ),
    "pipes/total.pipe": "NODE sums\nSQL >\n    SELECT sum(n) AS n FROM visits\n\nTYPE ENDPOINT\n",
    ".gitignore": ".tinyb\n.diff_tmp\n",
}


def git(tb: Tb, *arguments: str) -> str:
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *arguments], cwd=tb.folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(tb: Tb, files: dict[str, str], text: str) -> str:
    tb.write(files)
    git(tb, "add", "--all")
    git(tb, "commit", "--quiet", "--message", text)
    return git(tb, "rev-parse", "HEAD")


@pytest.fixture
def project(signed_out_tb: Tb, empty_server: Server) -> Tb:
    """A repository whose first commit is deployed."""
    tb = signed_out_tb
    git(tb, "init", "--quiet")
    commit(tb, PROJECT, "first")
    tb("auth", "--host", empty_server.url, "--token", empty_server.admin_token)
    tb("push")
    tb("init", "--override-commit", git(tb, "rev-parse", "HEAD"), typed="y\n")
    empty_server.post("/v0/events", params={"name": "visits", "wait": "true"}, content='{"n": 1}\n{"n": 2}')
    return tb


def total(server: Server) -> int:
    return int(server.get("/v0/pipes/total.json").json()["data"][0]["n"])


def releases(server: Server) -> list[tuple[str, str]]:
    workspace = server.get("/v0/workspace").json()["id"]
    found = server.get(f"/v0/workspaces/{workspace}/releases").json()["releases"]
    return [(each["commit"], each["status"]) for each in found]


def test_what_was_committed_since_the_last_deployment_is_deployed_and_taken_back(
    project: Tb, empty_server: Server
) -> None:
    first = git(project, "rev-parse", "HEAD")
    assert releases(empty_server) == [(first, "live")]
    changed = PROJECT["pipes/total.pipe"].replace("sum(n)", "max(n)")
    second = commit(project, {"pipes/total.pipe": changed}, "second")
    assert "total" in project("deploy", "--dry-run")
    assert total(empty_server) == 3
    project("deploy", "--yes")
    assert total(empty_server) == 2
    assert releases(empty_server) == [(second, "live"), (first, "rollback")]
    assert second[:5] in project("release", "ls")
    project("release", "rollback", "--yes")
    assert total(empty_server) == 3
    assert releases(empty_server) == [(second, "rollback"), (first, "live")]

    third = commit(project, {"pipes/total.pipe": changed.replace("max(n)", "max(n) * 10")}, "third")
    project("deploy", "--yes")
    assert total(empty_server) == 20
    assert releases(empty_server) == [(third, "live"), (first, "rollback")]
    project("release", "rollback", "--yes")
    assert total(empty_server) == 3


def test_a_deleted_file_is_deleted_and_one_that_is_wrong_changes_no_release(project: Tb, empty_server: Server) -> None:
    before = releases(empty_server)
    commit(project, {"pipes/total.pipe": PROJECT["pipes/total.pipe"].replace("visits", "nowhere")}, "wrong")
    assert "nowhere" in project("deploy", "--yes", code=1)
    assert (releases(empty_server), total(empty_server)) == (before, 3)
    git(project, "rm", "--quiet", "pipes/total.pipe")
    git(project, "commit", "--quiet", "--message", "gone")
    project("deploy", "--yes")
    assert empty_server.get("/v0/pipes/total").status_code == 404


def test_releases_that_are_tried_beside_the_live_one_are_refused_with_the_way_around(
    project: Tb, empty_server: Server
) -> None:
    refused = project("release", "create", "--semver", "1.0.0", code=1)
    assert "branch" in refused
    for command in ("preview", "promote"):
        assert project.run("release", command, "--semver", "0.0.0").code == 1
    assert "live" in project("release", "rm", "--semver", "0.0.0", "--yes", code=1)
    assert "roll back to" in project("release", "rollback", "--yes", code=1)


def test_the_oldest_release_can_be_forgotten(project: Tb, empty_server: Server) -> None:
    first = git(project, "rev-parse", "HEAD")
    changed = PROJECT["pipes/total.pipe"].replace("sum(n)", "max(n)")
    second = commit(project, {"pipes/total.pipe": changed}, "second")
    project("deploy", "--yes")
    project("release", "rm", "--oldest-rollback", "--dry-run", "--yes")
    assert releases(empty_server) == [(second, "live"), (first, "rollback")]
    project("release", "rm", "--oldest-rollback", "--force", "--yes")
    assert releases(empty_server) == [(second, "live")]
    project("release", "rm", "--oldest-rollback", "--yes")
    assert releases(empty_server) == [(second, "live")]
    assert total(empty_server) == 2


def test_a_workspace_without_a_release_is_told_to_begin(signed_out_tb: Tb, empty_server: Server) -> None:
    git(signed_out_tb, "init", "--quiet")
    commit(signed_out_tb, PROJECT, "first")
    signed_out_tb("auth", "--host", empty_server.url, "--token", empty_server.admin_token)
    assert "tb init" in signed_out_tb("deploy", code=1)


VIEW = (
    "NODE kinds\nSQL >\n    SELECT n % 2 AS odd, count() AS rows FROM visits GROUP BY odd\n\n"
    "TYPE MATERIALIZED\nDATASOURCE {}\nENGINE SummingMergeTree\nENGINE_SORTING_KEY odd\n"
)


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        (("--populate", "--wait", "--unlink-on-populate-error", "--debug"), {2}),
        (("--populate", "--wait", "--sql-condition", "n = 1", "--override-datasource"), {1}),
        (("--populate", "--wait", "--subset", "0.05"), {0, 1}),  # rows are drawn
    ],
)
def test_a_view_that_is_deployed_is_populated_as_asked(
    project: Tb, empty_server: Server, options: tuple[str, ...], rows: set[int]
) -> None:
    commit(project, {"pipes/kinds_mv.pipe": VIEW.format("kinds")}, "a view")
    project("deploy", "--yes", *options)
    (found,) = empty_server.sql("SELECT sum(rows) AS rows FROM kinds")
    assert found["rows"] in rows


def test_a_data_source_is_shared_and_read_by_what_is_deployed(project: Tb, empty_server: Server) -> None:
    user = ("--user_token", str(empty_server.get("/tokens").json()["user_token"]))
    project("workspace", "create", "reader", *user)
    project("auth", "--host", empty_server.url, "--token", user[1])
    shared = f"{PROJECT['datasources/visits.datasource']}\nSHARED_WITH >\n    reader\n"
    commit(project, {"datasources/visits.datasource": shared}, "shared")
    project("deploy", "--yes", *user)
    assert empty_server.get("/v0/datasources/visits").json()["shared_with"] != []

    project("workspace", "use", "reader")
    pipe = "NODE sums\nSQL >\n    SELECT sum(n) AS n FROM main.visits\n\nTYPE ENDPOINT\n"
    files = {
        "pipes/total.pipe": pipe,
        "vendor/local/datasources/visits.datasource": PROJECT["datasources/visits.datasource"],
    }
    git(project, "rm", "--quiet", "-r", "datasources", "pipes")
    emptied = commit(project, {}, "nothing of its own yet")
    commit(project, files, "reads what is shared, by another name")
    project("init", "--override-commit", emptied, typed="y\n")
    project("deploy", "--yes", "--workspace_map", "main", "local", "--workspace", "local", "vendor/local")
    token = next(
        each["token"]
        for each in empty_server.get("/v0/user/workspaces", token=user[1]).json()["workspaces"]
        if each["name"] == "reader"
    )
    assert empty_server.get("/v0/pipes/total.json", token=token).json()["data"] == [{"n": 3}]

"""The commands about a whole project folder, with the options that the other files do not use."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from flows.flow_server import Server
from sample_project import PROJECT, ROWS
from tb_client import Tb

TOP = "pipes/top_users.pipe"


@pytest.fixture
def pushed(tb: Tb, server: Server) -> Tb:
    """The sample project, in a folder and on the server of this file, whose workspace no test leaves changed."""
    tb.write(PROJECT)
    if server.get("/v0/pipes/top_users").status_code == 404:
        tb("push")
        target = {"mode": "append", "format": "ndjson", "name": "events"}
        assert server.post("/v0/datasources", params=target, content=ROWS).status_code == 200
    return tb


def git(tb: Tb, *arguments: str) -> str:
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main")
    return subprocess.run(["git", *who, *arguments], cwd=tb.folder, capture_output=True, text=True, check=True).stdout


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.suffix in (".datasource", ".pipe")}


def test_only_what_differs_from_the_workspace_is_pushed(pushed: Tb, server: Server) -> None:
    """The client looks for differences only when it has a file with its workspace."""
    pushed("auth", "--host", server.url, "--token", server.admin_token)
    pushed.write({TOP: PROJECT[TOP].replace("limit, 10", "limit, 1")})
    output = pushed("push", "--only-changes", "--force", "--yes", "--no-check")
    assert "'top_users' created" in output
    assert "'daily_mv'" not in output and "'totals_copy'" not in output
    assert len(server.get("/v0/pipes/top_users.json").json()["data"]) == 1
    pushed.write({TOP: PROJECT[TOP]})
    pushed("push", TOP, "--force", "--yes", "--no-check", "--debug", "--no-versions")
    assert len(server.get("/v0/pipes/top_users.json").json()["data"]) == 2


def test_a_pull_keeps_files_unless_it_is_forced(pushed: Tb) -> None:
    changed = pushed.folder / TOP
    changed.write_text("NODE n\nSQL >\n    SELECT 1\n", "utf-8")
    assert "already exists" in pushed("pull", "--match", "top_users")
    assert changed.read_text("utf-8") == "NODE n\nSQL >\n    SELECT 1\n"
    pushed("pull", "--match", "top_users", "--force")
    assert "FROM only_people" in changed.read_text("utf-8")
    flat = pushed.folder / "flat"
    flat.mkdir()
    pushed("pull", "--folder", "flat", "--no-auto")
    assert {"top_users.pipe", "events.datasource", "hourly.datasource"} < files_of(flat)
    foldered = pushed.folder / "foldered"
    foldered.mkdir()
    pushed("pull", "--folder", "foldered", "--auto", "--match", "top_users")
    assert files_of(foldered) == {TOP}


def test_a_difference_is_shown_as_asked(pushed: Tb) -> None:
    pushed.write({TOP: PROJECT[TOP].replace("limit, 10", "limit, 1")})
    shown = pushed("diff", TOP, "--no-color")
    assert "\n-" in shown and "limit, 1)" in shown and "\x1b[" not in shown
    listed = pushed("diff", "--no-verbose", "--no-color")
    assert "top_users" in listed and "limit, 1)" not in listed
    assert "limit, 1)" in pushed("diff", TOP, "--no-fmt", "--no-color")


DEPENDENCIES = {
    ("--no-deps",): ({"daily_free"}, {"events", "top_users"}),
    ("--match", "eve.*"): ({"events", "top_users"}, {"daily_free", "days"}),
    ("--pipe", "days"): ({"daily", "days"}, {"events", "top_users"}),
    ("--datasource", "events", "--recursive"): ({"events", "top_users", "top_user"}, {"daily_free"}),
    ("--datasource", "events"): ({"events", "top_users"}, {"top_user"}),
    ("--datasource", "daily", "--check-for-partial-replace"): (set(), {"events"}),
}


@pytest.mark.parametrize("options", DEPENDENCIES, ids=" ".join)
def test_dependencies_are_narrowed_down(pushed: Tb, options: tuple[str, ...]) -> None:
    pushed.write({"datasources/daily_free.datasource": "SCHEMA >\n    `id` UInt32\n"})
    pushed.write({"pipes/top_user.pipe": "NODE n\nSQL >\n    SELECT user FROM top_users LIMIT 1\n"})
    pushed("push", "datasources/daily_free.datasource", "pipes/top_user.pipe")
    there, absent = DEPENDENCIES[options]
    named = {line.strip("* -") for line in pushed("dependencies", *options).splitlines()}
    assert there <= named
    assert not absent & named


def test_a_view_is_pushed_over_its_target(pushed: Tb, server: Server) -> None:
    """The target keeps its rows; a view that does not fit is refused with the column, whatever the option says."""
    rows = server.sql("SELECT hour, sum(events) AS events FROM hourly GROUP BY hour ORDER BY hour")
    again = ("push", "pipes/hourly_mv.pipe", "--force", "--yes", "--override-datasource")
    pushed(*again)
    assert server.sql("SELECT hour, sum(events) AS events FROM hourly GROUP BY hour ORDER BY hour") == rows
    view = PROJECT["pipes/hourly_mv.pipe"].replace("count() AS events", "count() AS events, 1 AS more")
    pushed.write({"pipes/hourly_mv.pipe": view})
    assert "the Data Source has no such column" in pushed(*again, code=1)


def test_populating_on_demand_is_populating(pushed: Tb, server: Server) -> None:
    view = PROJECT["pipes/hourly_mv.pipe"].replace("DATASOURCE hourly", "DATASOURCE hours_again")
    pushed.write({"pipes/hours_again_mv.pipe": view})
    pushed("push", "pipes/hours_again_mv.pipe", "--populate", "--on-demand-compute", "--wait", typed="y\n")
    assert server.sql("SELECT sum(events) AS n FROM hours_again") == [{"n": 4}]


def test_what_belongs_to_another_workspace_is_refused_by_its_name(pushed: Tb, server: Server) -> None:
    """The client itself refuses to share with a workspace that it does not find; a foreign table is the server's."""
    pushed.write({"datasources/lent.datasource": "SHARED_WITH >\n    elsewhere\n\nSCHEMA >\n    `id` UInt32\n"})
    assert "elsewhere" in pushed("push", "datasources/lent.datasource", "--user_token", server.admin_token, code=1)
    pushed.write({"vendor/abroad/datasources/foreign.datasource": "SCHEMA >\n    `id` UInt32\n"})
    pushed.write({"pipes/reads_abroad.pipe": "NODE n\nSQL >\n    SELECT count() AS n FROM abroad.foreign\n"})
    for options in ((), ("--workspace", "abroad", "vendor/abroad"), ("--workspace_map", "abroad", "far")):
        assert "foreign" in pushed("push", "pipes/reads_abroad.pipe", *options, code=1)
    assert server.get("/v0/pipes/reads_abroad").status_code == 404


def test_files_are_formatted_as_asked(pushed: Tb) -> None:
    path = pushed.folder / "pipes" / "days.pipe"
    text = path.read_text("utf-8")
    assert "SELECT" in pushed("fmt", "pipes/days.pipe", "--dry-run")
    assert "@@" in pushed("fmt", "pipes/days.pipe", "--diff", "--no-color", code=1)
    assert path.read_text("utf-8") == text
    pushed("fmt", "pipes/days.pipe", "--yes", "--line-length", "40")
    narrow = path.read_text("utf-8")
    assert max(map(len, narrow.splitlines())) <= 44 and narrow != text
    pushed("fmt", "pipes/days.pipe", "--diff", "--line-length", "40")


def test_a_repository_is_connected_to_its_workspace(signed_out_tb: Tb, empty_server: Server) -> None:
    mine = signed_out_tb.signed_in(empty_server)
    mine.write({"pipes/one.pipe": "NODE n\nSQL >\n    SELECT 1 AS a\n", ".gitignore": ".tinyb\n.diff_tmp\n"})
    mine("push")
    mine("auth", "--host", empty_server.url, "--token", empty_server.admin_token)
    git(mine, "init", "--quiet")
    mine("init", "--folder", ".")
    git(mine, "add", "--all")
    git(mine, "commit", "--quiet", "--message", "first")
    mine("init", "--git", typed="n\n4\n")
    workspace = empty_server.get("/v0/workspace").json()["id"]
    (release,) = empty_server.get(f"/v0/workspaces/{workspace}/releases").json()["releases"]
    assert (release["commit"], release["status"]) == (git(mine, "rev-parse", "HEAD").strip(), "live")

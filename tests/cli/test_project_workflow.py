"""The workflow file of a data project: its commands run as they are written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from flows.flow_server import Server, running_server

ROOT = Path(__file__).parent.parent.parent
INSIGHTS = ROOT / "insights"
PATH = os.pathsep.join((str(Path(sys.executable).parent), str(ROOT / ".tb-venv" / "bin"), os.environ["PATH"]))
SMALL = {
    "datasources/visits.datasource": "SCHEMA >\n    `n` UInt32 `json:$.n`\n\nENGINE MergeTree\nENGINE_SORTING_KEY n\n",
    "pipes/total.pipe": "NODE sums\nSQL >\n    SELECT sum(n) AS n FROM visits\n\nTYPE ENDPOINT\n",
    "tests/total.yaml": "- positive:\n    sql: SELECT * FROM visits WHERE n < 0\n",
}


def steps(job: str) -> list[dict[str, Any]]:
    """Those with commands, but for the installation, which a checkout of Birdhouse has behind it."""
    content = yaml.safe_load((INSIGHTS / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    return [step for step in content["jobs"][job]["steps"] if "run" in step and not step["name"].startswith("Install")]


def run(folder: Path, step: dict[str, Any], home: Path, **variables: str) -> tuple[int, str]:
    environment = {"PATH": PATH, "HOME": str(home), "LANG": "C.UTF-8", "TB_VERSION_WARNING": "0", **variables}
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env=environment,
        text=True,
        timeout=300,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout


@pytest.fixture
def small(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for name, text in SMALL.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    (folder / "requirements.txt").write_text("tinybird-cli>=5,<6\n", "utf-8")
    return folder


def test_formatting_and_checking_pass_on_the_insights_project(tmp_path: Path) -> None:
    folder = tmp_path / "insights"
    shutil.copytree(INSIGHTS, folder)
    for step in steps("check"):
        if "test" not in step["run"]:
            assert run(folder, step, tmp_path)[0] == 0, step


def test_all_steps_pass_on_a_project_and_leave_a_report(small: Path, tmp_path: Path) -> None:
    for step in steps("check"):
        code, printed = run(small, step, tmp_path)
        assert code == 0, f"{step['name']}\n{printed}"
    assert "<testsuite" in (small / "results.xml").read_text("utf-8")


@pytest.mark.parametrize(
    ("path", "old", "new", "name"),
    [
        ("pipes/total.pipe", "sum(n) AS n", "sum(n)   as   n", "Format"),
        ("pipes/total.pipe", "visits", "nowhere", "Check"),
        ("tests/total.yaml", "n < 0", "n >= 0 OR 1 = 1 UNION ALL SELECT 1 AS n", "Deploy"),
    ],
)
def test_the_step_that_should_notice_fails(
    small: Path, tmp_path: Path, path: str, old: str, new: str, name: str
) -> None:
    (small / path).write_text(SMALL[path].replace(old, new), "utf-8")
    codes = {step["name"]: run(small, step, tmp_path)[0] for step in steps("check")}
    assert next(code for title, code in codes.items() if title.startswith(name)) != 0, codes


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server") / "data") as server:
        server.deploy({name: text for name, text in SMALL.items() if not name.startswith("tests/")})
        body = '{"n": 1}\n{"n": 2}'
        assert server.post("/v0/events", params={"name": "visits", "wait": "true"}, content=body).status_code == 200
        assert server.get("/v0/pipes/total.json").json()["data"] == [{"n": 3}]
        assert server.post("/v0/service_datasources/refresh").is_success
        yield server


@pytest.mark.parametrize(("expression", "code"), [("sum(n)", 0), ("max(n)", 1)])
def test_a_branch_of_the_live_workspace_shows_other_answers(
    live: Server, small: Path, tmp_path: Path, expression: str, code: int
) -> None:
    pipe = small / "pipes" / "total.pipe"
    pipe.write_text(pipe.read_text("utf-8").replace("sum(n)", expression), "utf-8")
    tokens = live.get("/tokens").json()
    secrets = {"LIVE_HOST": live.url, "LIVE_USER_TOKEN": tokens["user_token"], "BRANCH": f"ci_{code}"}
    compare, remove = steps("regression")
    ended, printed = run(small, compare, tmp_path, **secrets)
    assert (ended != 0) == bool(code), printed
    assert run(small, remove, tmp_path, **secrets)[0] == 0
    assert live.get("/v0/environments").json() == {"environments": []}
    assert live.get("/v0/pipes/total.json").json()["data"] == [{"n": 3}]

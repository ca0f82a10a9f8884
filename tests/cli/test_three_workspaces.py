"""Local, staging and production as three workspaces of one server: a change goes from one to the next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest
from commands import Commands
from flows.flow_server import Server, running_server

SOURCE = (
    "SCHEMA >\n    `day` Date `json:$.day`,\n    `n` UInt32 `json:$.n`\n\nENGINE MergeTree\nENGINE_SORTING_KEY day\n"
)
TOTAL = "NODE sums\nSQL >\n    SELECT sum(n) AS n FROM visits\n\nTYPE ENDPOINT\n"
NAMES = ("local", "staging", "production")
PROJECT = {"project/datasources/visits.datasource": SOURCE, "project/pipes/total.pipe": TOTAL}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("three") / "data") as server:
        yield server


@pytest.fixture
def tokens(server: Server) -> dict[str, str]:
    """Of each workspace the token for programs, by the name of the workspace."""
    user_token = server.get("/tokens").json()["user_token"]
    for name in NAMES[1:]:
        assert server.post("/v0/workspaces", params={"name": name}, token=user_token).is_success
    listed = server.get("/v0/user/workspaces", token=user_token).json()["workspaces"]
    path = "/v0/tokens/workspace admin token"
    return {each["name"]: server.get(path, token=each["token"]).json()["token"] for each in listed}


@pytest.fixture
def run(birdhouse: Commands, server: Server, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    """With the variables of an `.env`, as a shell reads it."""
    environments = (("", "local"), ("_STAGING", "staging"), ("_PRODUCTION", "production"))
    lines = [f"TB_HOST{suffix}={server.url}\nTB_TOKEN{suffix}={tokens[name]}\n" for suffix, name in environments]
    birdhouse.write({**PROJECT, ".env": "".join(lines)})
    for line in shlex.split(birdhouse.read(".env")):
        monkeypatch.setenv(*line.split("=", 1))
    return birdhouse


def test_a_change_goes_from_local_to_staging_to_production(
    run: Commands, server: Server, tokens: dict[str, str]
) -> None:
    def totals() -> list[int]:
        answers = [server.get("/v0/pipes/total.json", token=tokens[name]).json() for name in NAMES]
        return [answer["data"][0]["n"] for answer in answers]

    for options in ((), ("--host", "staging"), ("--host", "production")):
        run("deploy", "project", *options)
    for n, name in enumerate(NAMES, 1):
        params, row = {"name": "visits", "wait": "true"}, f'{{"day": "2024-01-01", "n": {n}}}'
        assert server.post("/v0/events", params=params, content=row, token=tokens[name]).is_success
    assert totals() == [1, 2, 3]
    assert "no difference" in run("diff", "staging", "production")

    run.write({"project/pipes/total.pipe": TOTAL.replace("sum(n)", "sum(n) * 10")})
    run("deploy", "project", "--host", "staging")
    assert "total" in run("diff", "staging", "production", code=1)
    assert totals() == [1, 20, 3]
    run("deploy", "project", "--host", "production")
    assert totals() == [1, 20, 30]
    assert "no difference" in run("diff", "staging", "production")

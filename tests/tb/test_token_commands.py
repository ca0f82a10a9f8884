"""The commands of the client about tokens, and what such tokens may then do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from flows.flow_server import Server
from tb_client import Tb

PROJECT = {
    "datasources/sales.datasource": "SCHEMA >\n    `country` String `json:$.country`,\n    `n` UInt32 `json:$.n`\n",
    "pipes/by_country.pipe": "NODE sums\nSQL >\n    %\n    SELECT sum(n) AS n FROM sales "
    "WHERE country = {{String(country, 'NO')}}\n\nTYPE ENDPOINT\n",
}
ROWS = '{"country": "NO", "n": 1}\n{"country": "PT", "n": 10}'


@pytest.fixture(scope="module")
def filled(server: Server) -> Server:
    server.deploy(PROJECT)
    assert server.post("/v0/events", params={"name": "sales", "wait": "true"}, content=ROWS).status_code == 200
    return server


@pytest.fixture
def name(filled: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    yield f"token_{abs(hash(request.node.nodeid)) % 10**9}"


def text_of(server: Server, name: str) -> str:
    return str(server.get(f"/v0/tokens/{name}").json()["token"])


def test_a_static_token_is_created_listed_copied_refreshed_and_removed(tb: Tb, filled: Server, name: str) -> None:
    tb(
        "token",
        "create",
        "static",
        name,
        "--scope",
        "DATASOURCES:READ",
        "--resource",
        "sales",
        "--filter",
        "country = 'NO'",
    )
    assert name in tb("token", "ls") and name in tb("token", "ls", "--match", name)
    assert name not in tb("token", "ls", "--match", "nothing")
    assert "DATASOURCES:READ" in tb("token", "scopes", name)
    before = text_of(filled, name)
    assert filled.get("/v0/sql?q=SELECT sum(n) AS n FROM sales FORMAT JSON", token=before).json()["data"] == [{"n": 1}]
    assert "Traceback" not in tb.run("token", "copy", name).output  # this machine may have no clipboard
    tb("token", "refresh", name, "--yes")
    assert text_of(filled, name) != before
    assert filled.get("/v0/sql?q=SELECT 1", token=before).status_code == 403
    tb("token", "rm", name, "--yes")
    assert name not in tb("token", "ls")


@pytest.mark.parametrize(
    ("scope", "resource"),
    [
        ("DATASOURCES:CREATE", None),
        ("DATASOURCES:APPEND", "sales"),
        ("DATASOURCES:DROP", "sales"),
        ("PIPES:CREATE", None),
        ("PIPES:READ", "by_country"),
        ("PIPES:DROP", "by_country"),
        ("TOKENS", None),
        ("ADMIN", None),
        ("WORKSPACE:READ_ALL", None),
    ],
)
def test_a_token_can_have_every_scope(tb: Tb, filled: Server, name: str, scope: str, resource: str | None) -> None:
    outcome = tb.run(
        "token", "create", "static", name, "--scope", scope, *(("--resource", resource) if resource else ())
    )
    if outcome.code:  # the client has a list of its own
        assert "Invalid value" in outcome.output and scope not in outcome.output.partition("one of")[2], outcome.output
        assert filled.post("/v0/tokens", params={"name": name, "scope": scope}).status_code == 200
    found = filled.get(f"/v0/tokens/{name}").json()["scopes"]
    assert [(each["type"], each.get("resource")) for each in found] == [(scope, resource)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--scope", "DATASOURCES:READ", "--resource", "nothing"), "nothing"),
        (("--scope", "DATASOURCES:READ", "--resource", "sales", "--filter", "nope ="), "filter"),
        (("--scope", "NONSENSE"), "NONSENSE"),
    ],
)
def test_a_wrong_token_is_refused_with_the_reason(tb: Tb, name: str, options: tuple[str, ...], said: str) -> None:
    outcome = tb.run("token", "create", "static", name, *options)
    assert outcome.code != 0 and said in outcome.output
    assert name not in tb("token", "ls")


def test_a_jwt_fixes_parameters_and_ends(tb: Tb, filled: Server, name: str) -> None:
    output = tb(
        "token", "create", "jwt", name, "--ttl", "1h", "--scope", "PIPES:READ", "--resource", "by_country",
        "--fixed-params", "country=PT",
    )  # fmt: skip
    (token,) = re.findall(r"ey[\w-]+\.[\w-]+\.[\w-]+", output) or [""]
    url = "/v0/pipes/by_country.json"
    for answer in (
        filled.get(url, token=token),
        filled.get(f"{url}?country=NO", token=token),
        filled.get(f"{url}?country=NO&country=PT", token=token),
        filled.post(url, data={"country": "NO"}, token=token),
        filled.post(url, json={"country": "NO"}, token=token),
    ):
        assert answer.status_code == 200 and answer.json()["data"] == [{"n": 10}], answer.text
    assert filled.get("/v0/sql?q=SELECT * FROM sales FORMAT JSON", token=token).status_code == 403
    assert filled.get("/v0/workspace", token=token).status_code == 403


def test_a_jwt_reads_the_rows_of_its_filter(tb: Tb, filled: Server, name: str) -> None:
    output = tb(
        "token", "create", "jwt", name, "--ttl", "1h", "--scope", "DATASOURCES:READ", "--resource", "sales",
        "--filter", "country = 'PT'",
    )  # fmt: skip
    (token,) = re.findall(r"ey[\w-]+\.[\w-]+\.[\w-]+", output) or [""]
    rows = filled.get("/v0/sql?q=SELECT country, n FROM sales FORMAT JSON", token=token).json()["data"]
    assert rows == [{"country": "PT", "n": 10}]


def test_a_push_leaves_what_a_token_has_beside(tb: Tb, filled: Server, name: str) -> None:
    """The text of a token and its other scopes survive a push that names it."""
    tb("token", "create", "static", name, "--scope", "PIPES:READ", "--resource", "by_country")
    before = text_of(filled, name)
    text = PROJECT["datasources/sales.datasource"]
    tb.write({"datasources/sales.datasource": f'TOKEN "{name}" READ\n\n{text}'})
    tb("push", "datasources/sales.datasource", "--force", "--yes")
    found = filled.get(f"/v0/tokens/{name}").json()
    assert found["token"] == before
    assert {each["type"] for each in found["scopes"]} == {"PIPES:READ", "DATASOURCES:READ"}
    assert json.dumps(filled.get("/v0/pipes/by_country.json", token=before).json()["data"]) == '[{"n": 1}]'

"""What a token may not change stays as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flows.flow_server import Server

SCHEMA = "id UInt32 `json:$.id`, extra String"
PIPE = {"name": "all_visits", "nodes": [{"name": "raw", "sql": "SELECT 1 AS id"}]}
FILES = {"files": {"pipes/new.pipe": "NODE a\nSQL >\n    SELECT 1 AS x\n"}}

DATA_SOURCE_CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v0/datasources?mode=replace&name=visits", {"content": b"1,a,x"}),
    ("POST", "/v0/datasources?mode=replace&name=visits&replace_condition=1", {"content": b"1,a,x"}),
    ("POST", "/v0/datasources?mode=replace&name=visits&url=http://127.0.0.1:1/x.csv", {}),
    ("POST", "/v0/datasources", {"data": {"name": "made", "schema": SCHEMA}}),
    ("POST", "/v0/datasources?mode=create&name=made", {"content": b"1,a,x"}),
    ("POST", "/v0/datasources/visits/alter", {"data": {"schema": SCHEMA}}),
    ("POST", "/v0/datasources/visits/truncate", {}),
    ("POST", "/v0/datasources/visits/delete", {"data": {"delete_condition": "1"}}),
    ("POST", "/v0/datasources/visits/delete", {"data": {"delete_condition": "1", "dry_run": "true"}}),
    ("POST", "/v0/datasources/exchange", {"data": {"datasource_a": "visits", "datasource_b": "passwords"}}),
    ("PUT", "/v0/datasources/visits?name=renamed", {}),
    ("PUT", "/v0/datasources/visits", {"data": {"description": "x"}}),
    ("POST", "/v0/analyze", {"content": b'{"a": 1}'}),
]
DATA_SOURCE_REMOVALS: list[tuple[str, str, dict[str, Any]]] = [
    ("DELETE", "/v0/datasources/visits", {}),
    ("DELETE", "/v0/datasources/visits?force=true", {}),
    ("DELETE", "/v0/datasources/visits?dry_run=true", {}),
]
PIPE_CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v0/pipes?force=true", {"json": PIPE}),
    ("POST", "/v0/pipes", {"json": {**PIPE, "name": "made"}}),
    ("PUT", "/v0/pipes/all_visits?name=renamed", {}),
    ("DELETE", "/v0/pipes/all_visits", {}),
    ("POST", "/v0/pipes/all_visits/nodes", {"content": b"SELECT 1 AS x"}),
    ("DELETE", "/v0/pipes/all_visits/nodes/raw", {}),
    ("PUT", "/v0/pipes/all_visits/nodes/raw/endpoint", {}),
    ("DELETE", "/v0/pipes/all_visits/nodes/result/endpoint", {}),
    ("POST", "/v0/pipes/all_visits/nodes/raw/materialization", {}),
    ("GET", "/v0/pipes/all_visits/nodes/raw/analysis", {}),
    ("POST", "/v0/pipes/all_visits/nodes/raw/population", {}),
    ("POST", "/v0/pipes/all_visits/nodes/raw/copy", {"data": {"target_datasource": "visits"}}),
    ("POST", "/v0/pipes/all_visits/copy", {}),
    ("GET", "/v0/jobs", {}),
]
TOKEN_CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/v0/tokens", {}),
    ("POST", "/v0/tokens?name=more&scope=ADMIN", {}),
    ("POST", "/v0/tokens?name=more&scope=DATASOURCES:READ:passwords", {}),
    ("POST", "/v0/tokens?name=more&expiration_time=4000000000", {"content": json.dumps({"scopes": []}).encode()}),
    ("PUT", "/v0/tokens/{own}?scope=ADMIN", {}),
    ("PUT", "/v0/tokens/{own}", {"content": b"scope=ADMIN"}),
    ("POST", "/v0/tokens/workspace%20admin%20token/refresh", {}),
    ("GET", "/v0/tokens/{own}", {}),
    ("DELETE", "/v0/tokens/{own}", {}),
    ("POST", "/v0/deployments", {"json": FILES}),
    ("POST", "/v0/deployments?dry_run=true", {"json": FILES}),
]
RESTS: dict[str, tuple[tuple[str, ...], list[tuple[str, str, dict[str, Any]]]]] = {
    "appends": (
        ("DATASOURCES:APPEND:visits",),
        DATA_SOURCE_CHANGES + DATA_SOURCE_REMOVALS + PIPE_CHANGES + TOKEN_CHANGES,
    ),
    "reads": (
        ("DATASOURCES:READ:visits", "PIPES:READ:all_visits"),
        DATA_SOURCE_CHANGES + DATA_SOURCE_REMOVALS + PIPE_CHANGES + TOKEN_CHANGES,
    ),
    "makes_data_sources": (("DATASOURCES:CREATE",), DATA_SOURCE_REMOVALS + PIPE_CHANGES + TOKEN_CHANGES),
    "makes_pipes": (
        ("PIPES:CREATE",),
        DATA_SOURCE_CHANGES + DATA_SOURCE_REMOVALS + TOKEN_CHANGES + [("DELETE", "/v0/pipes/all_visits", {})],
    ),
    "makes_both": (("DATASOURCES:CREATE", "PIPES:CREATE"), TOKEN_CHANGES),
}


def state(server: Server) -> object:
    """Rows, definitions and tokens of the workspace."""
    rows = server.sql("SELECT count() AS n, sum(id) AS ids FROM visits")
    definitions = [server.get(f"/v0/{kind}").json() for kind in ("datasources", "pipes")]
    names = [
        sorted((each["name"], each.get("description"), str(each.get("nodes", ""))) for each in found)
        for found in (definitions[0]["datasources"], definitions[1]["pipes"])
    ]
    tokens = [(each["name"], each["token"], str(each["scopes"])) for each in server.get("/v0/tokens").json()["tokens"]]
    return rows, names, tokens


@pytest.mark.parametrize("own", RESTS)
def test_a_token_changes_nothing_beyond_its_scopes(server: Server, own: str) -> None:
    scopes, requests = RESTS[own]
    token = server.token(own, *scopes)
    before = state(server)
    for method, path, options in requests:
        answer = server.request(method, path.format(own=own), token=token, **options)
        assert answer.status_code == 403, (method, path, answer.status_code, answer.text)
    assert state(server) == before


def test_who_may_manage_tokens_gives_no_more_than_that(server: Server) -> None:
    token = server.token("keeper", "TOKENS")
    for method, path, content in (
        ("PUT", "/v0/tokens/keeper?scope=ADMIN", b""),
        ("PUT", "/v0/tokens/keeper?scope=TOKENS&scope=admin_user", b""),
        ("PUT", "/v0/tokens/keeper", b"scope=TOKENS&scope=ADMIN"),
        ("POST", "/v0/tokens?name=crown&scope=ADMIN", b""),
        ("GET", "/v0/tokens/workspace%20admin%20token", b""),
        ("GET", "/v0/tokens/workspace%20admin%20token.token", b""),
        ("POST", "/v0/tokens/workspace%20admin%20token/refresh", b""),
    ):
        answer = server.request(method, path, token=token, content=content)
        assert answer.status_code == 403, (method, path, answer.text)
    assert server.admin_token not in server.get("/v0/tokens", token=token).text

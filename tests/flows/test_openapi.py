"""The OpenAPI description of the endpoints."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from flow_server import Server

ENDPOINT = """DESCRIPTION >
    Rows of a city
    and more about them

NODE first
SQL >
    %
    SELECT number AS n FROM numbers({{Int32(size, 10, description='How many', required=True)}})
    WHERE toString(n) IN {{Array(names, 'String', default='a,b', enum=['a', 'b', 'c'])}}

NODE last
SQL >
    %
    SELECT n FROM first
    WHERE today() > {{Date(since, '2024-01-01', example='2024-02-03')}}
    {% if defined(share) %} AND {{Float64(share)}} > 0 {% end %}

TYPE endpoint
"""


@pytest.fixture(scope="module", autouse=True)
def project(server: Server) -> None:
    other = "NODE one\nSQL >\n    SELECT 1 AS n\n\nTYPE endpoint\n"
    server.deploy({"pipes/oa_rows.pipe": ENDPOINT, "pipes/oa_other.pipe": other})
    unpublished = server.post("/v0/pipes", json={"name": "oa_part", "sql": "SELECT 1 AS n"}, params={"force": "true"})
    assert unpublished.json()["type"] == "default"


def described(server: Server, token: str | None = None) -> dict[str, Any]:
    answer = server.get("/v0/pipes/openapi.json", token=token)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def parameters(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in content["paths"]["/v0/pipes/oa_rows.json"]["get"]["parameters"]}


def test_every_endpoint_is_described_and_pipes_without_one_are_not(server: Server) -> None:
    content = described(server)
    assert content["openapi"].startswith("3.")
    assert content["servers"] == [{"url": server.url}]
    assert {"/v0/pipes/oa_rows.json", "/v0/pipes/oa_other.json"} <= set(content["paths"])
    assert "/v0/pipes/oa_part.json" not in content["paths"]
    operation = content["paths"]["/v0/pipes/oa_rows.json"]["get"]
    assert (operation["operationId"], operation["summary"]) == ("oa_rows", "Rows of a city")


def test_parameters_of_all_nodes_have_their_types_and_keywords(server: Server) -> None:
    found = parameters(described(server))
    assert found["size"] == {
        "name": "size",
        "in": "query",
        "required": True,
        "description": "How many",
        "schema": {"type": "integer", "default": 10},
    }
    assert found["names"]["schema"] == {
        "type": "array",
        "items": {"type": "string", "enum": ["a", "b", "c"]},
        "default": ["a", "b"],
    }
    assert (found["names"]["style"], found["names"]["explode"]) == ("form", False)
    assert found["since"]["schema"] == {"type": "string", "format": "date", "default": "2024-01-01"}
    assert (found["since"]["example"], found["since"]["required"]) == ("2024-02-03", False)
    assert found["share"]["schema"] == {"type": "number"}


def test_a_described_result_is_what_the_endpoint_answers(server: Server) -> None:
    result = described(server)["components"]["schemas"]["Result"]
    answer = server.get("/v0/pipes/oa_rows.json").json()
    assert set(result["required"]) <= set(answer) <= set(result["properties"])
    assert set(result["properties"]["statistics"]["properties"]) == set(answer["statistics"])


def test_a_token_sees_the_endpoints_it_can_read(server: Server, name: str) -> None:
    reader = server.token(name, "PIPES:READ:oa_rows")
    assert list(described(server, reader)["paths"]) == ["/v0/pipes/oa_rows.json"]


def test_a_parameter_that_the_token_fixes_is_not_offered(server: Server, name: str) -> None:
    scope = {"type": "PIPES:READ", "resource": "oa_rows", "fixed_params": {"size": 3}}
    expires = {"name": name, "expiration_time": int(time.time()) + 60}
    token = server.post("/v0/tokens", params=expires, content=json.dumps({"scopes": [scope]})).json()["token"]
    assert set(parameters(described(server, token))) == {"names", "since", "share"}

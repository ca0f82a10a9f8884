"""Static tokens and JWTs: made, used, changed, refreshed, deleted; nobody lifts themselves."""

from __future__ import annotations

import base64
import json
import time

import pytest
from flow_server import Server

SOURCE = "SCHEMA >\n    `city` String `json:$.city`,\n    `n` Int32 `json:$.n`\n\nENGINE_SORTING_KEY n\n"
PIPE = """NODE rows
SQL >
    %
    SELECT city, n FROM tok_events WHERE n >= {{Int32(least, 0)}} ORDER BY n

TYPE endpoint
"""
HOUR_SECONDS = 3_600


@pytest.fixture(scope="module", autouse=True)
def project(server: Server) -> None:
    server.deploy({"datasources/tok_events.datasource": SOURCE, "pipes/tok_rows.pipe": PIPE})
    rows = '{"city": "Oslo", "n": 1}\n{"city": "Rome", "n": 2}\n'
    assert server.post("/v0/events", params={"name": "tok_events", "wait": "true"}, content=rows).status_code == 200


def made(server: Server, name: str, *scopes: str, **values: str) -> dict[str, object]:
    parameters = [("name", name), *(("scope", scope) for scope in scopes), *values.items()]
    answer = server.post("/v0/tokens", params=parameters)
    assert answer.status_code == 200, answer.text
    token: dict[str, object] = answer.json()
    return token


def jwt(server: Server, name: str, content: object, seconds: int = HOUR_SECONDS) -> str:
    answer = server.post(
        "/v0/tokens",
        params={"name": name, "expiration_time": int(time.time()) + seconds},
        content=json.dumps(content),
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def numbers(server: Server, token: str, path: str = "/v0/pipes/tok_rows.json", **parameters: object) -> list[int]:
    answer = server.get(path, token=token, params=parameters)
    assert answer.status_code == 200, answer.text
    return [row["n"] for row in answer.json()["data"]]


def test_a_static_token_reads_what_its_scopes_name(server: Server, name: str) -> None:
    token = made(server, name, "PIPES:READ:tok_rows", "datasources:append:tok_events", description="Two deeds")
    assert token["scopes"] == [
        {"type": "PIPES:READ", "resource": "tok_rows"},
        {"type": "DATASOURCES:APPEND", "resource": "tok_events"},
    ]
    assert token["description"] == "Two deeds"
    assert str(token["token"]).startswith("p.ey")
    assert numbers(server, str(token["token"])) == [1, 2]
    refused = server.get("/v0/sql", token=str(token["token"]), params={"q": "SELECT * FROM tok_events FORMAT JSON"})
    assert refused.status_code == 403


def test_a_filter_keeps_its_colons_and_quotes_and_hides_rows(server: Server, name: str) -> None:
    scope = "DATASOURCES:READ:tok_events:city != 'a:b' AND n > 1"
    token = made(server, name, scope)
    assert token["scopes"] == [
        {"type": "DATASOURCES:READ", "resource": "tok_events", "filter": "city != 'a:b' AND n > 1"}
    ]
    query = "SELECT n FROM tok_events FORMAT JSON"
    assert numbers(server, str(token["token"]), "/v0/sql", q=query) == [2]


@pytest.mark.parametrize("condition", ["n = = 1", "n IN (SELECT n FROM tok_events)", "1) OR (1", "n = 1 FORMAT CSV"])
def test_a_filter_that_is_no_condition_is_refused_with_the_reason(server: Server, name: str, condition: str) -> None:
    answer = server.post("/v0/tokens", params={"name": name, "scope": f"DATASOURCES:READ:tok_events:{condition}"})
    assert answer.status_code == 400
    assert "DATASOURCES:READ:tok_events" in answer.json()["error"]
    assert server.get(f"/v0/tokens/{name}").status_code == 404


@pytest.mark.parametrize(
    ("values", "status", "reason"),
    [
        ({"name": "t"}, 400, "'scope' is required"),
        ({"scope": "TOKENS"}, 400, "'name' is required"),
        ({"name": "t", "scope": "PIPES:EAT:tok_rows"}, 400, "is not a scope"),
        ({"name": "t", "scope": "PIPES:READ:tok_missing"}, 404, "tok_missing"),
        ({"name": "t", "scope": "PIPES:READ:tok_events"}, 400, "datasource"),
        ({"name": "t", "scope": "TOKENS", "origin": "admin"}, 400, "origin"),
        ({"name": "workspace admin token", "scope": "TOKENS"}, 409, "already exists"),
        ({"name": "t", "expiration_time": "soon"}, 400, "expiration_time"),
        ({"name": "t", "expiration_time": "1"}, 400, "past"),
    ],
)
def test_what_cannot_be_a_token_is_refused(server: Server, values: dict[str, str], status: int, reason: str) -> None:
    answer = server.post("/v0/tokens", params=values)
    assert (answer.status_code, reason in answer.json()["error"]) == (status, True), answer.text


def test_a_token_is_found_by_name_and_by_id(server: Server, name: str) -> None:
    token = made(server, f"{name} with blanks", "TOKENS")
    assert server.get(f"/v0/tokens/{token['id']}").json() == token
    assert server.get(f"/v0/tokens/{name} with blanks").json() == token
    assert token in server.get("/v0/tokens").json()["tokens"]


def test_a_put_replaces_the_whole_list_of_scopes(server: Server, name: str) -> None:
    made(server, name, "PIPES:READ:tok_rows", "TOKENS")
    answer = server.put(f"/v0/tokens/{name}", params={"scope": ["DATASOURCES:READ:tok_events"]})
    assert answer.json()["scopes"] == [{"type": "DATASOURCES:READ", "resource": "tok_events"}]
    assert server.get(f"/v0/tokens/{name}").json() == answer.json()


def test_a_long_list_of_scopes_comes_as_a_body_without_escapes(server: Server, name: str) -> None:
    made(server, name, "TOKENS")
    body = "scope=PIPES:READ:tok_rows&scope=DATASOURCES:READ:tok_events:city LIKE '%20' OR n = 1 + 1"
    answer = server.put(f"/v0/tokens/{name}", content=body)
    assert [scope.get("filter") for scope in answer.json()["scopes"]] == [None, "city LIKE '%20' OR n = 1 + 1"]


def test_a_put_without_scopes_keeps_them(server: Server, name: str) -> None:
    token = made(server, name, "PIPES:READ:tok_rows")
    answer = server.put(f"/v0/tokens/{name}", params={"name": f"{name}_2", "description": "New"})
    assert answer.json() == {**token, "name": f"{name}_2", "description": "New"}


def test_a_refreshed_token_has_a_new_text_and_the_old_one_ends(server: Server, name: str) -> None:
    token = made(server, name, "PIPES:READ:tok_rows")
    fresh = server.post(f"/v0/tokens/{name}/refresh").json()
    assert {**fresh, "token": ""} == {**token, "token": ""}
    assert numbers(server, fresh["token"]) == [1, 2]
    assert server.get("/v0/pipes/tok_rows.json", token=str(token["token"])).status_code == 403


def test_a_deleted_token_ends(server: Server, name: str) -> None:
    token = made(server, name, "PIPES:READ:tok_rows")
    assert server.delete(f"/v0/tokens/{token['id']}").status_code == 204
    assert server.get(f"/v0/tokens/{name}").status_code == 404
    assert server.get("/v0/pipes/tok_rows.json", token=str(token["token"])).status_code == 403


def test_the_default_tokens_cannot_be_deleted(server: Server) -> None:
    assert server.delete("/v0/tokens/workspace admin token").status_code == 409


def test_a_token_is_written_as_the_datafile_that_would_make_it(server: Server, name: str) -> None:
    made(server, name, "DATASOURCES:READ:tok_events:n > 1", "PIPES:READ:tok_rows", description="Ops people")
    answer = server.get(f"/v0/tokens/{name}.token")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.text == (
        "DESCRIPTION >\n    Ops people\n\n"
        "SCOPE DATASOURCES:READ\nRESOURCE tok_events\nFILTER n > 1\n\n"
        "SCOPE PIPES:READ\nRESOURCE tok_rows\n"
    )


def test_who_has_no_scope_tokens_sees_and_makes_none(server: Server, name: str) -> None:
    reader = server.token(name, "PIPES:READ:tok_rows")
    assert server.get("/v0/tokens", token=reader).status_code == 403
    assert server.get(f"/v0/tokens/{name}", token=reader).status_code == 403
    assert server.post("/v0/tokens", token=reader, params={"name": "x", "scope": "TOKENS"}).status_code == 403


def test_the_scope_tokens_does_not_reach_admin_tokens(server: Server, name: str) -> None:
    keeper = server.token(name, "TOKENS")
    listed = server.get("/v0/tokens", token=keeper).json()["tokens"]
    assert name in {token["name"] for token in listed}
    assert not [token for token in listed if any("ADMIN" in scope["type"] for scope in token["scopes"])]
    admin = "/v0/tokens/workspace admin token"
    tries = [
        server.get(admin, token=keeper),
        server.get(f"{admin}.token", token=keeper),
        server.post(f"{admin}/refresh", token=keeper),
        server.delete(admin, token=keeper),
        server.post("/v0/tokens", token=keeper, params={"name": f"{name}_up", "scope": "ADMIN"}),
        server.put(f"/v0/tokens/{name}", token=keeper, params={"scope": "ADMIN"}),
    ]
    assert [answer.status_code for answer in tries] == [403] * len(tries)


def test_the_user_token_is_told_to_no_admin_token(server: Server) -> None:
    assert server.get("/v0/tokens/user token").status_code == 404


def test_a_jwt_reads_with_its_fixed_parameters(server: Server, name: str) -> None:
    scope = {"type": "PIPES:READ", "resource": "tok_rows", "fixed_params": {"least": 2}}
    token = jwt(server, name, {"scopes": [scope]})
    assert numbers(server, token, least=0) == [2]
    assert server.get("/v0/tokens", token=token).status_code == 403


def test_a_jwt_reads_the_rows_of_its_filter(server: Server, name: str) -> None:
    scope = {"type": "DATASOURCES:READ", "resource": "tok_events", "filter": "city = 'Rome'"}
    token = jwt(server, name, {"scopes": [scope]})
    assert numbers(server, token, "/v0/sql", q="SELECT n FROM tok_events FORMAT JSON") == [2]


def test_a_jwt_ends_when_its_time_is_over(server: Server, name: str) -> None:
    token = jwt(server, name, {"scopes": [{"type": "PIPES:READ", "resource": "tok_rows"}]}, seconds=1)
    time.sleep(1.1)
    answer = server.get("/v0/pipes/tok_rows.json", token=token)
    assert answer.status_code == 403
    assert "expired" in answer.json()["error"]


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        ({"scopes": [{"type": "PIPES:READ", "resource": "tok_row"}]}, 404, "Did you mean 'tok_rows'?"),
        ({"scopes": [{"type": "ADMIN"}]}, 400, "cannot have the scope"),
        ({"scopes": [{"type": "DATASOURCES:READ", "resource": "tok_events", "filter": "n ="}]}, 400, "filter"),
        ({"scopes": [], "limits": {"rps": "ten"}}, 400, "limits"),
        (["no object"], 400, "JSON object"),
    ],
)
def test_what_cannot_be_a_jwt_is_refused(server: Server, content: object, status: int, reason: str) -> None:
    answer = server.post(
        "/v0/tokens", params={"name": "j", "expiration_time": int(time.time()) + 60}, content=json.dumps(content)
    )
    assert (answer.status_code, reason in answer.json()["error"]) == (status, True), answer.text


def test_a_jwt_with_a_limit_is_told_what_is_left_and_then_to_wait(server: Server, name: str) -> None:
    token = jwt(server, name, {"scopes": [{"type": "PIPES:READ", "resource": "tok_rows"}], "limits": {"rps": 2}})
    answers = [server.get("/v0/pipes/tok_rows.json", token=token) for _ in range(12)]
    first, refused = answers[0], next(answer for answer in answers if answer.status_code == 429)
    assert (first.status_code, first.headers["x-ratelimit-limit"], first.headers["x-ratelimit-remaining"]) == (
        200,
        "2",
        "1",
    )
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert name in refused.json()["error"]


def test_a_token_says_whose_it_is_without_saying_its_key(server: Server, name: str) -> None:
    body = str(made(server, name, "TOKENS")["token"]).split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert set(claims) <= {"u", "id", "g", "host"}


def test_every_answer_has_a_request_id_of_its_own(server: Server) -> None:
    answers = [server.get("/health"), server.get("/v0/tokens"), server.get("/v0/tokens", token="")]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == len(answers)


def test_a_page_in_a_browser_may_read_the_headers_of_an_answer(server: Server) -> None:
    answer = server.get("/v0/tokens", headers={"Origin": "https://example.com"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-expose-headers"] == "*"


def test_a_deployment_gives_no_scope_that_its_token_could_not_give(server: Server, name: str) -> None:
    deployer = server.token(name, "TOKENS", "DATASOURCES:CREATE", "PIPES:CREATE")
    files = {f"tokens/{name}.token": "SCOPE ADMIN\n"}
    answer = server.post("/v0/deployments", token=deployer, json={"files": files})
    assert answer.status_code == 403
    assert {"type": "ADMIN"} not in server.get(f"/v0/tokens/{name}").json()["scopes"]


def test_a_deployed_filter_that_is_no_condition_is_refused(server: Server, name: str) -> None:
    text = "SCOPE DATASOURCES:READ\nRESOURCE tok_events\nFILTER n = = 1\n"
    answer = server.post("/v0/deployments", json={"files": {f"tokens/{name}.token": text}})
    assert answer.status_code == 400
    assert "filter" in answer.json()["error"]

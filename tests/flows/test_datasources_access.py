"""Which token may do what to a data source; a refusal changes nothing."""

from __future__ import annotations

import pytest
from flow_server import Server

ROW = b'{"id": 1}\n'


@pytest.fixture
def made(server: Server, name: str) -> str:
    for each in (name, f"{name}_other"):
        form = {"name": each, "schema": "`id` Int32 `json:$.id`"}
        assert server.post("/v0/datasources", data=form).status_code == 200
    return name


def requests(name: str) -> dict[str, tuple[str, str, dict[str, object]]]:
    path = f"/v0/datasources/{name}"
    mode = {"name": name, "format": "ndjson"}
    return {
        "read": ("GET", path, {}),
        "text": ("GET", f"{path}.datasource", {}),
        "append": ("POST", "/v0/datasources", {"params": {**mode, "mode": "append"}, "content": ROW}),
        "replace": ("POST", "/v0/datasources", {"params": {**mode, "mode": "replace"}, "content": ROW}),
        "create": ("POST", "/v0/datasources", {"data": {"name": f"{name}_more", "schema": "a Int32"}}),
        "file": ("POST", "/v0/datasources", {"params": {"name": f"{name}_file"}, "content": ROW}),
        "alter": ("POST", f"{path}/alter", {"data": {"schema": "`id` Int32 `json:$.id`,`b` Int32 `json:$.b`"}}),
        "rename": ("PUT", path, {"data": {"name": f"{name}_renamed"}}),
        "truncate": ("POST", f"{path}/truncate", {}),
        "delete": ("POST", f"{path}/delete", {"data": {"delete_condition": "1"}}),
        "exchange": ("POST", "/v0/datasources/exchange", {"data": {"datasource_a": name, "datasource_b": name}}),
        "drop": ("DELETE", path, {"params": {"force": "true"}}),
        "analyze": ("POST", "/v0/analyze", {"content": ROW}),
        "dependencies": ("GET", "/v0/dependencies", {}),
    }


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("DATASOURCES:READ:@", {"read", "text"}),
        ("DATASOURCES:APPEND:@", {"read", "text", "append"}),
        ("DATASOURCES:DROP:@", {"read", "text", "drop"}),
        ("DATASOURCES:READ:@_other", set()),
        ("TOKENS", set()),
        ("WORKSPACE:READ_ALL", {"read", "text", "dependencies"}),
    ],
)
def test_a_token_does_what_its_scope_says_and_nothing_else(
    server: Server, made: str, scope: str, allowed: set[str]
) -> None:
    scope = scope.replace("@", made)
    token = server.token(f"t_{made}", scope)
    before = server.get(f"/v0/datasources/{made}").json()
    for deed, (method, path, options) in requests(made).items():
        if deed in allowed:
            continue
        answer = server.request(method, path, token=token, **options)
        assert answer.status_code == 403, (deed, answer.text)
        assert "needs the scope" in answer.json()["error"]
    after = server.get(f"/v0/datasources/{made}").json()
    assert after == before
    for deed in sorted(allowed, key=lambda each: each == "drop"):
        method, path, options = requests(made)[deed]
        answer = server.request(method, path, token=token, **options)
        assert answer.status_code in (200, 204), (deed, answer.text)


def test_the_list_shows_only_what_the_token_has_a_scope_on(server: Server, made: str) -> None:
    token = server.token(f"t_{made}", f"DATASOURCES:READ:{made}")
    listed = server.get("/v0/datasources", token=token).json()["datasources"]
    assert [each["name"] for each in listed] == [made]
    create = server.token(f"c_{made}", "DATASOURCES:CREATE")
    listed = server.get("/v0/datasources", token=create).json()["datasources"]
    assert {made, f"{made}_other"} <= {each["name"] for each in listed}


@pytest.mark.parametrize("token", ["", "nonsense", "p.eyJ1IjogIngiLCAiaWQiOiAieCJ9.AAAA"])
def test_no_token_or_a_wrong_one_reaches_nothing(server: Server, made: str, token: str) -> None:
    for deed, (method, path, options) in requests(made).items():
        answer = server.request(method, path, token=token, **options)
        assert answer.status_code == 403, (deed, answer.text)
        assert answer.json()["error"]
    assert server.sql(f"SELECT count() AS c FROM {made}") == [{"c": 0}]

"""The Events API: what is acknowledged is there, what does not fit is told."""

from __future__ import annotations

import gzip
import json
import uuid

import pytest
import zstandard
from flow_server import Server

SCHEMA = "`id` Int64 `json:$.id`,`user` String `json:$.user`,`tags` Array(String) `json:$.tags[:]`"


@pytest.fixture
def name(server: Server) -> str:
    name = f"ev_{uuid.uuid4().hex[:12]}"
    answer = server.post("/v0/datasources", data={"name": name, "schema": SCHEMA, "format": "ndjson"})
    assert answer.status_code == 200, answer.text
    return name


def row(number: int, **more: object) -> bytes:
    return json.dumps({"id": number, "user": "ann", "tags": ["a"], **more}).encode()


def lines(count: int) -> bytes:
    return b"\n".join(row(number) for number in range(count))


def count(server: Server, name: str) -> int:
    return int(server.sql(f"SELECT count() AS c FROM {name}")[0]["c"])


@pytest.mark.parametrize(
    ("body", "headers", "parameters"),
    [
        (lines(3), {}, {}),
        (lines(3) + b"\n\n", {}, {}),
        (gzip.compress(lines(3), mtime=0), {"Content-Encoding": "gzip"}, {}),
        (zstandard.compress(lines(3)), {"Content-Encoding": "zstd"}, {}),
        (b"[" + b",".join(row(number) for number in range(3)) + b"]", {}, {"format": "json"}),
    ],
)
def test_rows_are_there_once_they_are_acknowledged(
    server: Server, name: str, body: bytes, headers: dict[str, str], parameters: dict[str, str]
) -> None:
    answer = server.post("/v0/events", params={"name": name, **parameters}, content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (202, {"successful_rows": 3, "quarantined_rows": 0})
    assert count(server, name) == 3


def test_waiting_changes_the_status_alone(server: Server, name: str) -> None:
    answer = server.post("/v0/events", params={"name": name, "wait": "true"}, content=row(1))
    assert answer.status_code == 200
    assert count(server, name) == 1


def test_a_pretty_printed_object_is_one_row(server: Server, name: str) -> None:
    body = json.dumps({"id": 1, "user": "ann", "tags": []}, indent=2)
    answer = server.post("/v0/events", params={"name": name, "format": "json"}, content=body)
    assert answer.json() == {"successful_rows": 1, "quarantined_rows": 0}


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        (b'{"id": "x", "user": "ann", "tags": []}', "id", "Invalid value x for type 'Int64'"),
        (b'{"user": "ann", "tags": []}', "id", ""),
        (b'{"id": 1, "user": 5, "tags": []}', "user", "5"),
        (b"not json", "", ""),
        (b'{"id": 1, "user": "ann", "tags": [', "", ""),
        (b'{"id": 1, "user": "\xff", "tags": []}', "", ""),
    ],
)
def test_a_misfit_goes_to_quarantine_with_its_reason(
    server: Server, name: str, line: bytes, column: str, reason: str
) -> None:
    body = b"\n".join([row(1), line, row(2)])
    answer = server.post("/v0/events", params={"name": name}, content=body)
    assert answer.json() == {"successful_rows": 2, "quarantined_rows": 1}
    assert count(server, name) == 2
    (found,) = server.sql(f"SELECT c__error_column AS columns, c__error AS reasons FROM {name}_quarantine")
    assert found["reasons"] != []
    if column:
        assert column in found["columns"]
    assert reason in "".join(found["reasons"])


@pytest.mark.parametrize(
    ("parameters", "body", "status", "message"),
    [
        ({}, row(1), 400, "The parameter 'name' is required"),
        ({"name": "NAME"}, b"", 400, "The body is empty"),
        ({"name": "NAME"}, b" \n ", 400, "The body is empty"),
        ({"name": "NAME", "format": "csv"}, row(1), 400, "Events have no format 'csv'."),
        ({"name": "NAME"}, b"x" * 10_000_001, 413, "The body has more than 10000000 bytes"),
    ],
)
def test_bad_requests_are_told_apart(
    server: Server, name: str, parameters: dict[str, str], body: bytes, status: int, message: str
) -> None:
    parameters = {key: value.replace("NAME", name) for key, value in parameters.items()}
    answer = server.post("/v0/events", params=parameters, content=body)
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert count(server, name) == 0


def test_a_bomb_is_refused_before_it_unfolds(server: Server, name: str) -> None:
    body = gzip.compress(b" " * 50_000_000)
    answer = server.post("/v0/events", params={"name": name}, content=body, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    assert count(server, name) == 0


def test_a_line_of_megabytes_does_not_take_its_neighbours_with_it(server: Server, name: str) -> None:
    body = b"\n".join([row(1), row(2, user="x" * 3_000_000), row(3)])
    answer = server.post("/v0/events", params={"name": name}, content=body)
    assert sum(answer.json().values()) == 3
    assert {each["id"] for each in server.sql(f"SELECT id FROM {name}")} >= {1, 3}


def test_tokens_append_only_where_they_may(server: Server, name: str) -> None:
    appender = server.token(f"append {name}", f"DATASOURCES:APPEND:{name}")
    reader = server.token(f"read {name}", f"DATASOURCES:READ:{name}")
    assert server.post("/v0/events", token=appender, params={"name": name}, content=row(1)).status_code == 202
    refused = server.post("/v0/events", token=reader, params={"name": name}, content=row(2))
    assert refused.status_code == 403
    assert f"DATASOURCES:APPEND:{name}" in refused.json()["error"]
    assert server.post("/v0/events", token="p.eyJ1.x", params={"name": name}, content=row(3)).status_code == 403
    assert count(server, name) == 1


def test_an_unknown_data_source_is_made_for_a_token_that_may(server: Server) -> None:
    name = f"ev_{uuid.uuid4().hex[:12]}"
    appender = server.token(f"create {name}", "DATASOURCES:CREATE")
    answer = server.post("/v0/events", token=appender, params={"name": name}, content=lines(3))
    assert answer.json() == {"successful_rows": 3, "quarantined_rows": 0}
    assert server.sql(f"SELECT user, tags FROM {name} LIMIT 1") == [{"user": "ann", "tags": ["a"]}]


def test_an_unknown_data_source_is_told_to_everybody_else(server: Server, name: str) -> None:
    appender = server.token(f"other {name}", f"DATASOURCES:APPEND:{name}")
    answer = server.post("/v0/events", token=appender, params={"name": f"{name}x"}, content=row(1))
    assert answer.status_code == 404
    assert answer.json()["error"] == f"Data Source '{name}x' not found. Did you mean '{name}'?"


def test_browsers_may_post_from_any_page(server: Server, name: str) -> None:
    headers = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    answer = server.request("OPTIONS", "/v0/events", token="", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"

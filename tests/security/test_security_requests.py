"""Requests that nobody sends by accident: each is answered, none with a crash, and none tells what it should not."""

from __future__ import annotations

import json
import re
import socket
from urllib.parse import urlencode, urlsplit

import pytest
from flows.flow_server import Server
from hidden_rows import HIDDEN
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdhouse.api.routes import ROUTES

GENERATED_CASES = 400
TOLD_TOO_MUCH = re.compile(r"\b(w|scratch)_[0-9a-f]{8}|Traceback|site-packages|birdhouse/\w+/\w+\.py")

SEGMENTS = [
    "fuzzed",
    "fuzzed_pipe",
    "node",
    "missing",
    "%00",
    "%2e%2e",
    "a%2Fb",
    "%F0%9F%98%80",
    "x" * 3000,
    "%ff",
    ";",
]
VALUES = [
    "", "1", "-1", "1e999", "NaN", "null", "x" * 5000, "\x00", "'", "\ufffd", "[]", "{}", "{{x}}", "%", "SELECT 1",
    "((a+)+)$", "(((", "[{]", "2024-01-01", "9" * 30, "fuzzed", "node", "append", "replace", "create", "1; DROP TABLE",
]  # fmt: skip
KEYS = [
    "name", "q", "mode", "format", "schema", "engine", "engine_sorting_key", "engine_ttl", "indexes", "tags", "scope",
    "expiration_time", "attrs", "node_attrs", "delete_condition", "replace_condition", "dry_run", "datasource_a",
    "datasource_b", "dialect_delimiter", "populate_subset", "_mode", "target_datasource", "datasource", "match",
    "created_after", "explain", "pipeline", "sql", "replacements", "raising", "nodes", "files", "scopes", "limits",
    "export_params", "type", "backfill_column", "description",
]  # fmt: skip

texts = st.sampled_from(VALUES)
documents = st.recursive(
    texts | st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
nodes = st.fixed_dictionaries(
    {"name": st.just("node") | documents, "sql": st.just("SELECT 1 AS x") | documents},
    optional=dict.fromkeys(("type", "engine", "datasource", "export_params", "mode", "copy_schedule"), documents),
)
pipes = st.fixed_dictionaries({"name": st.just("fuzzed_pipe") | documents, "nodes": st.lists(nodes, max_size=3)})
fields = st.lists(st.tuples(st.sampled_from(KEYS), texts), max_size=6)
parts = st.lists(st.tuples(st.sampled_from([*KEYS, "csv", 'x"; filename="a.csv']), texts), max_size=3)


def multipart(parts: list[tuple[str, str]]) -> bytes:
    shown = (f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts)
    return "".join(shown).encode()


bodies = st.one_of(
    st.tuples(st.just("application/json"), (documents | pipes).map(lambda each: json.dumps(each).encode())),
    st.tuples(st.just(""), documents.map(lambda each: json.dumps(each).encode())),
    st.tuples(st.just("application/x-www-form-urlencoded"), fields.map(lambda each: urlencode(each).encode())),
    st.tuples(st.just("multipart/form-data; boundary=x"), parts.map(multipart)),
    st.tuples(st.just("multipart/form-data; boundary=x"), parts.map(lambda each: multipart(each) + b"--x--\r\n")),
    st.tuples(st.sampled_from(["application/json", "multipart/form-data", "text/plain"]), st.binary(max_size=80)),
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, str, bytes]:
    route = draw(st.sampled_from(ROUTES))
    path = re.sub(r"\{\w+(:path)?\}", lambda _: draw(st.sampled_from(SEGMENTS)), route.path)
    methods = sorted(route.methods or {"GET"})
    method = draw(st.sampled_from([*methods, "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]))
    query = urlencode(draw(fields))
    return method, f"{path}?{query}", *draw(bodies)


@settings(max_examples=GENERATED_CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=requests())
def test_no_request_is_answered_with_a_crash(server: Server, request: tuple[str, str, str, bytes]) -> None:
    method, path, content_type, body = request
    answer = server.request(method, path, content=body, headers={"Content-Type": content_type})
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and method != "HEAD":
        refused(answer.text)


def refused(text: str) -> str:
    """The message of an error answer, which tells nothing about our insides."""
    message = json.loads(text)["error"]
    assert isinstance(message, str)
    assert message
    assert not TOLD_TOO_MUCH.search(text), text
    return message


CRASHED_ONCE = [
    ("POST", "/v0/pipes/all_visits/nodes", "application/x-www-form-urlencoded", b"name=x"),
    ("POST", "/v0/analyze", "", b'{"\\ud800": 1}'),
    ("POST", "/v0/analyze", "", b'{"a": "\\ud800"}'),
    ("POST", "/v0/pipes", "application/json", b'{"name": "x", "nodes": "SELECT 1"}'),
    ("POST", "/v0/pipes", "application/json", b'{"name": null, "nodes": [{"sql": 5}]}'),
    ("POST", "/v0/pipes", "application/json",
     b'{"name": "x", "nodes": [{"name": "n", "sql": "SELECT 1", "type": "sink", "export_params": "x"}]}'),
    ("POST", "/v0/pipes", "application/json", b"[" * 5000),
    ("POST", "/v0/pipes", "application/json", b'{"a": NaN}'),
    ("POST", "/v0/deployments", "application/json", b'{"files": {"x.pipe": 1}}'),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "content_type", "body"), CRASHED_ONCE)
def test_a_malformed_body_is_refused(server: Server, method: str, path: str, content_type: str, body: bytes) -> None:
    answer = server.request(method, path, content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 400, answer.text
    refused(answer.text)


FAILING = [
    "SELECT missing FROM visits",
    "SELECT id FROM visits WHERE missing = 1",
    "SELECT * FROM visits FINAL",
    "SELECT id FROM visits PREWHERE id > 0",
    "SELECT * FROM visits SAMPLE 1",
    "SELECT _database FROM (SELECT * FROM visits)",
    "SELECT toUInt32(note) FROM visits",
    "SELECT id FROM visits JOIN passwords USING (nothing)",
]


@pytest.mark.parametrize("sql", FAILING)
def test_an_error_of_the_engine_does_not_tell_how_rows_are_kept(server: Server, sql: str) -> None:
    token = server.token(f"fails{FAILING.index(sql)}", "DATASOURCES:READ:visits:tenant = 'a'")
    for each in (token, server.admin_token):
        answer = server.get("/v0/sql", params={"q": sql}, token=each)
        if answer.status_code != 200:
            refused(answer.text)
    assert HIDDEN not in server.get("/v0/sql", params={"q": sql}, token=token).text


def test_the_log_holds_no_token(server: Server) -> None:
    token = server.token("unlogged", "PIPES:READ:all_visits")
    for path in ("/v0/sql?q=SELECT", "/v0/nowhere?x=1", "/v0/pipes/all_visits.json?q=SELECT+missing+FROM+_"):
        server.get(f"{path}&token={token}", token="")
    log = server.data_dir.with_suffix(".log").read_text("utf-8", "replace")
    assert token not in log
    assert server.admin_token not in log


BROKEN_REQUESTS = [
    b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v0/sql HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\nSELECT 1",
    b"POST /v0/sql HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v0/sql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nSELECT 1\r\n",
    b"GET /v0/pipes/\xff%c3%28.json HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x00\xff",
]


def connected(server: Server) -> socket.socket:
    place = urlsplit(server.url)
    return socket.create_connection((place.hostname, place.port or 80), timeout=5)


@pytest.mark.parametrize("request_bytes", BROKEN_REQUESTS)
def test_what_is_no_http_is_refused(server: Server, request_bytes: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(request_bytes)
        assert re.match(rb"HTTP/1\.1 4\d\d ", connection.recv(4096))
    assert server.get("/health").status_code == 200


def test_clients_that_never_finish_their_request_block_nobody(server: Server) -> None:
    connections = [connected(server) for _ in range(200)]
    head = f"POST /v0/events?name=visits HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.admin_token}\r\n"
    for number, connection in enumerate(connections):
        connection.sendall(b"GET /v0/sql?q=" if number % 2 else f"{head}Content-Length: 1000\r\n\r\n{{".encode())
    assert server.get("/v0/sql", params={"q": "SELECT 1"}, timeout=5).text == "1\n"
    for connection in connections:
        connection.close()


def test_a_form_of_undeclared_length_has_a_limit(server: Server) -> None:
    def chunks() -> object:
        yield b"q="
        for _ in range(10):
            yield b"x" * 1_000_000

    answer = server.post("/v0/sql", content=chunks(), headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 413
    refused(answer.text)

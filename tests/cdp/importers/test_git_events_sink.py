"""The events sink against a small server that answers as it is told."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from git_repositories import Clone

from cdp.importers.git import EventsSink, GitImportError
from cdp.importers.git.__main__ import main
from cdp.sink import ATTEMPTS_MAX, BODY_BYTES_MAX, BODY_ROWS_MAX, bodies


class Server(ThreadingHTTPServer):
    """Answers `script` first, (status, headers, body) each, then counts rows as the events API does."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[tuple[int, dict[str, str], bytes]] = []
        self.requests: list[dict[str, Any]] = []
        self.quarantine: set[str] = set()
        self.delay_seconds = 0.0
        self.busy = self.busiest = 0
        self.lock = threading.Lock()

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        rows = [json.loads(line) for line in body.splitlines()]
        server = self.server
        with server.lock:
            server.busy += 1
            server.busiest = max(server.busiest, server.busy)
            server.requests.append({"path": url.path, "query": query, "rows": rows, "headers": dict(self.headers)})
            scripted = server.script.pop(0) if server.script else None
        time.sleep(server.delay_seconds)
        bad = len(rows) if query["name"] in server.quarantine else 0
        counts = json.dumps({"successful_rows": len(rows) - bad, "quarantined_rows": bad}).encode()
        status, headers, answer = scripted or (200, {}, counts)
        with server.lock:
            server.busy -= 1
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


ROWS = [b'{"n":1}', b'{"n":2}']


async def test_rows_are_posted_as_ndjson_and_awaited(server: Server) -> None:
    async with EventsSink(server.host + "/", "secret") as sink:
        assert await sink.send("members", iter(ROWS)) == (2, 0)
    (request,) = server.requests
    assert request["path"] == "/v0/events"
    assert request["query"] == {"name": "members", "wait": "true"}
    assert request["rows"] == [{"n": 1}, {"n": 2}]
    assert request["headers"]["Authorization"] == "Bearer secret"


async def test_bodies_can_travel_compressed(server: Server) -> None:
    async with EventsSink(server.host, "t", compress=True) as sink:
        await sink.send("members", ROWS)
    assert server.requests[0]["headers"]["Content-Encoding"] == "gzip"
    assert server.requests[0]["rows"] == [{"n": 1}, {"n": 2}]


def test_bodies_stay_within_rows_and_bytes() -> None:
    many = list(bodies([b"{}"] * (BODY_ROWS_MAX * 2 + 1)))
    assert [body.rows for body in many] == [BODY_ROWS_MAX, BODY_ROWS_MAX, 1]
    large = list(bodies([b"x" * 1_999_999] * 5))
    assert [body.rows for body in large] == [2, 2, 1]
    assert all(len(body.content) <= BODY_BYTES_MAX for body in large)
    assert list(bodies([])) == []


@pytest.mark.parametrize("status", [429, 503, 500, 502, 504, 408])
async def test_a_busy_server_is_asked_again(server: Server, status: int) -> None:
    server.script = [(status, {"Retry-After": "0"}, b"busy"), (status, {}, b"busy")]
    async with EventsSink(server.host, "t", backoff_seconds=0.001) as sink:
        assert await sink.send("members", ROWS) == (2, 0)
    assert len(server.requests) == 3


@pytest.mark.parametrize("retry_after", ["1.5", "Wed, 21 Oct 2015 07:28:00 GMT", "soon"])
async def test_retry_after_decides_how_long_to_wait(server: Server, retry_after: str) -> None:
    server.script = [(429, {"Retry-After": retry_after}, b"")]
    started = time.monotonic()
    async with EventsSink(server.host, "t", backoff_seconds=0.001) as sink:
        await sink.send("members", ROWS)
    assert (time.monotonic() - started >= 1.5) is (retry_after == "1.5")


async def test_a_server_that_stays_busy_is_given_up(server: Server) -> None:
    server.script = [(503, {"Retry-After": "0"}, b"overloaded")] * ATTEMPTS_MAX
    async with EventsSink(server.host, "t") as sink:
        with pytest.raises(GitImportError, match=r"did not take 2 rows of members .*503: overloaded"):
            await sink.send("members", ROWS)
    assert len(server.requests) == ATTEMPTS_MAX


async def test_a_server_that_is_not_there_is_given_up(server: Server) -> None:
    async with EventsSink("http://127.0.0.1:9", "t", backoff_seconds=0.0001) as sink:
        with pytest.raises(GitImportError, match="ConnectError"):
            await sink.send("members", ROWS)


@pytest.mark.parametrize(
    ("status", "hint"),
    [(400, ""), (403, "DATASOURCES:APPEND"), (404, "Deploy the data project"), (413, "smaller"), (422, "view")],
)
async def test_a_refusal_is_final_and_says_what_to_do(server: Server, status: int, hint: str) -> None:
    server.script = [(status, {}, b'{"error": "no"}')]
    async with EventsSink(server.host, "t") as sink:
        with pytest.raises(GitImportError, match=f"refused rows of members.*status {status}.*{hint}"):
            await sink.send("members", ROWS)
    assert len(server.requests) == 1


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b"[]", b'{"successful_rows": 1, "quarantined_rows": 0}'])
async def test_an_answer_that_does_not_count_every_row_is_an_error(server: Server, answer: bytes) -> None:
    server.script = [(200, {}, answer)]
    async with EventsSink(server.host, "t") as sink:
        with pytest.raises(GitImportError, match="rows of members"):
            await sink.send("members", ROWS)


async def test_few_bodies_are_in_flight_at_once(server: Server) -> None:
    server.delay_seconds = 0.15
    async with EventsSink(server.host, "t", in_flight=3) as sink:
        receipt = await sink.send("members", [b"{}"] * BODY_ROWS_MAX * 6)
    assert receipt.rows == BODY_ROWS_MAX * 6
    assert server.busiest == 3


async def test_one_refused_body_ends_the_send(server: Server) -> None:
    server.script = [(403, {}, b"no")]
    async with EventsSink(server.host, "t", in_flight=2) as sink:
        with pytest.raises(GitImportError, match="status 403"):
            await sink.send("members", [b"{}"] * BODY_ROWS_MAX * 20)
    assert len(server.requests) < 20


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    clone = Clone(tmp_path / "rocket")
    clone.commit("one")
    clone.commit("two")
    return clone


def test_the_command_imports_and_prints_a_summary(
    server: Server, clone: Clone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state.json"
    arguments = [str(clone.path), "--host", server.host, "--token", "t", "--state", str(state), "--json"]
    assert main(arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["commits"], summary["activities"], summary["full"]) == (2, 2, True)
    assert summary["sent_rows"] == sum(len(request["rows"]) for request in server.requests)
    assert main(arguments[:-1]) == 0
    assert "nothing new" in capsys.readouterr().out
    assert {request["query"]["name"] for request in server.requests} == {
        "activityTypes", "segments", "integrations", "insightsProjects", "repositories", "organizations",
        "organizationIdentities", "members", "memberIdentities", "activities", "activityRelations",
    }  # fmt: skip


def test_the_command_fails_when_rows_go_to_quarantine(
    server: Server, clone: Clone, capsys: pytest.CaptureFixture[str]
) -> None:
    server.quarantine = {"activities"}
    assert main([str(clone.path), "--host", server.host, "--token", "t"]) == 1
    assert "2 rows went to activities_quarantine" in capsys.readouterr().err


def test_the_command_explains_what_it_cannot_do(
    clone: Clone, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BIRDHOUSE_TOKEN", raising=False)
    assert main([str(clone.path)]) == 2
    assert "No token" in capsys.readouterr().err
    assert main([str(tmp_path / "missing"), "--token", "t"]) == 1
    assert "not a git repository" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "example:" in capsys.readouterr().out

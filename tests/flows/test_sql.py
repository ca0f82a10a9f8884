"""`/v0/sql`: how a query comes in, in which forms it is answered, and what is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from flow_server import Server, running_server
from recorded import recorded_requests

EVENTS = """\
SCHEMA >
    `id` UInt64 `json:$.id`,
    `name` String `json:$.name`

ENGINE "MergeTree"
ENGINE_SORTING_KEY "id"
"""

PIPES = {
    "pipes/q_doubled.pipe": "NODE doubled\nSQL >\n    SELECT id * 2 AS twice FROM q_events\n\n"
    "NODE in_order\nSQL >\n    SELECT twice FROM doubled ORDER BY twice\n",
    "pipes/q_times.pipe": "NODE n\nSQL >\n    %\n"
    "    SELECT id * {{ Int32(times, 1) }} AS product FROM q_events ORDER BY id\n",
}


@pytest.fixture(scope="module", autouse=True)
def events(server: Server) -> None:
    server.deploy({"datasources/q_events.datasource": EVENTS, "datasources/q_secret.datasource": EVENTS, **PIPES})
    rows = '{"id": 1, "name": "wren"}\n{"id": 2, "name": "owl"}\n{"id": "no number", "name": "kite"}'
    server.post("/v0/events", params={"name": "q_events", "wait": "true"}, content=rows)


def error(answer: httpx.Response, status: int = 400) -> str:
    assert answer.status_code == status, answer.text[:500]
    assert set(answer.json()) == {"error", "documentation"}
    return str(answer.json()["error"])


def ask(server: Server, q: str, **options: Any) -> httpx.Response:
    return server.get("/v0/sql", params={"q": q, **options.pop("params", {})}, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "GET", "params": {"q": "SELECT count() AS n FROM q_events FORMAT JSON"}},
        {"method": "POST", "params": {"q": "SELECT count() AS n FROM q_events FORMAT JSON"}},
        {"method": "POST", "data": {"q": "SELECT count() AS n FROM q_events FORMAT JSON"}},
        {"method": "POST", "content": "SELECT count() AS n FROM q_events FORMAT JSON"},
        {
            "method": "POST",
            "content": "SELECT count() AS n FROM q_events FORMAT JSON",
            "headers": {"Content-Type": "text/plain"},
        },
        {
            "method": "POST",
            "content": "SELECT count() AS n FROM q_events WHERE 1 = 1 FORMAT JSON",
            "headers": {"Content-Type": "application/x-www-form-urlencoded"},
        },
        {"method": "POST", "json": {"q": "SELECT count() AS n FROM q_events FORMAT JSON"}},
        {"method": "POST", "json": {"q": "%SELECT {{ Int32(n) }} AS n FORMAT JSON", "n": 2}},
    ],
    ids=["query", "posted query", "form", "body", "text body", "body called a form", "json", "json with parameters"],
)
def test_a_query_comes_in_many_ways(server: Server, options: dict[str, Any]) -> None:
    answer = server.request(options.pop("method"), "/v0/sql", **options)
    assert answer.json()["data"] == [{"n": 2}]


TWO = "SELECT id, name FROM q_events ORDER BY id"
FORMATS = {
    "CSV": b'1,"wren"\n2,"owl"\n',
    "CSVWithNames": b'"id","name"\n1,"wren"\n2,"owl"\n',
    "TSV": b"1\twren\n2\towl\n",
    "TSVWithNames": b"id\tname\n1\twren\n2\towl\n",
    "JSONEachRow": b'{"id":1,"name":"wren"}\n{"id":2,"name":"owl"}\n',
    "JSONStringsEachRow": b'{"id":"1","name":"wren"}\n{"id":"2","name":"owl"}\n',
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_has_exactly_these_bytes(server: Server, name: str) -> None:
    assert ask(server, f"{TWO} FORMAT {name}").content == FORMATS[name]
    assert ask(server, f"{TWO} format {name}").content == FORMATS[name]


def test_without_a_format_the_answer_is_plain_text(server: Server) -> None:
    answer = ask(server, TWO)
    assert answer.content == FORMATS["TSV"]
    assert answer.headers["content-type"] == "text/tab-separated-values; charset=utf-8"


def test_json_compact_has_lists_for_rows(server: Server) -> None:
    assert ask(server, f"{TWO} FORMAT JSONCompact").json()["data"] == [[1, "wren"], [2, "owl"]]


def test_an_unknown_format_is_refused(server: Server) -> None:
    assert error(ask(server, "SELECT 1 FORMAT Native")).startswith("FORMAT Native is not available. Use one of JSON, ")


def test_a_query_may_be_a_template(server: Server) -> None:
    query = "%SELECT name FROM q_events WHERE id = {{ Int32(id, 1) }} FORMAT JSON"
    assert ask(server, query).json()["data"] == [{"name": "wren"}]
    assert ask(server, query, params={"id": "2"}).json()["data"] == [{"name": "owl"}]


def test_a_query_reads_pipes_and_passes_parameters_on(server: Server) -> None:
    query = "SELECT max(product) AS n FROM q_times FORMAT JSON"
    assert ask(server, query).json()["data"] == [{"n": 2}]
    assert ask(server, query, params={"times": "10"}).json()["data"] == [{"n": 20}]


def test_pipeline_names_the_pipe_whose_result_is_asked(server: Server) -> None:
    result = ask(server, "SELECT sum(twice) AS n FROM _ FORMAT JSON", params={"pipeline": "q_doubled"})
    assert result.json()["data"] == [{"n": 6}]
    node = ask(server, "SELECT max(twice) AS n FROM doubled FORMAT JSON", params={"pipeline": "q_doubled"})
    assert node.json()["data"] == [{"n": 4}]
    assert "q_none" in error(ask(server, "SELECT 1", params={"pipeline": "q_none"}), 404)


def test_64_bit_numbers_are_plain_unless_asked_for_in_quotes(server: Server) -> None:
    query = "SELECT toInt64(-9223372036854775808) AS n FORMAT JSON"
    assert ask(server, query).json()["data"] == [{"n": -(2**63)}]
    quoted = ask(server, query, params={"output_format_json_quote_64bit_integers": "1"})
    assert quoted.json()["data"] == [{"n": str(-(2**63))}]


def test_explain_answers_the_plan(server: Server) -> None:
    answer = ask(server, "SELECT count() FROM q_events FORMAT JSON", params={"explain": "true"})
    assert answer.status_code == 200
    assert "explain" in answer.json()["data"][0]


def test_the_quarantine_is_read_like_a_table(server: Server) -> None:
    answer = ask(server, "SELECT name, c__error_column FROM q_events_quarantine FORMAT JSON")
    assert answer.json()["data"] == [{"name": "kite", "c__error_column": ["id"]}]


def test_the_limit_of_the_query_is_told(server: Server) -> None:
    content = ask(server, "SELECT id FROM q_events ORDER BY id LIMIT 1 FORMAT JSON").json()
    assert (content["rows"], content["rows_before_limit_at_least"]) == (1, 2)


def test_the_client_may_ask_before_and_after(server: Server) -> None:
    query = "WITH 2 AS two SELECT two AS n UNION ALL SELECT 3 FORMAT JSON"
    assert sorted(row["n"] for row in ask(server, query).json()["data"]) == [2, 3]
    assert ask(server, "SELECT 1 AS a /* why */ -- indeed\nFORMAT JSON").json()["data"] == [{"a": 1}]


REFUSED = {
    "system table": "SELECT * FROM system.tables",
    "system processes": "SELECT query FROM system.processes",
    "another database": "SELECT * FROM default.q_events",
    "information schema": "SELECT * FROM information_schema.tables",
    "own database": "SELECT * FROM tinybird.no_such_table",
    "file": "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "url": "SELECT * FROM url('http://127.0.0.1/', 'LineAsString')",
    "remote": "SELECT * FROM remote('127.0.0.1', system.one)",
    "s3": "SELECT * FROM s3('http://127.0.0.1/x', 'CSV')",
    "merge": "SELECT * FROM merge('.*', '.*')",
    "into outfile": "SELECT 1 INTO OUTFILE '/tmp/never-written'",
    "settings": "SELECT 1 SETTINGS max_threads = 8",
    "insert": "INSERT INTO q_events VALUES (1, 'a')",
    "drop": "DROP TABLE q_events",
    "two statements": "SELECT 1; SELECT 2",
    "set": "SET max_threads = 8",
    "dictionary": "SELECT dictGet('d', 'a', 1)",
    "file function": "SELECT file('/etc/passwd')",
    "unfinished": "SELECT (1",
    "empty": "   ",
    "nothing but a comment": "-- nothing",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_client_must_not_do_is_refused(server: Server, case: str) -> None:
    assert error(ask(server, REFUSED[case]))
    assert server.sql("SELECT count() AS n FROM q_events") == [{"n": 2}]


def test_an_unknown_table_is_named_with_the_nearest(server: Server) -> None:
    message = error(ask(server, "SELECT * FROM q_event"))
    assert message == "[Error] Resource 'q_event' not found. Did you mean 'q_events'? (UNKNOWN_TABLE)"


def test_an_unknown_column_is_named(server: Server) -> None:
    answer = ask(server, "SELECT nothing_like_it FROM q_events")
    assert error(answer).startswith("[Error] Unknown expression identifier `nothing_like_it`")
    assert answer.headers["x-db-exception-code"] == "47"


def test_a_missing_query_is_told(server: Server) -> None:
    assert error(server.get("/v0/sql")) == "The parameter 'q' is required"
    assert error(server.post("/v0/sql", json=["SELECT 1"])) == "The body must be a JSON object"
    message = error(server.post("/v0/sql", content=b"{", headers={"Content-Type": "application/json"}))
    assert message.startswith("The body is not valid JSON")
    assert error(server.post("/v0/sql", content=b"SELECT '\xff'")) == "The SQL is not valid UTF-8 (byte 8)"


def test_a_query_that_is_too_long_is_refused(server: Server) -> None:
    assert "bytes" in error(server.post("/v0/sql", content=f"SELECT '{'x' * 9_000_000}'"), 413)


def test_a_token_reads_only_what_its_scopes_name(server: Server) -> None:
    token = server.token("q_reader", "DATASOURCES:READ:q_events")
    assert ask(server, "SELECT count() FROM q_events", token=token).content == b"2\n"
    assert ask(server, "SELECT count() FROM q_events_quarantine", token=token).content == b"1\n"
    for table in ("q_secret", "q_secret_quarantine", "q_doubled"):
        refused = ask(server, f"SELECT count() FROM {table}", token=token)
        assert "The token 'q_reader' may not read" in error(refused, 403)
    for hidden in (
        "SELECT * FROM (SELECT * FROM q_secret)",
        "SELECT 1 WHERE 1 IN (SELECT id FROM q_secret)",
        "WITH a AS (SELECT * FROM q_secret) SELECT * FROM a",
        "SELECT * FROM q_events JOIN q_secret USING (id)",
        "%SELECT * FROM {{ table('q_secret') }}",
        "SELECT count() FROM tinybird.pipe_stats_rt",
    ):
        assert error(ask(server, hidden, token=token), 403)


def test_a_scope_with_a_filter_shows_some_rows_everywhere(server: Server) -> None:
    token = server.token("q_filtered", "DATASOURCES:READ:q_events:id > 1", "PIPES:READ:q_doubled")
    assert ask(server, "SELECT name FROM q_events", token=token).content == b"owl\n"
    assert ask(server, "SELECT twice FROM q_doubled", token=token).content == b"4\n"
    assert ask(server, "SELECT count() FROM (SELECT id FROM q_events AS e)", token=token).content == b"1\n"


@pytest.mark.parametrize("token", ["", "p.wrong"])
def test_a_wrong_token_is_refused(server: Server, token: str) -> None:
    assert error(ask(server, "SELECT 1", token=token), 403)


def test_queries_are_recorded_without_their_token(server: Server) -> None:
    marked = "SELECT 1 AS q_recorded_mark"
    token = server.token("q_marked", "DATASOURCES:READ:q_events")
    server.get("/v0/sql", params={"q": marked, "token": token}, token="")
    assert server.post("/v0/service_datasources/refresh").status_code == 200
    rows = server.sql("SELECT * FROM tinybird.pipe_stats_rt WHERE token_name = 'q_marked'")
    assert len(rows) == 1
    assert (rows[0]["pipe_name"], rows[0]["parameters"]) == ("query_api", {"q": marked})
    assert token not in json.dumps(rows)


def test_a_stream_that_fails_in_the_middle_is_no_whole_answer(server: Server) -> None:
    query = "SELECT throwIf(number = 900000) AS a FROM numbers(1000000) FORMAT CSV"
    with (
        pytest.raises(httpx.RemoteProtocolError),
        server.http.stream("GET", "/v0/sql", params={"q": query, "token": server.admin_token}) as answer,
    ):
        assert answer.status_code == 200
        answer.read()
    assert ask(server, "SELECT 1").content == b"1\n"


@pytest.fixture(scope="module")
def patient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one worker for queries, which may take long."""
    settings = {"read_workers": 1, "query_seconds_max": 300}
    with running_server(tmp_path_factory.mktemp("patient") / "data", **settings) as server:
        rows = "NODE n\nSQL >\n    SELECT cityHash64(number) AS n FROM numbers(1000000000000)\n"
        row = rows.replace("cityHash64(number)", "max(cityHash64(number))")
        server.deploy({"pipes/endless.pipe": row, "pipes/endless_csv.pipe": row, "pipes/endless_rows.pipe": rows})
        yield server


def cpu_seconds(server: Server) -> float:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("process_cpu_seconds_total "))


def comes_to_rest(server: Server, seconds_max: float = 20.0) -> bool:
    """Whether the server process soon uses hardly any processor time."""
    deadline = time.monotonic() + seconds_max
    while time.monotonic() < deadline:
        before = cpu_seconds(server)
        time.sleep(0.5)
        if cpu_seconds(server) - before < 0.15:
            return True
    return False


def has_ended(server: Server, pipe: str) -> list[int]:
    """The recorded statuses of the pipe, once its query is no more: the only worker is free and the process idle."""
    assert server.sql("SELECT 1 AS a") == [{"a": 1}]
    assert comes_to_rest(server)
    return [row["status_code"] for row in recorded_requests(server, pipe, 1)]


@pytest.mark.parametrize("pipe", ["endless", "endless_csv"])
def test_a_query_ends_when_its_client_goes_away(patient_server: Server, pipe: str) -> None:
    format = "csv" if pipe.endswith("csv") else "json"
    with pytest.raises(httpx.ReadTimeout):
        patient_server.get(f"/v0/pipes/{pipe}.{format}", timeout=1)
    assert has_ended(patient_server, pipe) == [499]


def test_a_stream_ends_when_its_client_goes_away(patient_server: Server) -> None:
    url = f"{patient_server.url}/v0/pipes/endless_rows.csv"
    with httpx.stream("GET", url, params={"token": patient_server.admin_token}) as answer:
        assert next(answer.iter_bytes()).startswith(b'"n"\n')
    has_ended(patient_server, "endless_rows")

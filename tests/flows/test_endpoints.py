"""Calling endpoints: formats, parameters, options, limits and refusals."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow.parquet as parquet
import pytest
from flow_server import Server, running_server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded import recorded_requests

ROWS_IN_A_CHUNK = 65_505
"""More rows than the engine puts into one block of an answer."""


def pipe(sql: str, *, before: str = "", after: str = "") -> str:
    body = "\n".join(f"    {line}" for line in sql.splitlines())
    return f"{before}NODE n\nSQL >\n{body}\n{after}"


PIPES = {
    "small": pipe("SELECT number AS n, concat('x', toString(number)) AS t FROM numbers(2)"),
    "nothing": pipe("SELECT number AS n, 'x' AS t FROM numbers(2) WHERE n > 5"),
    "many": pipe("%\nSELECT number AS n, 'row' AS t FROM numbers({{ UInt32(rows, 200000) }})"),
    "large_numbers": pipe("SELECT toUInt64(18446744073709551615) AS big, toFloat64(1) / 0 AS infinite"),
    "page": pipe(
        "%\nSELECT number AS n FROM numbers(100) ORDER BY n LIMIT {{ Int32(size, 2) }} OFFSET {{ Int32(start, 0) }}"
    ),
    "echo": pipe("%\nSELECT {{ String(text, '') }} AS text"),
    "typed": pipe(
        "%\nSELECT {{ Int32(n, 1) }} AS n, {{ Float64(f, 1.5) }} AS f, {{ Boolean(b, False) }} AS b,\n"
        "    {{ Date(d, '2024-01-01') }} AS d, {{ DateTime(t, '2024-01-01 00:00:00') }} AS t"
    ),
    "lists": pipe("%\nSELECT {{ Array(ids, 'Int32', '1,2') }} AS ids, {{ Array(names, 'String', 'a') }} AS names"),
    "needed": pipe("%\nSELECT {{ Int32(n, required=True) }} AS n"),
    "meters": pipe(
        "SELECT 'flights' AS name, toFloat64(3) AS value, 'How many' AS help, 'counter' AS type,\n"
        "    map('bird', 'wren') AS labels"
    ),
    "two_nodes": "NODE first\nSQL >\n    SELECT 1 AS a\n\nNODE second\nSQL >\n    SELECT a + 1 AS b FROM first\n",
    "divides": pipe("%\nSELECT intDiv(1, {{ Int32(by, 1) }}) AS n"),
    "chooses": pipe("%\nSELECT 1 AS a,\n    {% if defined(column) %} {{ column(column) }} {% else %} 2 {% end %} AS b"),
}


@pytest.fixture(scope="module", autouse=True)
def pipes(server: Server) -> None:
    server.deploy({f"pipes/e_{name}.pipe": text for name, text in PIPES.items()})


def data(server: Server, path: str, **options: Any) -> list[dict[str, Any]]:
    answer = server.get(f"/v0/pipes/e_{path}", **options)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


def error(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text[:500]
    assert set(answer.json()) == {"error", "documentation"}
    assert answer.json()["documentation"].startswith("docs/")
    return str(answer.json()["error"])


FORMATS = {
    "small.csv": ("text/csv; charset=utf-8", b'"n","t"\n0,"x0"\n1,"x1"\n'),
    "small.csvwithnames": ("text/csv; charset=utf-8", b'"n","t"\n0,"x0"\n1,"x1"\n'),
    "small.ndjson": ("application/x-ndjson", b'{"n":0,"t":"x0"}\n{"n":1,"t":"x1"}\n'),
    "nothing.csv": ("text/csv; charset=utf-8", b'"n","t"\n'),
    "nothing.ndjson": ("application/x-ndjson", b""),
    "meters.prometheus": (
        "text/plain; version=0.0.4; charset=utf-8",
        b'# HELP flights How many\n# TYPE flights counter\nflights{bird="wren"} 3\n\n',
    ),
    "small.prometheus": (
        "text/plain; version=0.0.4; charset=utf-8",
        b'# TYPE e_small_n gauge\ne_small_n{t="x0"} 0\ne_small_n{t="x1"} 1\n\n',
    ),
}


@pytest.mark.parametrize("path", FORMATS)
def test_a_small_answer_has_exactly_these_bytes(server: Server, path: str) -> None:
    content_type, body = FORMATS[path]
    answer = server.get(f"/v0/pipes/e_{path}")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, content_type, body)


def test_json_has_columns_rows_and_statistics(server: Server) -> None:
    answer = server.get("/v0/pipes/e_small.json")
    assert answer.headers["content-type"] == "application/json"
    content = answer.json()
    statistics = content.pop("statistics")
    assert content == {
        "meta": [{"name": "n", "type": "UInt64"}, {"name": "t", "type": "String"}],
        "data": [{"n": 0, "t": "x0"}, {"n": 1, "t": "x1"}],
        "rows": 2,
    }
    assert set(statistics) == {"elapsed", "rows_read", "bytes_read"}
    assert json.loads(answer.headers["x-db-statistics"])["result_rows"] == 2


def test_an_empty_result_is_json_with_columns(server: Server) -> None:
    content = server.get("/v0/pipes/e_nothing.json").json()
    assert (content["data"], content["rows"], len(content["meta"])) == ([], 0, 2)


@pytest.mark.parametrize(("name", "rows"), [("small", 2), ("nothing", 0), ("many", 200_000)])
def test_parquet_is_one_readable_file(server: Server, name: str, rows: int) -> None:
    table = parquet.read_table(io.BytesIO(server.get(f"/v0/pipes/e_{name}.parquet").content))
    assert (table.num_rows, table.column_names) == (rows, ["n", "t"])


@pytest.mark.parametrize("rows", [0, 1, ROWS_IN_A_CHUNK, 70_000, 300_000])
def test_a_streamed_answer_is_one_document_with_one_header(server: Server, rows: int) -> None:
    csv = server.get(f"/v0/pipes/e_many.csv?rows={rows}").content.splitlines()
    assert csv[0] == b'"n","t"'
    assert csv[1:] == [b'%d,"row"' % number for number in range(rows)]
    ndjson = server.get(f"/v0/pipes/e_many.ndjson?rows={rows}").content.splitlines()
    assert len(ndjson) == rows
    assert not rows or json.loads(ndjson[-1]) == {"n": rows - 1, "t": "row"}


def test_an_unknown_format_is_refused_with_those_there_are(server: Server) -> None:
    message = error(server.get("/v0/pipes/e_small.xml"), 400)
    assert message == "Format 'xml' is not available. Use one of json, csv, csvwithnames, ndjson, parquet, prometheus."


def test_64_bit_numbers_are_plain_unless_asked_for_in_quotes(server: Server) -> None:
    assert '"big":18446744073709551615' in server.get("/v0/pipes/e_large_numbers.json").text.replace(" ", "")
    quoted = data(server, "large_numbers.json?output_format_json_quote_64bit_integers=1")
    assert quoted == [{"big": "18446744073709551615", "infinite": None}]
    denormal = data(server, "large_numbers.json?output_format_json_quote_denormals=1")
    assert denormal[0]["infinite"] == "inf"


def test_an_option_that_is_no_switch_is_refused(server: Server) -> None:
    message = error(server.get("/v0/pipes/e_small.json?output_format_json_quote_denormals=2"), 400)
    assert message == "'output_format_json_quote_denormals' must be 0 or 1, not '2'"


@pytest.mark.parametrize(
    ("query", "row"),
    [
        ("", {"n": 1, "f": 1.5, "b": 0, "d": "2024-01-01", "t": "2024-01-01 00:00:00"}),
        ("n=-7&f=2&b=true", {"n": -7, "f": 2, "b": 1, "d": "2024-01-01", "t": "2024-01-01 00:00:00"}),
        (
            "d=2020-02-29&t=2020-02-29 01:02:03",
            {"n": 1, "f": 1.5, "b": 0, "d": "2020-02-29", "t": "2020-02-29 01:02:03"},
        ),
        ("unknown=1&n=2", {"n": 2, "f": 1.5, "b": 0, "d": "2024-01-01", "t": "2024-01-01 00:00:00"}),
    ],
)
def test_parameters_have_types_and_defaults(server: Server, query: str, row: dict[str, Any]) -> None:
    assert data(server, f"typed.json?{query}") == [row]


@pytest.mark.parametrize(
    ("query", "row"),
    [
        ("", {"ids": [1, 2], "names": ["a"]}),
        ("ids=3,4,5", {"ids": [3, 4, 5], "names": ["a"]}),
        ("ids=3&ids=4&ids=5", {"ids": [3, 4, 5], "names": ["a"]}),
        ("names=it's&names=b", {"ids": [1, 2], "names": ["it's", "b"]}),
    ],
)
def test_lists_are_repeated_or_separated_by_commas(server: Server, query: str, row: dict[str, Any]) -> None:
    assert data(server, f"lists.json?{query}") == [row]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "typed.json?n=many",
            "Template Syntax Error: Error validating 'many' to type Int32 (in node 'n' of pipe 'e_typed', line 2)",
        ),
        (
            "lists.json?ids=1,b",
            "Template Syntax Error: Error validating [1,b][1] (b) to type Int32 "
            "(in node 'n' of pipe 'e_lists', line 2)",
        ),
    ],
)
def test_a_wrong_value_is_named(server: Server, path: str, message: str) -> None:
    assert error(server.get(f"/v0/pipes/e_{path}"), 400) == message


def test_a_missing_value_is_named(server: Server) -> None:
    message = error(server.get("/v0/pipes/e_needed.json"), 400)
    assert "n" in message
    assert "(in node 'n' of pipe 'e_needed', line 2)" in message


@pytest.mark.parametrize(
    "options",
    [
        {"params": {"n": "5", "f": "2"}},
        {"data": {"n": "5", "f": "2"}, "method": "POST"},
        {"json": {"n": 5, "f": 2, "unknown": None}, "method": "POST"},
        {"json": {"f": 2}, "params": {"n": "5"}, "method": "POST"},
    ],
    ids=["query", "form", "json", "both"],
)
def test_parameters_come_in_the_query_a_form_or_json(server: Server, options: dict[str, Any]) -> None:
    method = options.pop("method", "GET")
    content = server.request(method, "/v0/pipes/e_typed.json", **options).json()
    assert (content["data"][0]["n"], content["data"][0]["f"]) == (5, 2)


def test_lists_come_in_json(server: Server) -> None:
    answer = server.post("/v0/pipes/e_lists.json", json={"ids": [7, 8], "names": ["x"]})
    assert answer.json()["data"] == [{"ids": [7, 8], "names": ["x"]}]


def test_pages_follow_each_other(server: Server) -> None:
    pages = [data(server, f"page.json?size=3&start={start}") for start in (0, 3, 99)]
    assert [[row["n"] for row in page] for page in pages] == [[0, 1, 2], [3, 4, 5], [99]]


@pytest.mark.parametrize("result", ["_", "e_small"])
def test_q_asks_the_result_further(server: Server, result: str) -> None:
    q = f"SELECT sum(n) AS total FROM {result}"
    assert data(server, "small.json", params={"q": q}) == [{"total": 1}]


def test_q_can_read_a_node_of_the_pipe(server: Server) -> None:
    assert data(server, "two_nodes.json", params={"q": "SELECT a FROM first"}) == [{"a": 1}]


def test_explain_answers_the_plan(server: Server) -> None:
    plan = "\n".join(row["explain"] for row in data(server, "small.json?explain=true"))
    assert "ReadFromSystemNumbers" in plan


def test_only_the_published_node_answers(server: Server) -> None:
    assert data(server, "two_nodes.json") == [{"b": 2}]


def test_a_pipe_without_an_endpoint_is_not_found(server: Server) -> None:
    server.post("/v0/pipes", json={"name": "e_unpublished", "nodes": [{"name": "n", "sql": "SELECT 1"}]})
    assert error(server.get("/v0/pipes/e_unpublished.json"), 404) == (
        "The pipe 'e_unpublished' does not have an endpoint yet. Publish one of its nodes."
    )


def test_an_unknown_pipe_is_not_found_and_the_nearest_is_named(server: Server) -> None:
    message = error(server.get("/v0/pipes/e_smal.json"), 404)
    assert message == "Pipe 'e_smal' not found. Did you mean 'e_small'?"


@pytest.mark.parametrize("format", ["json", "csv"])
def test_an_error_of_the_data_names_the_node_and_its_line(server: Server, format: str) -> None:
    message = error(server.get(f"/v0/pipes/e_divides.{format}?by=0"), 400)
    assert "Division by zero" in message
    assert "(ILLEGAL_DIVISION)" in message
    assert "in node 'n' of pipe 'e_divides'" in message


@pytest.mark.parametrize("format", ["json", "csv"])
def test_an_error_of_the_sql_names_the_node_and_its_line(server: Server, format: str) -> None:
    message = error(server.get(f"/v0/pipes/e_chooses.{format}?column=no_such_column"), 400)
    assert message.startswith("[Error] ")
    assert "no_such_column" in message
    assert "in node 'n' of pipe 'e_chooses'" in message


def test_a_token_needs_the_scope_of_the_pipe(server: Server) -> None:
    without = server.token("e_reads_other", "PIPES:READ:e_nothing")
    message = error(server.get("/v0/pipes/e_small.json", token=without), 403)
    assert (
        message == "The token 'e_reads_other' may not read the pipe 'e_small'. It needs the scope PIPES:READ:e_small."
    )
    with_scope = server.token("e_reads_small", "PIPES:READ:e_small")
    assert server.get("/v0/pipes/e_small.json", token=with_scope).status_code == 200


@pytest.mark.parametrize("token", ["", "p.wrong", "eyJhbGciOiJIUzI1NiJ9.e30.x"])
def test_a_wrong_token_is_refused(server: Server, token: str) -> None:
    assert error(server.get("/v0/pipes/e_small.json", token=token), 403)


def test_the_token_of_the_query_is_taken(server: Server) -> None:
    answer = server.get("/v0/pipes/e_small.json", params={"token": server.admin_token}, token="")
    assert answer.status_code == 200


def test_an_unknown_route_and_a_wrong_method_are_answered_as_errors(server: Server) -> None:
    assert error(server.get("/v0/no/such/route"), 404) == "There is no route GET /v0/no/such/route"
    assert error(server.put("/v0/sql"), 405) == "PUT is not allowed on /v0/sql"


def test_a_trailing_slash_is_the_same_route(server: Server) -> None:
    assert server.get("/v0/pipes/e_small.json/").json()["data"] == data(server, "small.json")
    assert server.get("/v0/pipes/").status_code == 200


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=st.text(max_size=60))
def test_a_text_is_answered_exactly_or_refused(server: Server, text: str) -> None:
    answer = server.get(f"/v0/pipes/e_echo.json?text={quote(text, safe='', errors='surrogatepass')}")
    if answer.status_code == 200:
        # A percent sign is escaped, so that LIKE takes it for no wildcard.
        assert answer.json()["data"] == [{"text": text.replace("%", "\\%")}]
    else:
        error(answer, 400)


def test_requests_are_recorded_with_their_outcome(server: Server) -> None:
    server.deploy({"pipes/e_watched.pipe": pipe("%\nSELECT {{ Int32(n, 1) }} AS n")})
    reader = server.token("e_watcher", "PIPES:READ:e_watched")
    path = "/v0/pipes/e_watched"
    server.get(f"{path}.json?n=2&token={reader}", token="", headers={"User-Agent": "starling"})
    server.get(f"{path}.json?n=x")
    server.get(f"{path}.csv?n=3")
    server.post(f"{path}.ndjson", data={"n": "4"})
    server.get(f"{path}.json?n=5&pipe_checker=true")
    server.get(f"{path}.json?n=6", token=server.token("e_blind", "PIPES:READ:e_small"))
    rows = {row["parameters"]["n"]: row for row in recorded_requests(server, "e_watched", 5)}
    assert set(rows) == {"2", "x", "3", "4", "6"}
    assert {n: row["status_code"] for n, row in rows.items()} == {"2": 200, "x": 400, "3": 200, "4": 200, "6": 403}
    assert {n: row["error"] for n, row in rows.items()} == {"2": 0, "x": 1, "3": 0, "4": 0, "6": 1}
    first = rows["2"]
    assert first["url"] == f"{path}.json?n=2"
    assert (first["token_name"], first["method"], first["user_agent"]) == ("e_watcher", "GET", "starling")
    assert first["parameters"] == {"n": "2"}
    assert first["pipe_id"] == server.get(path).json()["id"]
    assert 0 < first["duration"] < 10
    assert rows["4"]["method"] == "POST"
    assert "Error validating 'x'" in rows["x"]["error_message"]
    assert reader not in json.dumps(list(rows.values()))


def test_requests_are_counted_for_prometheus(server: Server) -> None:
    def count() -> float:
        lines = httpx.get(f"{server.url}/metrics").text.splitlines()
        wanted = 'birdhouse_requests_total{kind="endpoint",status="200"}'
        return sum(float(line.split()[-1]) for line in lines if line.startswith(wanted))

    before = count()
    server.get("/v0/pipes/e_small.json")
    server.get("/v0/pipes/e_small.csv")
    assert count() == before + 2


@pytest.fixture(scope="module")
def narrow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with narrow limits and one worker for queries."""
    limits = {
        "query_seconds_max": 1,
        "stream_seconds_max": 1,
        "query_memory_bytes_max": 50_000_000,
        "query_result_rows_max": 1_000,
        "query_result_bytes_max": 100_000,
        "query_rows_to_read_max": 20_000_000_000,
        "read_workers": 1,
    }
    with running_server(tmp_path_factory.mktemp("narrow") / "data", **limits) as server:
        server.deploy(
            {
                "pipes/slow.pipe": pipe("SELECT max(cityHash64(number)) AS n FROM numbers(19000000000)"),
                "pipes/hungry.pipe": pipe("SELECT length(groupArray(number)) AS n FROM numbers(100000000)"),
                "pipes/long.pipe": pipe("%\nSELECT number AS n FROM numbers({{ UInt32(rows, 2000) }})"),
                "pipes/wide.pipe": pipe("SELECT repeat(toString(number % 10), 1000) AS t FROM numbers(900)"),
                "pipes/greedy.pipe": pipe("SELECT count() AS n FROM numbers(30000000000) WHERE number % 2 = 1"),
            }
        )
        yield server


@pytest.mark.parametrize("format", ["json", "csv"])
@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("slow", 408, "The query ran longer than its time limit."),
        ("hungry", 400, "The query needed more memory than its limit."),
        ("long", 400, "The query read or returned more rows than its limit."),
        ("greedy", 400, "The query read or returned more rows than its limit."),
    ],
)
def test_a_query_over_its_limits_is_ended(
    narrow_server: Server, name: str, status: int, message: str, format: str
) -> None:
    answer = narrow_server.get(f"/v0/pipes/{name}.{format}")
    assert message in error(answer, status)


def test_the_size_of_an_answer_counts_only_where_it_is_held_whole(narrow_server: Server) -> None:
    refused = narrow_server.get("/v0/pipes/wide.json")
    assert "The query read or returned more rows than its limit." in error(refused, 400)
    streamed = narrow_server.get("/v0/pipes/wide.csv")
    assert (streamed.status_code, len(streamed.text.splitlines())) == (200, 901)


def test_a_query_within_its_limits_is_answered(narrow_server: Server) -> None:
    assert narrow_server.get("/v0/pipes/long.json?rows=1000").json()["rows"] == 1_000

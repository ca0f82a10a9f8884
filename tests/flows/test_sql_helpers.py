"""Parsing SQL for clients that cannot."""

from __future__ import annotations

import json

import pytest
from flow_server import Server


def tables(server: Server, sql: str, **options: str) -> list[list[str]]:
    answer = server.post("/v0/sql_tables", data={"q": sql, "raising": "true", **options})
    assert answer.status_code == 200, answer.text
    found: list[list[str]] = answer.json()["tables"]
    return found


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT * FROM events", [["", "events"]]),
        ("SELECT * FROM tinybird.pipe_stats_rt JOIN b USING (id)", [["", "b"], ["tinybird", "pipe_stats_rt"]]),
        ("WITH c AS (SELECT 1 FROM a) SELECT * FROM c WHERE x IN (SELECT y FROM d)", [["", "a"], ["", "d"]]),
        ("SELECT * FROM numbers(10)", []),
        ("SELECT toDate(ts)", []),
    ],
)
def test_tables_are_pairs_without_ctes_and_table_functions(server: Server, sql: str, found: list[list[str]]) -> None:
    assert tables(server, sql) == found


def test_a_very_long_query_is_read(server: Server) -> None:
    sql = "SELECT " + ", ".join(f"column_{number}" for number in range(3_000)) + " FROM events"
    assert tables(server, sql) == [["", "events"]]


def test_only_copies_may_use_outside_sources(server: Server) -> None:
    sql = "SELECT * FROM url('http://example.com/a.csv')"
    assert tables(server, sql, is_copy="true") == []
    assert tables(server, sql, is_copy="true", table_functions="true") == [["", "", "url"]]
    refused = server.post("/v0/sql_tables", data={"q": sql, "raising": "true", "is_copy": "false"})
    assert refused.status_code == 400
    assert "url" in refused.json()["error"]


def test_what_cannot_be_parsed_is_an_error_only_on_request(server: Server) -> None:
    refused = server.post("/v0/sql_tables", data={"q": "SELECT FROM WHERE", "raising": "true"})
    assert refused.status_code == 400
    assert "Syntax error" in refused.json()["error"]
    quiet = server.post("/v0/sql_tables", data={"q": "SELECT FROM WHERE", "raising": "false"})
    assert (quiet.status_code, quiet.json()) == (200, {"tables": []})


@pytest.mark.parametrize(
    ("sql", "replacements", "written"),
    [
        ("select toDate(ts)", {}, "SELECT toDate(ts)"),
        ("select a from x", {"x": "x__v2"}, "SELECT a FROM x__v2 AS x"),
        ("select a from d.x", {"d.x": "e.y"}, "SELECT a FROM e.y AS x"),
        ("select a from x", {"x": "select 1 as a"}, "SELECT a FROM (SELECT 1 AS a) AS x"),
    ],
)
def test_replaced_sql_is_one_line_with_select_in_capitals(
    server: Server, sql: str, replacements: dict[str, str], written: str
) -> None:
    answer = server.post("/v0/sql_replace", data={"q": sql, "replacements": json.dumps(replacements)})
    assert answer.json() == {"query": written}


@pytest.mark.parametrize("replacements", ["{", "[]", '{"a": 1}'])
def test_replacements_must_be_a_json_object_of_names(server: Server, replacements: str) -> None:
    answer = server.post("/v0/sql_replace", data={"q": "SELECT 1", "replacements": replacements})
    assert answer.status_code == 400
    assert "replacements" in answer.json()["error"]


def test_the_clients_format_is_one_line_and_the_other_is_for_reading(server: Server) -> None:
    sql = "select ts + interval 90 day, count() from events group by ts"
    one_line = server.get("/v0/sql_format", params={"q": sql, "with_clickhouse_format": "true"}).json()["q"]
    assert one_line == "SELECT ts + toIntervalDay(90), count() FROM events GROUP BY ts"
    laid_out = server.get("/v0/sql_format", params={"q": sql, "with_clickhouse_format": "false"}).json()["q"]
    assert laid_out.splitlines()[0] == "SELECT"
    assert " ".join(laid_out.split()) == one_line


@pytest.mark.parametrize("path", ["/v0/sql_tables", "/v0/sql_replace"])
def test_the_query_is_required_and_so_is_a_token(server: Server, path: str) -> None:
    assert server.post(path, data={"raising": "true"}).status_code == 400
    assert server.post(path, token="", data={"q": "SELECT 1"}).status_code == 403

"""Files into data sources: every way in, and every way in which a file can be wrong."""

from __future__ import annotations

import gzip
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pyarrow as pa
import pytest
from flow_server import UPLOAD_BYTES_MAX, Server
from pyarrow import parquet

NDJSON = "`id` Int32 `json:$.id`,`name` String `json:$.name`"
CSV = "`id` Int32,`name` String"


def make(server: Server, name: str, schema: str = CSV, **form: str) -> None:
    answer = server.post("/v0/datasources", data={"name": name, "schema": schema, **form})
    assert answer.status_code == 200, answer.text


def send(
    server: Server, name: str, data: bytes, format: str = "csv", mode: str = "append", **more: str
) -> httpx.Response:
    """As the client sends it: one part, named ndjson for everything but CSV."""
    part = "csv" if format == "csv" else "ndjson"
    parameters = {"name": name, "mode": mode, "format": format, "debug": "blocks_block_log", **more}
    return server.post("/v0/datasources", params=parameters, files={part: (part, data)})


def rows(server: Server, name: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in server.sql(f"SELECT * FROM {name} ORDER BY ALL")]


def as_parquet(**columns: list[Any]) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("schema", "format", "data"),
    [
        (CSV, "csv", b"id,name\n1,a\n2,b\n"),
        (CSV, "csv", b"1,a\n2,b\n"),
        (CSV, "csv", b"name;id\r\na;1\r\nb;2\r\n"),
        (CSV, "csv", gzip.compress(b"1,a\n2,b\n", mtime=0)),
        (NDJSON, "ndjson", b'{"id":1,"name":"a"}\n{"id":2,"name":"b"}'),
        (NDJSON, "ndjson", gzip.compress(b'{"id":1,"name":"a"}\n{"id":2,"name":"b"}\n', mtime=0)),
        (CSV, "parquet", as_parquet(name=["a", "b"], id=[1, 2])),
    ],
)
def test_append_answers_the_shape_that_the_client_reads(
    server: Server, name: str, schema: str, format: str, data: bytes
) -> None:
    make(server, name, schema)
    answer = send(server, name, data, format)
    assert answer.status_code == 200, answer.text
    content = answer.json()
    assert content["error"] is False
    assert "errors" not in content
    assert (content["quarantine_rows"], content["invalid_lines"]) == (0, 0)
    assert content["datasource"]["name"] == name
    assert content["datasource"]["statistics"]["row_count"] == 2
    assert content["blocks"][0]["process_return"] == [{"lines": 2, "parser": "python", "quarantine": 0}]
    assert content["import_id"]
    assert rows(server, name) == [(1, "a"), (2, "b")]


def test_the_raw_body_is_a_file_too_and_its_format_is_told_from_it(server: Server, name: str) -> None:
    make(server, name, NDJSON)
    answer = server.post("/v0/datasources", params={"name": name, "mode": "append"}, content=b'{"id":1,"name":"a"}\n')
    assert answer.json()["error"] is False
    form_like = server.post(
        "/v0/datasources",
        params={"name": name, "mode": "append", "format": "ndjson"},
        content=b'{"id":2,"name":"b"}\n',
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert form_like.json()["error"] is False
    assert rows(server, name) == [(1, "a"), (2, "b")]


def test_fields_of_a_multipart_form_count_like_those_of_the_query(server: Server, name: str) -> None:
    make(server, name)
    answer = server.post(
        "/v0/datasources?mode=append",
        data={"name": name, "dialect_delimiter": "|"},
        files={"csv": ("rows.csv", b"1|a,b\n")},
    )
    assert answer.json()["error"] is False
    assert rows(server, name) == [(1, "a,b")]


def test_replace_swaps_all_rows_and_with_a_condition_only_those(server: Server, name: str) -> None:
    make(server, name)
    send(server, name, b"1,a\n2,b\n3,c\n")
    assert send(server, name, b"7,z\n8,y\n", mode="replace").json()["error"] is False
    assert rows(server, name) == [(7, "z"), (8, "y")]
    answer = send(
        server,
        name,
        b"8,new\n9,left out\n",
        mode="replace",
        replace_condition="id = 8",
        skip_incompatible_partition_key="true",
    )
    assert answer.status_code == 200, answer.text
    assert rows(server, name) == [(7, "z"), (8, "new")]


@pytest.mark.parametrize("condition", ["nope = 1", "id =", "1 FORMAT CSV", "id IN (SELECT id FROM system.tables)"])
def test_replace_with_a_condition_that_is_none_changes_nothing(server: Server, name: str, condition: str) -> None:
    make(server, name)
    send(server, name, b"1,a\n")
    answer = send(server, name, b"2,b\n", mode="replace", replace_condition=condition)
    assert answer.status_code == 400, answer.text
    assert rows(server, name) == [(1, "a")]


def test_ndjson_with_broken_lines_keeps_the_good_ones_and_counts_the_others(server: Server, name: str) -> None:
    make(server, name, NDJSON)
    data = b'{"id":1,"name":"a"}\nbroken\n{"id":"x","name":"b"}\n{"id":2,"name":"c"}\n[1]\n'
    content = send(server, name, data, "ndjson").json()
    assert (content["quarantine_rows"], content["invalid_lines"]) == (3, 0)
    assert "3 rows in quarantine" in content["error"]
    assert f"{name}_quarantine" in content["error"]
    assert content["blocks"][0]["process_return"][0] == {"lines": 2, "parser": "python", "quarantine": 3}
    assert rows(server, name) == [(1, "a"), (2, "c")]
    kept = server.sql(f"SELECT c__import_id FROM {name}_quarantine")
    assert [row["c__import_id"] for row in kept] == [content["import_id"]] * 3


def test_csv_rows_of_another_width_are_invalid_lines_and_misfits_are_quarantined(server: Server, name: str) -> None:
    make(server, name)
    content = send(server, name, b"1,a\n2,b,extra\nx,c\n3,d\n4\n").json()
    assert (content["quarantine_rows"], content["invalid_lines"]) == (1, 2)
    assert "1 rows in quarantine and 2 invalid lines" in content["error"]
    assert content["errors"] == ["Row 2 has 3 values instead of 2", "Row 5 has 1 values instead of 2"]
    assert rows(server, name) == [(1, "a"), (3, "d")]
    assert server.sql(f"SELECT count() AS c FROM {name}_quarantine") == [{"c": 3}]


def test_text_that_is_not_utf8_does_not_break_the_rest(server: Server, name: str) -> None:
    make(server, name)
    content = send(server, name, b"1,caf\xe9\n2,b\n").json()
    assert content["blocks"][0]["process_return"][0]["lines"] + content["quarantine_rows"] == 2
    assert (2, "b") in rows(server, name)


@pytest.mark.parametrize(
    ("format", "data", "message"),
    [
        ("csv", b"", "no data"),
        ("ndjson", b"", "no data"),
        ("parquet", b"PAR1 and then nothing", "not Parquet"),
        ("parquet", b"id,name\n1,a\n", "not Parquet"),
        ("parquet", as_parquet(other=[1], columns=[2]), "no column in common"),
        ("parquet", as_parquet(name=["a"]), "no column for 'id'"),
        ("csv", b"\x1f\x8bnot gzip at all", "gzip"),
        ("csv", gzip.compress(b"1,a\n" * 1000, mtime=0)[:-20], "ends too early"),
        ("avro", b"1,a\n", "The format 'avro' cannot be imported"),
    ],
)
def test_a_file_that_cannot_be_read_changes_nothing(
    server: Server, name: str, format: str, data: bytes, message: str
) -> None:
    make(server, name)
    send(server, name, b"1,a\n")
    for mode in ("append", "replace"):
        answer = send(server, name, data, format, mode)
        assert answer.status_code == 400, answer.text
        assert message in answer.json()["error"]
        assert rows(server, name) == [(1, "a")]
    assert server.sql(f"SELECT count() AS c FROM {name}_quarantine") == [{"c": 0}]


def test_a_multipart_body_that_breaks_off_is_refused(server: Server, name: str) -> None:
    make(server, name)
    headers = {"content-type": "multipart/form-data; boundary=b"}
    parameters = {"name": name, "mode": "append"}
    start = b'--b\r\nContent-Disposition: form-data; name="csv"; filename="csv"\r\n\r\n1,a\n'
    broken = server.post("/v0/datasources", params=parameters, content=start, headers=headers)
    assert broken.status_code == 400
    assert "ends too early" in broken.json()["error"]
    whole = server.post("/v0/datasources", params=parameters, content=start + b"\r\n--b--\r\n", headers=headers)
    assert whole.status_code == 200, whole.text
    assert rows(server, name) == [(1, "a")]


@pytest.mark.parametrize("as_form", [True, False])
def test_a_file_over_the_limit_is_refused_with_the_limit(server: Server, name: str, as_form: bool) -> None:
    make(server, name)
    data = b"1,a\n" * (UPLOAD_BYTES_MAX // 4 + 1)
    parameters = {"name": name, "mode": "append"}
    body: dict[str, Any] = {"files": {"csv": ("csv", data)}} if as_form else {"content": data}
    answer = server.post("/v0/datasources", params=parameters, **body)
    assert answer.status_code == 413
    assert str(UPLOAD_BYTES_MAX) in answer.json()["error"]
    assert rows(server, name) == []


def test_appending_to_an_unknown_data_source_is_not_found_and_makes_none(server: Server, name: str) -> None:
    for mode in ("append", "replace"):
        answer = send(server, name, b"1,a\n", mode=mode)
        assert answer.status_code == 404
        assert f"Data Source '{name}' not found" in answer.json()["error"]
    assert server.get(f"/v0/datasources/{name}").status_code == 404


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mode": "append"}, "'name' is required"),
        ({"mode": "apend", "name": "@"}, "There is no mode 'apend'"),
        ({"mode": "append", "name": "@", "dialect_delimiter": "::"}, "CSV dialect"),
        ({"mode": "append", "name": "@", "dialect_new_line": "x"}, "dialect_new_line"),
    ],
)
def test_parameters_that_cannot_be_used_are_named(
    server: Server, name: str, parameters: dict[str, str], message: str
) -> None:
    make(server, name)
    parameters = {key: value.replace("@", name) for key, value in parameters.items()}
    answer = server.post("/v0/datasources", params=parameters, content=b"1,a\n")
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert rows(server, name) == []


def test_an_unknown_mode_in_a_form_is_refused_too(server: Server, name: str) -> None:
    make(server, name)
    for options in ({"files": {"csv": ("csv", b"1,a\n")}}, {"data": {"url": "http://127.0.0.1:1/x.csv"}}):
        form = {"name": name, "mode": "apend", **options.get("data", {})}
        answer = server.post("/v0/datasources", **{**options, "data": form})
        assert answer.status_code == 400
        assert "There is no mode 'apend'" in answer.json()["error"]
    assert rows(server, name) == []


def test_a_file_without_a_schema_makes_a_data_source_that_fits_it(server: Server, name: str) -> None:
    answer = server.post(
        "/v0/datasources",
        params={"name": name, "mode": "create", "engine": "MergeTree", "engine_sorting_key": "id"},
        files={"csv": ("people.csv", b"id,Full Name,born\n1,Ann,2001-02-03\n70000,Bo,1999-01-01\n")},
    )
    assert answer.status_code == 200, answer.text
    datasource = answer.json()["datasource"]
    assert datasource["schema"]["sql_schema"] == "`id` Int32,`full_name` String,`born` Date"
    assert datasource["engine"]["sorting_key"] == "id"
    assert rows(server, name) == [(1, "Ann", "2001-02-03"), (70000, "Bo", "1999-01-01")]
    again = server.post("/v0/datasources", params={"name": name}, files={"csv": ("people.csv", b"id\n1\n")})
    assert again.status_code == 409
    assert len(rows(server, name)) == 2


def test_type_guessing_can_be_turned_off(server: Server, name: str) -> None:
    parameters = {"name": name, "mode": "create", "type_guessing": "false"}
    answer = server.post("/v0/datasources", params=parameters, content=b"id,n\n1,2\n")
    assert answer.json()["datasource"]["schema"]["sql_schema"] == "`id` String,`n` String"


def test_a_file_that_cannot_be_read_into_its_new_data_source_leaves_none(server: Server, name: str) -> None:
    answer = server.post(
        "/v0/datasources",
        params={"name": name, "mode": "create", "format": "parquet", "schema": CSV},
        files={"ndjson": ("x", b"PAR1 no")},
    )
    assert answer.status_code == 400
    assert server.get(f"/v0/datasources/{name}").status_code == 404


class _Web(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if not self.path.startswith("/rows"):
            self.send_error(404)
            return
        body = b'{"id":1,"name":"a"}\n{"id":2,"name":"b"}\n'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Web) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


def test_a_file_by_url_is_a_job_whose_answer_has_no_error(server: Server, name: str, web: str) -> None:
    make(server, name, NDJSON)
    parameters = {"name": name, "mode": "append", "url": f"{web}/rows.ndjson", "debug": "blocks_block_log"}
    answer = server.post("/v0/datasources", params=parameters)
    assert answer.status_code == 200, answer.text
    content = answer.json()
    assert "error" not in content
    assert content["id"] == content["job_id"]
    assert content["block_log"] == []  # the client reads it of every poll, also before the job begins
    job = server.finished(content["id"])
    assert job["status"] == "done", job
    assert job["datasource"]["name"] == name
    assert isinstance(job["block_log"], list)
    assert rows(server, name) == [(1, "a"), (2, "b")]


def test_a_file_by_url_can_make_its_data_source(server: Server, name: str, web: str) -> None:
    form = {"name": name, "url": f"{web}/rows.ndjson"}
    content = server.post("/v0/datasources", data=form).json()
    assert server.finished(content["id"])["status"] == "done"
    assert rows(server, name) == [(1, "a"), (2, "b")]


def test_a_url_that_cannot_be_fetched_fails_the_job_and_changes_nothing(server: Server, name: str, web: str) -> None:
    make(server, name, NDJSON)
    parameters = {"name": name, "mode": "replace", "url": f"{web}/nothing.ndjson"}
    job = server.finished(server.post("/v0/datasources", params=parameters).json()["id"])
    assert job["status"] == "error"
    assert "status 404" in job["error"]
    assert rows(server, name) == []


def test_a_url_that_is_no_web_address_is_refused_at_once(server: Server, name: str) -> None:
    make(server, name, NDJSON)
    answer = server.post("/v0/datasources", params={"name": name, "mode": "append", "url": "file:///etc/passwd"})
    assert answer.status_code == 400
    assert "http://" in answer.json()["error"]

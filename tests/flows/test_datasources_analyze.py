"""`/v0/analyze` and `/v0/dependencies`."""

from __future__ import annotations

import gzip
import io

import pyarrow as pa
import pytest
from flow_server import Server
from pyarrow import parquet


def test_ndjson_gets_a_schema_with_paths_that_can_be_pushed(server: Server, name: str) -> None:
    data = b'{"id": 1, "user": {"name": "a"}, "tags": ["x"]}\n{"id": 70000, "user": {"name": "b"}, "tags": []}\n'
    content = server.post("/v0/analyze", content=data).json()
    schema = content["analysis"]["schema"]
    assert schema == "id Int32 `json:$.id`, user_name String `json:$.user.name`, tags Array(String) `json:$.tags[:]`"
    assert [column["name"] for column in content["analysis"]["columns"]] == ["id", "user_name", "tags"]
    assert "dialect" not in content
    assert server.post("/v0/datasources", data={"name": name, "schema": schema}).status_code == 200


def test_csv_gets_its_dialect_also_from_a_form_and_when_compressed(server: Server) -> None:
    data = b"id;name\n1;a\n2;b\n"
    for body in ({"content": data}, {"content": gzip.compress(data)}, {"files": {"file": ("x.csv", data)}}):
        content = server.post("/v0/analyze", **body).json()
        assert content["analysis"]["schema"] == "id Int16, name String"
        assert content["dialect"]["delimiter"] == ";"
        assert content["dialect"]["has_header"] is True
        assert content["preview"]["data"][0] == {"id": "1", "name": "a"}


def test_parquet_is_read_whole(server: Server) -> None:
    sink = io.BytesIO()
    parquet.write_table(pa.table({"id": list(range(1000)), "text": ["x" * 50] * 1000}), sink)
    content = server.post("/v0/analyze", content=sink.getvalue()).json()
    assert content["analysis"]["schema"] == "id Int16, text String"


@pytest.mark.parametrize(
    ("parameters", "body", "message"),
    [
        ({}, b"", "no data"),
        ({}, b"PAR1", "not Parquet"),
        ({}, b"{broken\n", "no JSON object"),
        ({"url": "ftp://127.0.0.1/x"}, b"", "http://"),
        ({"url": "http://127.0.0.1:1/x"}, b"", "cannot be fetched"),
    ],
)
def test_what_cannot_be_analyzed_says_why(
    server: Server, parameters: dict[str, str], body: bytes, message: str
) -> None:
    answer = server.post("/v0/analyze", params=parameters, content=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_dependencies_are_narrowed_by_pipe_and_by_a_pattern(server: Server, name: str) -> None:
    for each in (name, f"{name}_idle"):
        server.deploy({f"{each}.datasource": "SCHEMA >\n    id Int32\n"})
    first, second = f"a_{name}", f"b_{name}"
    server.deploy(
        {
            f"{first}.pipe": f"NODE n\nSQL >\n    SELECT id FROM {name}\n",
            f"{second}.pipe": f"NODE n\nSQL >\n    SELECT id FROM {first}\n",
        }
    )

    def found(**parameters: str) -> dict[str, list[str]]:
        answer = server.get("/v0/dependencies", params=parameters)
        assert answer.status_code == 200, answer.text
        dependencies: dict[str, list[str]] = answer.json()["dependencies"]
        return dependencies

    assert found(match=f"^{name}") == {name: [first], f"{name}_idle": []}
    assert found(match=f"^{name}", no_deps="true") == {f"{name}_idle": []}
    assert found(datasource=name, recursive="true") == {name: [first, second]}
    assert found(pipe=first) == {name: [first]}
    assert server.get("/v0/dependencies", params={"match": "("}).status_code == 400
    assert server.get("/v0/dependencies", params={"datasource": f"{name}_nope"}).status_code == 404

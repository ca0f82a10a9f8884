"""Sinks through the API, with their schedule, their notes and what the service data sources tell of them."""

from __future__ import annotations

import gzip
import time
from typing import Any

import pytest
from flow_server import Server
from s3_server import SECRET, S3Server

SOURCE = "SCHEMA >\n    `day` Date,\n    `n` UInt32\n\nENGINE MergeTree\nENGINE_SORTING_KEY n\n"


def sink(source: str, *lines: str) -> str:
    select = f"SELECT * FROM {source} WHERE n >= {{{{Int32(least, 0)}}}} ORDER BY n"
    return "\n".join(("NODE n", "SQL >", "    %", f"    {select}", "", "TYPE sink", *lines, ""))


def prepared(server: Server, name: str, *lines: str) -> dict[str, Any]:
    """A data source with three rows and the sink NAME_s; answers the deployment."""
    files = {f"datasources/{name}.datasource": SOURCE, f"pipes/{name}_s.pipe": sink(name, *lines)}
    answer: dict[str, Any] = server.deploy(files).json()
    rows = "2024-01-31,1\n2024-02-01,2\n2024-02-01,3\n"
    server.post("/v0/datasources", params={"name": name, "mode": "append", "format": "csv"}, content=rows)
    return answer


def ran(server: Server, name: str, **parameters: str) -> dict[str, Any]:
    answer = server.post(f"/v0/pipes/{name}_s/sink", params=parameters)
    assert answer.status_code == 200, answer.text
    return server.finished(answer.json()["job"]["id"])


def test_a_sink_writes_files_below_the_directory_for_exports(server: Server, name: str) -> None:
    prepared(
        server, name, "EXPORT_SERVICE s3", f"EXPORT_BUCKET_URI file://{name}", "EXPORT_FILE_TEMPLATE {day, '%Y-%m'}"
    )
    job = ran(server, name, least="2")
    assert job["status"] == "done", job
    assert (job["kind"], job["pipe_name"], job["output"]) == ("sink", f"{name}_s", [f"file://{name}/2024-02.csv"])
    written = server.data_dir / "exports" / "local" / name / "2024-02.csv"
    assert written.read_text() == '"day","n"\n"2024-02-01",2\n"2024-02-01",3\n'
    connector = next(each for each in server.get("/v0/connectors").json()["connectors"] if each["id"] == "files")
    assert f"file://{name}" in [each["settings"]["bucket_path"] for each in connector["sinks"]]


def test_a_run_is_in_the_service_data_source(server: Server, name: str) -> None:
    prepared(server, name, "EXPORT_SERVICE s3", f"EXPORT_BUCKET_URI file://{name}", "EXPORT_FILE_TEMPLATE x")
    job = ran(server, name, compression="gz")
    server.post("/v0/service_datasources/refresh")
    (row,) = server.sql(f"SELECT * FROM tinybird.sinks_ops_log WHERE pipe_name = '{name}_s'")
    assert (row["job_id"], row["service"], row["result"], row["error"]) == (job["id"], "files", "ok", None)
    assert (row["written_rows"], row["read_rows"], row["output"]) == (3, 3, [f"file://{name}/x.csv.gz"])
    assert row["written_bytes"] == (server.data_dir / f"exports/local/{name}/x.csv.gz").stat().st_size
    assert row["options"]["compression"] == "gz" and row["token_name"] == "workspace admin token"
    data = gzip.decompress((server.data_dir / f"exports/local/{name}/x.csv.gz").read_bytes())
    assert data.count(b"\n") == 4


def test_a_sink_writes_to_s3_and_tells_no_secret(server: Server, name: str, s3: S3Server) -> None:
    bucket = s3.make_bucket("flows-sinks")
    server.post("/v0/connectors", json={**s3.connection, "service": "s3", "name": name})
    lines = ("EXPORT_SERVICE s3", f"EXPORT_CONNECTION_NAME {name}", f"EXPORT_BUCKET_URI s3://{bucket}/out")
    assert prepared(server, name, *lines, "EXPORT_FORMAT ndjson", "EXPORT_FILE_TEMPLATE x")["notes"] == []
    assert ran(server, name)["output"] == [f"s3://{bucket}/out/x.ndjson"]
    assert s3.get(bucket, "out/x.ndjson").splitlines()[0] == b'{"day":"2024-01-31","n":1}'
    server.put(f"/v0/connectors/{name}", json={"s3_endpoint_url": "http://127.0.0.1:1"})
    failed = ran(server, name)
    assert failed["status"] == "error" and "Check the connection" in failed["error"]
    server.post("/v0/service_datasources/refresh")
    told = [
        failed,
        server.get("/v0/jobs").text,
        server.sql(f"SELECT * FROM tinybird.sinks_ops_log WHERE pipe_name = '{name}_s'"),
        server.sql("SELECT * FROM tinybird.jobs_log WHERE job_type = 'sink'"),
        server.data_dir.with_suffix(".log").read_text(),
    ]
    assert SECRET not in str(told)


@pytest.mark.parametrize("kind", ["sink", "stream"])
def test_a_kafka_pipe_is_stored_with_a_note_and_a_run_says_what_it_lacks(server: Server, name: str, kind: str) -> None:
    connection = f"{name}_c"
    export = (
        f"EXPORT_SERVICE kafka\nEXPORT_CONNECTION_NAME {connection}\nEXPORT_KAFKA_TOPIC t\nEXPORT_SCHEDULE 0 * * * *"
    )
    stream = f"KAFKA_CONNECTION_NAME {connection}\nKAFKA_TOPIC t"
    text = f"NODE n\nSQL >\n    SELECT 1 AS a\n\nTYPE {kind}\n{export if kind == 'sink' else stream}\n"
    (note,) = server.deploy({f"pipes/{name}.pipe": text}).json()["notes"]
    assert f"The {kind} '{name}' has no connection: there is none with the name '{connection}'" in note
    shown = server.get(f"/v0/pipes/{name}").json()
    assert (shown["type"], shown["notes"]) == (kind, [note])
    answer = server.post(f"/v0/pipes/{name}/sink")
    assert answer.status_code == 409
    assert answer.json()["error"] == note if kind == "sink" else "is not a sink" in answer.json()["error"]
    server.post("/v0/connectors", json={"service": "kafka", "name": connection, "kafka_bootstrap_servers": "b:9092"})
    (note,) = server.get(f"/v0/pipes/{name}").json()["notes"]
    assert "connections to kafka are stored but not connected yet" in note


def test_a_node_is_made_a_sink_changed_and_unlinked(server: Server, name: str) -> None:
    server.post("/v0/pipes", json={"name": name, "nodes": [{"name": "a", "sql": "SELECT 1 AS x"}]})
    made = server.put(f"/v0/pipes/{name}/nodes/a/sink", params={"path": f"file://{name}", "file_template": "x"})
    assert made.status_code == 200, made.text
    assert (made.json()["type"], made.json()["schedule"]) == ("sink", {})
    assert made.json()["sink_node"] == made.json()["nodes"][0]["id"]
    changed = server.put(
        f"/v0/pipes/{name}/nodes/a/sink", data={"schedule_cron": "0 0 1 1 *", "format": "parquet"}
    ).json()
    assert changed["schedule"]["cron"] == "0 0 1 1 *"
    params = changed["nodes"][0]["export_params"]
    assert (params["service"], params["path"], params["file_template"], params["format"]) == (
        "s3", f"file://{name}", "x", "parquet",
    )  # fmt: skip
    text = server.get(f"/v1/pipes/{name}.pipe").text
    assert "TYPE SINK" in text and f"EXPORT_BUCKET_URI file://{name}" in text and "EXPORT_SCHEDULE 0 0 1 1 *" in text
    assert server.put(f"/v0/pipes/{name}/nodes/a/sink", params={"format": "xml"}).status_code == 400
    off = server.put(f"/v0/pipes/{name}/nodes/a/sink", params={"schedule_cron": "None"}).json()
    assert off["schedule"] == {}
    assert server.delete(f"/v0/pipes/{name}/nodes/a/sink").status_code == 200
    assert server.get(f"/v0/pipes/{name}").json()["type"] == "default"
    assert server.post(f"/v0/pipes/{name}/sink").status_code == 409


def test_a_scheduled_sink_runs_by_itself_and_can_be_paused(server: Server, name: str) -> None:
    lines = ("EXPORT_SERVICE s3", f"EXPORT_BUCKET_URI file://{name}", "EXPORT_FILE_TEMPLATE x", "EXPORT_SCHEDULE @once")
    prepared(server, name, *lines)
    deadline = time.monotonic() + 30
    while not (server.data_dir / f"exports/local/{name}/x.csv").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert server.post(f"/v0/pipes/{name}_s/sink/pause").json()["schedule"]["status"] == "paused"
    assert server.post(f"/v0/pipes/{name}_s/sink/resume").json()["schedule"]["status"] == "running"


def test_a_scheduled_sink_without_its_connection_fails_and_says_so(server: Server, name: str) -> None:
    lines = (
        "EXPORT_SERVICE kafka",
        f"EXPORT_CONNECTION_NAME {name}_c",
        "EXPORT_KAFKA_TOPIC t",
        "EXPORT_SCHEDULE @once",
    )
    (note,) = prepared(server, name, *lines)["notes"]
    deadline = time.monotonic() + 30
    while not (jobs := server.get("/v0/jobs", params={"pipe_name": f"{name}_s"}).json()["jobs"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [(job["status"], job["error"]) for job in jobs] == [("error", note)]
    server.post("/v0/service_datasources/refresh")
    (row,) = server.sql(f"SELECT result, error FROM tinybird.sinks_ops_log WHERE pipe_name = '{name}_s'")
    assert row == {"result": "error", "error": note}


def test_sinks_need_the_right_to_create_pipes(server: Server, name: str) -> None:
    prepared(server, name, "EXPORT_SERVICE s3", f"EXPORT_BUCKET_URI file://{name}")
    token = server.token(f"{name}_reader", f"PIPES:READ:{name}_s", "DATASOURCES:CREATE")
    for path in ("sink", "sink/pause", "sink/resume", "nodes/n/sink"):
        assert server.post(f"/v0/pipes/{name}_s/{path}", token=token).status_code == 403


def test_a_select_is_copied_into_a_data_source(server: Server, name: str) -> None:
    server.deploy({f"datasources/{name}.datasource": SOURCE, f"datasources/{name}_t.datasource": SOURCE})
    rows = "2024-01-31,1\n2024-02-01,2\n2024-02-01,3\n"
    server.post("/v0/datasources", params={"name": name, "mode": "append", "format": "csv"}, content=rows)
    target = {"copy_to": f"{name}_t"}
    job = server.post("/v0/sql_copy", params=target, content=f"SELECT day, n * 2 AS n FROM {name}").json()["job"]
    ended = server.finished(job["job_id"])
    assert (ended["status"], ended["kind"], ended["statistics"]["row_count"]) == ("done", "query", 3), ended
    assert server.sql(f"SELECT sum(n) AS s FROM {name}_t") == [{"s": 12}]
    for body, status in (
        ("SELECT 1 AS x FORMAT CSV", 400),
        ("DROP TABLE x", 400),
        ("SELECT * FROM nowhere", 400),
        ("", 400),
    ):
        assert server.post("/v0/sql_copy", params=target, content=body).status_code == status, body
    assert server.post("/v0/sql_copy", params={"copy_to": "nowhere"}, content="SELECT 1 AS n").status_code == 404
    assert server.post("/v0/sql_copy", content="SELECT 1 AS n").status_code == 400
    wrong = server.post("/v0/sql_copy", params=target, content="SELECT 1 AS other").json()["job"]
    assert "'other'" in server.finished(wrong["job_id"])["error"]


def test_a_select_is_copied_with_the_rows_its_token_may_read(server: Server, name: str) -> None:
    server.deploy({f"datasources/{name}.datasource": SOURCE, f"datasources/{name}_t.datasource": SOURCE})
    rows = "2024-01-31,1\n2024-02-01,2\n2024-02-01,3\n"
    server.post("/v0/datasources", params={"name": name, "mode": "append", "format": "csv"}, content=rows)
    token = server.token(f"{name}_k", f"DATASOURCES:READ:{name}:n > 1", f"DATASOURCES:APPEND:{name}_t")
    sql, target = f"SELECT * FROM {name}", {"copy_to": f"{name}_t"}
    job = server.post("/v0/sql_copy", params=target, content=sql, token=token).json()["job"]
    server.finished(job["job_id"])
    assert server.sql(f"SELECT n FROM {name}_t ORDER BY n") == [{"n": 2}, {"n": 3}]
    assert server.post("/v0/sql_copy", params={"copy_to": name}, content=sql, token=token).status_code == 403
    other = server.token(f"{name}_o", f"DATASOURCES:APPEND:{name}_t")
    assert server.post("/v0/sql_copy", params=target, content=sql, token=other).status_code == 403

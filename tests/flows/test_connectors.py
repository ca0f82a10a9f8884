"""Connections through the API: stored, listed with what uses them, and never giving their secrets back."""

from __future__ import annotations

from typing import Any

import pytest
from flow_server import Server
from s3_server import SECRET, S3Server

S3 = {"service": "s3", "s3_access_key_id": "AKIA1", "s3_secret_access_key": SECRET, "s3_region": "eu-west-1"}
KAFKA = {
    "service": "kafka",
    "kafka_bootstrap_servers": "broker:9092",
    "kafka_sasl_plain_username": "me",
    "kafka_sasl_plain_password": SECRET,
    "kafka_security_protocol": "SASL_SSL",
    "kafka_sasl_mechanism": "PLAIN",
}


def listed(server: Server, name: str) -> dict[str, Any] | None:
    found = server.get("/v0/connectors").json()["connectors"]
    return next((each for each in found if each["name"] == name), None)


def test_a_connection_is_made_listed_changed_and_removed(server: Server, name: str) -> None:
    made = server.post("/v0/connectors", params={**S3, "name": name}).json()
    assert made["settings"] == {"s3_access_key_id": "AKIA1", "s3_region": "eu-west-1"}
    assert listed(server, name) == made
    changed = server.put(f"/v0/connectors/{name}", json={"s3_endpoint_url": "http://localhost:9000/"}).json()
    assert changed["settings"] == {**made["settings"], "s3_endpoint_url": "http://localhost:9000"}
    assert server.get(f"/v0/connectors/{made['id']}").json()["name"] == name
    assert server.delete(f"/v0/connectors/{name}").status_code == 200
    assert listed(server, name) is None
    assert server.delete(f"/v0/connectors/{name}").status_code == 404


def test_secrets_are_in_no_answer_no_log_and_not_in_the_metadata(server: Server, name: str) -> None:
    answers = [
        server.post("/v0/connectors", json={**KAFKA, "name": name}),
        server.post("/v0/connectors", params={**S3, "name": f"{name}_s3"}),
        server.post("/v0/connectors", params={**S3, "name": f"{name}_s3"}),
        server.post("/v0/connectors", params={**S3, "name": "x", "s3_regoin": "y"}),
        server.get("/v0/connectors"),
        server.get(f"/v0/connectors/{name}"),
        server.get(f"/v0/connectors/{name}/preview"),
        server.delete(f"/v0/connectors/{name}_s3"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 409, 400, 200, 200, 409, 200]
    assert not any(SECRET in answer.text for answer in answers)
    stored = b"".join(path.read_bytes() for path in server.data_dir.glob("metadata.sqlite*"))
    assert b"broker:9092" in stored and SECRET.encode() not in stored
    assert SECRET not in server.data_dir.with_suffix(".log").read_text()
    assert (server.data_dir / "secrets.key").stat().st_mode & 0o777 == 0o600


def test_a_url_as_region_is_the_endpoint(server: Server, name: str, s3: S3Server) -> None:
    made = server.post("/v0/connectors", params={**S3, "name": name, "s3_region": s3.url}).json()
    assert made["settings"] == {"s3_access_key_id": "AKIA1", "s3_endpoint_url": s3.url}
    moved = server.put(f"/v0/connectors/{name}", data={"s3_region": "https://other.example"}).json()
    assert moved["settings"]["s3_endpoint_url"] == "https://other.example"


@pytest.mark.parametrize(
    ("values", "status", "message"),
    [
        ({}, 400, "'service' is required"),
        ({"service": "s3"}, 400, "needs s3_access_key_id"),
        ({**S3, "name": ""}, 400, "'name' is required"),
        ({**S3, "name": "a\nb"}, 400, "none of them a line end"),
        ({**S3, "name": "files"}, 409, "connection of the server itself"),
        ({**S3, "name": "x", "s3_regoin": "y"}, 400, "Did you mean s3_region?"),
        ({**S3, "name": "x", "s3_endpoint_url": "localhost:9000"}, 400, "is not a URL"),
        ({**S3, "name": "x", "s3_endpoint_url": "http://[::1"}, 400, "is not a URL"),
        ({**S3, "name": "x", "s3_endpoint_url": "http://host:99999"}, 400, "is not a URL"),
        ({**S3, "name": "x", "s3_endpoint_url": "http://u:p@localhost"}, 400, "must not hold credentials"),
        ({"service": "kafak", "name": "x"}, 400, "Did you mean kafka?"),
        ({"service": "bigquery", "name": "x"}, 400, "import them by URL"),
        ({"service": "snowflake", "name": "x"}, 400, "import them by URL"),
        ({"service": "dynamodb", "name": "x"}, 400, "/v0/events"),
        ({"service": "gcs", "name": "x"}, 400, "gcs_hmac"),
    ],
)
def test_what_cannot_be_connected_is_refused_and_told(
    server: Server, values: dict[str, str], status: int, message: str
) -> None:
    answer = server.post("/v0/connectors", json=values)
    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text


def test_a_dry_run_checks_and_stores_nothing(server: Server, name: str) -> None:
    assert server.post("/v0/connectors", params={**S3, "name": name, "dry_run": "true"}).json()["valid"] is True
    assert server.post("/v0/connectors", params={"service": "s3", "dry_run": "true"}).status_code == 400
    assert listed(server, name) is None


def test_a_connection_in_use_stays_unless_it_is_forced(server: Server, name: str) -> None:
    server.post("/v0/connectors", params={**S3, "name": name})
    server.deploy(
        {
            f"pipes/{name}_sink.pipe": "NODE n\nSQL >\n    SELECT 1 AS a\n\nTYPE sink\nEXPORT_SERVICE s3\n"
            f"EXPORT_CONNECTION_NAME {name}\nEXPORT_BUCKET_URI s3://bucket/x\n"
        }
    )
    found = listed(server, name)
    assert found is not None
    assert [sink["settings"]["bucket_path"] for sink in found["sinks"]] == ["s3://bucket/x"]
    refused = server.delete(f"/v0/connectors/{name}")
    assert (refused.status_code, f"{name}_sink" in refused.json()["error"]) == (409, True)
    assert server.delete(f"/v0/connectors/{name}?force=true").status_code == 200
    notes = server.get(f"/v0/pipes/{name}_sink").json()["notes"]
    assert f"there is none with the name '{name}'" in notes[0]


def test_connections_need_the_right_to_create_data_sources(server: Server, name: str) -> None:
    token = server.token(f"{name}_reader", "PIPES:CREATE")
    for method, path in (
        ("GET", ""),
        ("POST", ""),
        ("GET", "/x"),
        ("PUT", "/x"),
        ("DELETE", "/x"),
        ("GET", "/x/preview"),
    ):
        assert server.request(method, f"/v0/connectors{path}", token=token).status_code == 403


def test_a_kafka_data_source_is_made_from_a_connection(server: Server, name: str) -> None:
    server.post("/v0/connectors", json={**KAFKA, "name": f"{name}_c"})
    form = {"connector": f"{name}_c", "name": name, "kafka_topic": "t", "kafka_group_id": "g"}
    made = server.post("/v0/datasources", params={**form, "kafka_auto_offset_reset": "None"})
    assert made.status_code == 200, made.text
    datasource = made.json()["datasource"]
    assert (datasource["type"], datasource["service"]) == ("kafka", "kafka")
    connection = listed(server, f"{name}_c")
    assert connection is not None and datasource["connector"] == connection["id"]
    assert [linker["datasource_id"] for linker in connection["linkers"]] == [datasource["id"]]
    text = server.get(f"/v0/datasources/{name}.datasource").text
    assert f"KAFKA_CONNECTION_NAME {name}_c" in text and "KAFKA_AUTO_OFFSET_RESET" not in text
    assert server.post("/v0/datasources", params={**form, "name": f"{name}_2", "connector": "no"}).status_code == 404


def test_credentials_of_a_datafile_go_into_its_connection_and_nowhere_else(server: Server, name: str) -> None:
    text = (
        "SCHEMA >\n    `a` String `json:$.a`\n\n"
        f"KAFKA_CONNECTION_NAME {name}_c\nKAFKA_TOPIC t\nKAFKA_GROUP_ID g\nKAFKA_BOOTSTRAP_SERVERS broker:9092\n"
        f"KAFKA_KEY me\nKAFKA_SECRET {SECRET}\nKAFKA_SCHEMA_REGISTRY_URL http://u:{SECRET}@registry\n"
    )
    for _ in range(2):
        server.deploy({f"datasources/{name}.datasource": text})
    connection = listed(server, f"{name}_c")
    assert connection is not None
    assert connection["settings"] == {"kafka_bootstrap_servers": "broker:9092", "kafka_sasl_plain_username": "me"}
    pulled = server.get(f"/v0/datasources/{name}.datasource").text
    assert "KAFKA_TOPIC t" in pulled
    assert SECRET not in pulled + server.get(f"/v0/datasources/{name}").text


def test_the_policies_for_roles_are_there_and_cloud_services_name_the_way_around(server: Server) -> None:
    for kind in ("read-access-policy", "write-access-policy", "trust-policy"):
        assert server.get(f"/v0/integrations/s3/policies/{kind}").json()["Statement"][0]["Effect"] == "Allow"
    for path in ("/v0/integrations/dynamodb/policies/trust-policy", "/v0/datasources-bigquery-credentials"):
        answer = server.get(path)
        assert (answer.status_code, "This server has no connector for" in answer.json()["error"]) == (400, True)
    answer = server.post("/v0/connectors/snowflake/roles", params={"password": SECRET})
    assert answer.status_code == 400 and SECRET not in answer.text
    assert server.get("/v0/integrations/s3/policies/other").status_code == 404
    assert server.get("/v0/integrations/x/policies/trust-policy").status_code == 404


def test_a_bucket_is_previewed(server: Server, name: str, s3: S3Server) -> None:
    bucket = s3.make_bucket("previewed")
    s3.put(bucket, "in/a.csv", b"1,2\n")
    s3.put(bucket, "in/b.json", b"{}")
    server.post("/v0/connectors", json={**s3.connection, "service": "s3", "name": name})
    answer = server.get(f"/v0/connectors/{name}/preview", params={"bucket_uri": f"s3://{bucket}/in/*.csv"})
    assert answer.json() == {"files": [{"name": "in/a.csv", "size": 4}], "num_files": 1, "size": 4}
    for uri, status in (("", 400), ("s3://no-such-bucket/*", 400), ("file:///etc/*", 400), ("s3:///x", 400)):
        assert server.get(f"/v0/connectors/{name}/preview", params={"bucket_uri": uri}).status_code == status

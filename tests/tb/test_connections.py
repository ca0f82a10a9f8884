"""The commands of the client about connections, sinks, tags and jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from flows.flow_server import Server
from s3_server import SECRET, S3Server
from tb_client import Tb

EVENTS = "SCHEMA >\n    `day` Date `json:$.day`,\n    `n` UInt32 `json:$.n`\n\nENGINE MergeTree\nENGINE_SORTING_KEY n\n"


@pytest.fixture(autouse=True)
def no_connections(server: Server) -> Iterator[None]:
    yield
    for each in server.get("/v0/connectors").json()["connectors"]:
        server.delete(f"/v0/connectors/{each['id']}", params={"force": "true"})


def sink(*lines: str) -> str:
    return "\n".join(("NODE n", "SQL >", "    SELECT day, n FROM events ORDER BY n", "", "TYPE sink", *lines, ""))


def push_events(tb: Tb, server: Server) -> None:
    tb.write({"datasources/events.datasource": EVENTS})
    if server.get("/v0/datasources/events").status_code == 404:
        tb("push", "datasources/events.datasource")
        for n in range(3):
            server.post("/v0/events", params={"name": "events", "wait": "true"}, json={"day": "2024-01-01", "n": n})


def pulled_files(tb: Tb, match: str) -> dict[str, str]:
    folder = tb.folder / "pulled"
    folder.mkdir()
    tb("pull", "--folder", "pulled", "--match", match)
    return {path.name: path.read_text("utf-8") for path in folder.rglob("*.*") if path.is_file()}


def settings(server: Server, name: str) -> dict[str, str]:
    found: dict[str, str] = server.get(f"/v0/connectors/{name}").json()["settings"]
    return found


def test_a_kafka_connection_is_created_listed_and_removed(tb: Tb, server: Server) -> None:
    bootstrap = server.url.removeprefix("http://")  # the client opens a socket to it before it asks the server
    options = ("--bootstrap-servers", bootstrap, "--key", "me", "--secret", SECRET, "--connection-name", "my_kafka")
    output = tb("connection", "create", "kafka", *options)
    assert server.get("/v0/connectors/my_kafka").json()["id"] in output
    assert settings(server, "my_kafka")["kafka_bootstrap_servers"] == bootstrap
    listed = tb("connection", "ls", "--connector", "kafka")
    assert "my_kafka" in listed and bootstrap in listed and SECRET not in listed
    assert "already a connection with name 'my_kafka'" in tb("connection", "create", "kafka", *options, code=1)
    tb("connection", "rm", "my_kafka")
    assert "my_kafka" not in tb("connection", "ls")
    assert "does not exist" in tb("connection", "rm", "my_kafka", code=1)


def test_an_s3_connection_is_created(tb: Tb, server: Server) -> None:
    options = ("--key", "AKIA1", "--secret", SECRET, "--region", "eu-west-1", "--connection-name", "my_s3")
    output = tb("connection", "create", "s3", *options)
    assert "my_s3.connection" in output and (tb.folder / "my_s3.connection").exists()
    assert settings(server, "my_s3") == {"s3_access_key_id": "AKIA1", "s3_region": "eu-west-1"}
    assert SECRET not in tb("connection", "ls", "--connector", "s3")
    assert tb("connection", "create", "s3", *options, code=1)  # the file is there


def test_an_s3_connection_to_other_storage_takes_its_url_as_region(tb: Tb, server: Server, s3: S3Server) -> None:
    options = ("--key", "AKIA1", "--secret", SECRET, "--region", s3.url, "--connection-name", "my_minio")
    tb("connection", "create", "s3", *options)
    assert settings(server, "my_minio")["s3_endpoint_url"] == s3.url


def test_connections_to_google_storage_and_aws_roles_are_created(tb: Tb, server: Server) -> None:
    google = ("--key", "GOOG1", "--secret", SECRET, "--region", "eu", "--connection-name", "my_gcs")
    tb("connection", "create", "gcs_hmac", *google)
    assert settings(server, "my_gcs")["gcs_hmac_access_id"] == "GOOG1"
    role = ("--role-arn", "arn:aws:iam::123456789012:role/x", "--region", "eu-west-1", "--connection-name", "my_role")
    tb("connection", "create", "s3_iamrole", *role, "--policy", "read")
    tb("connection", "create", "s3_iamrole", *role[:-1], "my_unproved_role", "--policy", "read", "--no-validate")
    assert settings(server, "my_unproved_role")["s3_iamrole_region"] == "eu-west-1"
    assert settings(server, "my_role")["s3_iamrole_region"] == "eu-west-1"


@pytest.mark.parametrize(
    ("arguments", "typed", "message"),
    [
        (
            ("dynamodb", "--role-arn", "arn:aws:iam::1:role/x", "--region", "eu-west-1", "--connection-name", "d"),
            "",
            "/v0/events",
        ),
        (
            (
                "gcs", "--client-id", "1", "--client-email", "a@b", "--client-x509-cert-url", "u", "--project-id", "p",
                "--private-key", SECRET, "--private-key-id", "i", "--connection-name", "g", "--no-validate",
            ),
            "",
            "gcs_hmac",
        ),
        (("bigquery",), "y\n", "import them by URL"),
    ],
    ids=["dynamodb", "gcs", "bigquery"],
)  # fmt: skip
def test_cloud_connectors_name_the_way_around(tb: Tb, arguments: tuple[str, ...], typed: str, message: str) -> None:
    outcome = tb.run("connection", "create", *arguments, typed=typed)
    assert outcome.code == 1
    assert message in outcome.output and "Traceback" not in outcome.output and SECRET not in outcome.output


def test_a_kafka_data_source_is_connected(tb: Tb, server: Server) -> None:
    connection = {"service": "kafka", "name": "broker", "kafka_bootstrap_servers": "b:9092"}
    made = server.post("/v0/connectors", json=connection).json()
    kafka = ("--kafka-topic", "t", "--kafka-group", "g", "--kafka-auto-offset-reset", "latest")
    for number, wanted in enumerate(("broker", made["id"])):
        name = f"connected_{number}"
        output = tb("datasource", "connect", wanted, name, *kafka)
        assert server.get(f"/v0/datasources/{name}").json()["id"] in output
        assert "KAFKA_TOPIC t" in server.get(f"/v0/datasources/{name}.datasource").text
    tb("datasource", "connect", "nowhere", "x", *kafka, code=1)
    for number in (0, 1):
        server.delete(f"/v0/datasources/connected_{number}", params={"force": "true"})


def test_a_push_of_a_kafka_data_source_makes_its_connection_once(tb: Tb, server: Server) -> None:
    lines = f"KAFKA_CONNECTION_NAME made\nKAFKA_BOOTSTRAP_SERVERS b:9092\nKAFKA_KEY me\nKAFKA_SECRET {SECRET}\n"
    for number in (0, 1):
        text = f"{EVENTS}\n{lines}KAFKA_TOPIC t{number}\nKAFKA_GROUP_ID g\n"
        tb.write({f"datasources/from_kafka_{number}.datasource": text})
        tb("push", f"datasources/from_kafka_{number}.datasource")
    assert [each["name"] for each in server.get("/v0/connectors?service=kafka").json()["connectors"]] == ["made"]
    pulled = "".join(pulled_files(tb, "from_kafka").values())
    assert "KAFKA_TOPIC t0" in pulled and SECRET not in pulled


def test_a_sink_is_pushed_twice_run_pulled_and_replaced_by_an_endpoint(tb: Tb, server: Server) -> None:
    push_events(tb, server)
    lines = ("EXPORT_SERVICE s3", "EXPORT_BUCKET_URI file://out", "EXPORT_FILE_TEMPLATE {day, '%Y'}/{n}")
    text = sink(*lines, "EXPORT_FORMAT ndjson", "EXPORT_WRITE_STRATEGY truncate", "EXPORT_SCHEDULE @on-demand")
    tb.write({"pipes/ex.pipe": text})
    tb("push", "pipes/ex.pipe")
    assert "already exists" in tb("push", "pipes/ex.pipe")
    tb("push", "pipes/ex.pipe", "--force", "--yes")
    shown = server.get("/v0/pipes/ex").json()
    assert (shown["type"], shown["schedule"], "notes" in shown) == ("sink", {}, False)
    output = tb("pipe", "sink", "run", "ex", "--wait", "--yes")
    assert "file://out" in output and "no connection" not in output.lower()
    written = sorted(path.name for path in (server.data_dir / "exports/local/out/2024").iterdir())
    assert written == ["0.ndjson", "1.ndjson", "2.ndjson"]
    pulled = pulled_files(tb, "ex.pipe")["ex.pipe"]
    for line in (*lines, "EXPORT_FORMAT ndjson", "EXPORT_WRITE_STRATEGY truncate", "EXPORT_SCHEDULE @on-demand"):
        assert line in pulled.replace("' }", "'}"), pulled  # the client puts a blank behind a quote
    tb.write({"pipes/ex.pipe": pulled})
    tb("push", "pipes/ex.pipe", "--force", "--yes")
    tb.write({"pipes/ex.pipe": text.partition("TYPE")[0]})
    tb("push", "pipes/ex.pipe", "--force", "--yes", "--no-check")
    assert server.get("/v0/pipes/ex").json()["type"] == "endpoint"
    tb("pipe", "rm", "ex", "--yes")


def test_a_sink_runs_with_parameters_and_into_s3(tb: Tb, server: Server, s3: S3Server) -> None:
    push_events(tb, server)
    bucket = s3.make_bucket("tb-sinks")
    options = ("--key", "AKIA1", "--secret", SECRET, "--region", s3.url, "--connection-name", "store")
    tb("connection", "create", "s3", *options)
    lines = ("EXPORT_SERVICE s3", "EXPORT_CONNECTION_NAME store", f"EXPORT_BUCKET_URI s3://{bucket}/d")
    select = "%\n    SELECT n FROM events WHERE n >= {{Int32(least, 0)}} ORDER BY n"
    text = sink(*lines, "EXPORT_FILE_TEMPLATE x", "EXPORT_FORMAT csv", "EXPORT_SCHEDULE 0 0 1 1 *")
    tb.write({"pipes/to_s3.pipe": text.replace("SELECT day, n FROM events ORDER BY n", select)})
    tb("push", "pipes/to_s3.pipe")
    assert server.get("/v0/pipes/to_s3").json()["schedule"]["cron"] == "0 0 1 1 *"
    assert s3.keys(bucket) == []
    assert "dry" in tb("pipe", "sink", "run", "to_s3", "--dry-run").lower() and s3.keys(bucket) == []
    assert f"s3://{bucket}/d" in tb("pipe", "sink", "run", "to_s3", "--param", "least=2", "--wait", "--yes")
    assert s3.get(bucket, "d/x.csv") == b'"n"\n2\n'
    assert "is used by: to_s3" in tb("connection", "rm", "store", code=1)
    tb("pipe", "unlink", "to_s3")
    assert server.get("/v0/pipes/to_s3").json()["type"] == "default"
    tb("connection", "rm", "store")


@pytest.mark.parametrize("kind", ["sink", "stream"])
def test_a_kafka_pipe_is_pushed_without_its_connection_and_a_run_says_so(tb: Tb, server: Server, kind: str) -> None:
    push_events(tb, server)
    kafka = {
        "sink": (
            "EXPORT_SERVICE kafka",
            "EXPORT_CONNECTION_NAME later",
            "EXPORT_KAFKA_TOPIC t",
            "EXPORT_SCHEDULE 0 1 * * *",
        ),
        "stream": ("KAFKA_CONNECTION_NAME later", "KAFKA_TOPIC t"),
    }[kind]
    tb.write({"pipes/k.pipe": sink(*kafka).replace("TYPE sink", f"TYPE {kind}")})
    tb("push", "pipes/k.pipe")
    tb("push", "pipes/k.pipe", "--force", "--yes")
    assert server.get("/v0/pipes/k").json()["type"] == kind
    output = tb("pipe", "sink", "run", "k", "--yes", code=1)
    assert "there is none with the name 'later'" in output if kind == "sink" else "not published as a Sink" in output
    assert "Traceback" not in output
    tb("pipe", "rm", "k", "--yes")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("EXPORT_FILE_TEMPLATE {nn}", "names no column of the result: 'nn' (in node 'n' of pipe 'wrong'"),
        ("EXPORT_SCHEDULE 61 * * * *", "is not a cron expression"),
    ],
)
def test_a_wrong_sink_is_refused_at_push(tb: Tb, server: Server, line: str, message: str) -> None:
    push_events(tb, server)
    tb.write({"pipes/wrong.pipe": sink("EXPORT_SERVICE s3", "EXPORT_BUCKET_URI file://out", line)})
    assert message in tb("push", "pipes/wrong.pipe", code=1)
    assert server.get("/v0/pipes/wrong").status_code == 404


def test_a_push_says_which_secret_is_missing(tb: Tb, server: Server) -> None:
    text = "NODE n\nSQL >\n    %\n    SELECT 1 AS a WHERE {{tb_secret('pepper')}} != ''\n"
    tb.write({"pipes/secret.pipe": text})
    assert "Cannot access secret 'pepper'" in tb("push", "pipes/secret.pipe", code=1)
    server.post("/v0/variables", data={"name": "pepper", "value": SECRET})
    tb("push", "pipes/secret.pipe")
    assert server.get("/v0/pipes/secret.json").json()["data"] == [{"a": 1}]
    assert SECRET not in pulled_files(tb, "secret")["secret.pipe"]


def test_rows_are_copied_with_sql(tb: Tb, server: Server) -> None:
    push_events(tb, server)
    tb.write({"datasources/copied.datasource": EVENTS})
    tb("push", "datasources/copied.datasource")
    tb("datasource", "copy", "copied", "--sql", "SELECT * FROM events WHERE n > 0", "--wait")
    assert server.sql("SELECT count() AS n FROM copied") == [{"n": 2}]
    assert "Resource 'nowhere' not found" in tb(
        "datasource", "copy", "copied", "--sql", "SELECT * FROM nowhere", code=1
    )


def test_tags_are_created_listed_and_removed(tb: Tb, server: Server) -> None:
    push_events(tb, server)
    tb("tag", "create", "my tag")
    assert "my tag" in tb("tag", "ls")
    tb.write({"datasources/tagged.datasource": f'TAGS "my tag"\n\n{EVENTS}'})
    tb("push", "datasources/tagged.datasource")
    assert "tagged" in tb("tag", "ls", "my tag")
    assert "already exists" in tb("tag", "create", "my tag", code=1)
    tb("tag", "rm", "my tag", "--yes")
    assert "my tag" not in tb("tag", "ls")
    assert server.get("/v0/datasources/tagged").status_code == 200


def test_a_sink_job_is_listed_shown_and_cancelled(tb: Tb, server: Server) -> None:
    slow = "NODE n\nSQL >\n    SELECT max(cityHash64(number)) AS n FROM numbers(100000000000)\n\nTYPE sink\n"
    server.deploy({"pipes/slow.pipe": f"{slow}EXPORT_SERVICE s3\nEXPORT_BUCKET_URI file://slow\n"})
    job = server.post("/v0/pipes/slow/sink").json()["job"]["id"]
    assert job in tb("job", "ls")
    assert "sink" in tb("job", "details", job)
    assert "cancel" in tb("job", "cancel", job).lower()
    assert server.finished(job)["status"] == "cancelled"
    assert not (server.data_dir / "exports/local/slow").exists()
    assert json.loads(server.get(f"/v0/jobs/{job}").text)["kind"] == "sink"

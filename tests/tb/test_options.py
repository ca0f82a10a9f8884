"""Options of the client that the other tests have no use for, each with what it changes."""

from __future__ import annotations

import json
import subprocess

import pytest
from flows.flow_server import Server
from tb_client import Tb
from test_regression import BEFORE, OTHER_RESULT, SAME_RESULT, pushed_and_called, replaced

ROWS = """\
SCHEMA >
    `n` UInt32 `json:$.n`,
    `kind` String `json:$.kind`

ENGINE "MergeTree"
ENGINE_SORTING_KEY "n"
"""
KINDS = 'SCHEMA >\n    `kind` String,\n    `rows` UInt64\n\nENGINE "SummingMergeTree"\nENGINE_SORTING_KEY "kind"\n'
VIEW = "NODE kinds\nSQL >\n    SELECT kind, count() AS rows FROM {} GROUP BY kind\n\nTYPE materialized\nDATASOURCE {}\n"
CONTENT = '{"n": 1, "kind": "a"}\n{"n": 2, "kind": "a"}\n{"n": 3, "kind": "b"}'


def filled(server: Server, name: str) -> None:
    server.deploy({f"datasources/{name}.datasource": ROWS, f"datasources/{name}_kinds.datasource": KINDS})
    assert server.post("/v0/events", params={"name": name, "wait": "true"}, content=CONTENT).status_code == 200


def kinds(server: Server, name: str) -> list[dict[str, object]]:
    return server.sql(f"SELECT kind, sum(rows) AS rows FROM {name}_kinds GROUP BY kind ORDER BY kind")


def test_a_server_is_named_before_the_command(signed_out_tb: Tb, server: Server) -> None:
    at = ("--host", server.url, "--token", server.admin_token)
    assert "Data Sources" in signed_out_tb(*at, "--debug", "--show-tokens", "datasource", "ls")
    assert "tb, version 5." in signed_out_tb("--version")


CHECKS = [
    ("--ignore-order",),
    ("--limit", "3", "--failfast"),
    ("--sample-by-params", "1", "--match", "times"),
    ("--validate-processed-bytes", "--debug"),
]


@pytest.mark.parametrize("options", [*CHECKS, ("--relative-change", "0.5")])
def test_an_endpoint_is_compared_as_asked_before_it_is_pushed(tb: Tb, server: Server, options: tuple[str, ...]) -> None:
    path = pushed_and_called(tb, server, f"compared_{abs(hash(options)) % 10**8}")
    replaced(tb, path, SAME_RESULT)
    assert "FAIL" not in tb("pipe", "regression-test", path, *options)
    replaced(tb, path, SAME_RESULT)
    text = (tb.folder / path).read_text("utf-8")
    tb.write({path: text.replace(SAME_RESULT, OTHER_RESULT)})
    if "--relative-change" not in options:
        assert "FAIL" in tb("pipe", "regression-test", path, *options, code=1)
        assert "FAIL" in tb("push", path, "--force", "--yes", *options[:2], code=1)


def test_response_times_alone_are_compared(tb: Tb, server: Server) -> None:
    path = pushed_and_called(tb, server, "timed")
    replaced(tb, path, OTHER_RESULT)
    others = ("--workspace", "other", ".", "--workspace_map", "other", "another")
    tb("pipe", "regression-test", path, "--only-response-times", "--no-versions", *others)
    tb("push", path, "--force", "--yes", "--only-response-times")
    assert server.get("/v0/pipes/timed.json").json()["data"][0] == {"n": 0, "product": 1}


def test_views_are_pushed_and_populated_as_asked(tb: Tb, server: Server) -> None:
    filled(server, "pulse")
    tb.write({"pipes/pulse_mv.pipe": VIEW.format("pulse", "pulse_kinds")})
    options = ("--populate", "--on-demand-compute", "--wait", "--no-versions", "--debug")
    tb("push", "pipes/pulse_mv.pipe", *options, typed="y\n")
    assert kinds(server, "pulse") == [{"kind": "a", "rows": 2}, {"kind": "b", "rows": 1}]
    options = ("--sql-condition", "kind = 'b'", "--truncate", "--on-demand-compute", "--unlink-on-populate-error")
    tb("pipe", "populate", "pulse_mv", "--node", "kinds", *options, "--wait", typed="y\n")
    assert kinds(server, "pulse") == [{"kind": "b", "rows": 1}]
    tb("push", "pipes/pulse_mv.pipe", "--force", "--yes", "--override-datasource", "--workspace", "other", ".")
    user = server.get("/tokens").json()["user_token"]
    tb.write({"datasources/pulse.datasource": ROWS})
    tb("push", "datasources/pulse.datasource", "--force", "--yes", "--user_token", user)


def test_a_query_becomes_a_view_with_its_data_source(tb: Tb, server: Server) -> None:
    filled(server, "stuff")
    tb.write({
        "datasources/stuff.datasource": ROWS,
        "pipes/stuff_by_kind.pipe": "NODE kinds\nSQL >\n    SELECT kind, count() AS rows FROM stuff GROUP BY kind\n",
    })  # fmt: skip
    options = ("--push-deps", "--no-versions", "--verbose", "--unlink-on-populate-error")
    outcome = tb.run("materialize", "pipes/stuff_by_kind.pipe", "stuff_by_kind_mv", *options, typed="y\n2\ny\n2\n")
    assert outcome.code == 0, outcome.output
    assert server.sql("SELECT sum(rows) AS rows FROM stuff_by_kind_mv") == [{"rows": 3}]


def test_only_what_changed_is_pushed(tb: Tb, empty_server: Server) -> None:
    tb = tb.signed_in(empty_server)
    tb.write({"datasources/few.datasource": ROWS, "pipes/few_all.pipe": f"NODE n\nSQL >\n    {BEFORE}\n"})
    tb("push")
    replaced(tb, "pipes/few_all.pipe", OTHER_RESULT)
    printed = tb("push", "--only-changes", "--force", "--yes")
    assert "few_all" in printed
    tb("pull", "--force", "--no-auto")
    tb("pull", "--force", "--auto")
    pipe = tb.folder / "pipes" / "few_all.pipe"
    pipe.write_text(pipe.read_text("utf-8").replace("number + 1", "number + 2"), "utf-8")
    assert "number + 2" in tb("diff", "--fmt", "--no-color")
    assert "number + 2" not in tb("diff", "--no-verbose")


def test_files_are_formatted_as_asked(tb: Tb) -> None:
    text = "NODE n\nSQL >\n    select   1   as   one\n"
    tb.write({"pipes/odd.pipe": text})
    assert "select 1 as one" in tb("fmt", "--dry-run", "--line-length", "60", "pipes/odd.pipe")
    assert tb.run("fmt", "--diff", "--no-color", "pipes/odd.pipe").code == 1
    assert (tb.folder / "pipes" / "odd.pipe").read_text("utf-8") == text


def test_queries_read_files_and_as_many_rows_as_asked(tb: Tb, server: Server) -> None:
    filled(server, "queried")
    tb.write({"pipes/from_file.pipe": "NODE first\nSQL >\n    SELECT n FROM queried ORDER BY n\n"})
    tb("push", "pipes/from_file.pipe")
    assert "3" in tb("sql", "--pipe", "pipes/from_file.pipe", "--node", "first")
    assert len(tb("sql", "--format", "csv", "--rows_limit", "2", "SELECT n FROM queried ORDER BY n").split()) == 3


def test_a_first_failure_ends_the_tests_when_asked(tb: Tb, server: Server) -> None:
    filled(server, "tested")
    cases = "".join(f"- case_{n}:\n    sql: SELECT * FROM tested WHERE n = {n}\n" for n in (1, 9))
    tb.write({"tests/some.yaml": cases})
    assert "case_1" in tb("test", "run", "--fail", "--verbose", "--concurrency", "1", code=1)


def test_what_a_clear_would_remove_is_told(tb: Tb, server: Server) -> None:
    filled(server, "kept")
    tb("auth", "--host", server.url, "--token", server.admin_token)
    assert "kept" in tb("workspace", "clear", "--dry-run", typed="y\n")
    assert "kept" in tb("datasource", "ls")


def test_connections_take_their_options(tb: Tb, server: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    pem = tmp_path_factory.mktemp("pem") / "ca.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x"]
    made = subprocess.run([*request, "-keyout", "/dev/null", "-out", pem], check=False, capture_output=True)
    assert made.returncode == 0
    options = (
        "--bootstrap-servers", server.url.removeprefix("http://"), "--key", "me", "--secret", "hush",
        "--connection-name", "optional_kafka", "--auto-offset-reset", "earliest", "--sasl-mechanism", "SCRAM-SHA-256",
        "--security-protocol", "SASL_SSL", "--schema-registry-url", "http://127.0.0.1:1", "--ssl-ca-pem", str(pem),
    )  # fmt: skip
    tb("connection", "create", "kafka", *options)
    found = server.get("/v0/connectors/optional_kafka").json()["settings"]
    assert (found["kafka_auto_offset_reset"], found["kafka_sasl_mechanism"]) == ("earliest", "SCRAM-SHA-256")
    tb("connection", "rm", "optional_kafka", "--force", "true")
    s3 = ("--key", "k", "--secret", "s", "--region", "us-east-1", "--connection-name", "optional_s3", "--no-validate")
    tb("connection", "create", "s3", *s3)
    assert "optional_s3" in tb("connection", "ls")
    tb("connection", "rm", "optional_s3")


def test_branches_take_their_options(signed_out_tb: Tb, server: Server) -> None:
    user = server.get("/tokens").json()["user_token"]
    filled(server, "branched")
    signed_out_tb("auth", "--host", server.url, "--token", user)
    signed_out_tb("branch", "create", "optional", "--last-partition", "--no-wait")
    assert "optional" in signed_out_tb("branch", "ls", "--sort")
    signed_out_tb("branch", "data", "--all", "--ignore-datasource", "branched", "--wait")
    increases = ("--assert-time-increase-percentage", "-1", "--assert-bytes-read-increase-percentage", "-1")
    results = ("--no-assert-result", "--no-assert-result-no-error", "--no-assert-result-rows-count")
    checks = (*results, "--assert-result-ignore-order", *increases, "--assert-max-time", "5", "--failfast", "--wait")
    for command in ("coverage", "last", "manual"):
        outcome = signed_out_tb.run("branch", "regression-tests", command, *checks)
        assert outcome.code in (0, 2), outcome.output
        signed_out_tb("branch", "regression-tests", command, "--skip-regression-tests")
    signed_out_tb("branch", "regression-tests", "--skip-regression-tests")
    signed_out_tb("branch", "regression-tests", "--main", "--wait")
    signed_out_tb("branch", "use", "main")
    signed_out_tb("branch", "rm", "optional", "--yes")
    assert json.loads(server.get("/v0/environments").text) == {"environments": []}

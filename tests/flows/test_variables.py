"""Secrets of a workspace: set once, used by templates, seen by nobody."""

from __future__ import annotations

import pytest
from flow_server import Server

VALUE = "hush-hush-0123"


def set_secret(server: Server, name: str, value: str = VALUE) -> None:
    answer = server.post("/v0/variables", data={"name": name, "value": value})
    assert answer.status_code == 200, answer.text


def endpoint(server: Server, name: str, sql: str) -> None:
    server.deploy({f"pipes/{name}.pipe": f"NODE n\nSQL >\n    %\n    {sql}\n"})


def test_a_secret_is_set_listed_changed_and_removed_without_its_value(server: Server, name: str) -> None:
    made = server.post("/v0/variables", data={"name": name, "value": VALUE})
    assert made.json()["name"] == name and made.json()["type"] == "secret"
    changed = server.put(f"/v0/variables/{name}", data={"value": f"{VALUE}2"})
    assert changed.json()["updated_at"] > changed.json()["created_at"]
    answers = [made, changed, server.get("/v0/variables"), server.get(f"/v0/variables/{name}")]
    answers.append(server.post("/v0/variables", json={"name": name, "value": VALUE}))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 409]
    assert not any(VALUE in answer.text for answer in answers)
    assert server.delete(f"/v0/variables/{name}").status_code == 200
    for answer in (server.get(f"/v0/variables/{name}"), server.delete(f"/v0/variables/{name}")):
        assert answer.status_code == 404
    stored = b"".join(path.read_bytes() for path in server.data_dir.glob("metadata.sqlite*"))
    assert VALUE.encode() not in stored


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"name": "", "value": "x"}, 400),
        ({"name": "no-dashes", "value": "x"}, 400),
        ({"name": "1st", "value": "x"}, 400),
        ({"name": "n" * 201, "value": "x"}, 400),
        ({"name": "unvalued"}, 400),
        ({"name": "typed", "value": "x", "type": "plain"}, 400),
        ({"name": "long", "value": "x" * 8193}, 413),
    ],
)
def test_what_is_no_secret_is_refused(server: Server, form: dict[str, str], status: int) -> None:
    assert server.post("/v0/variables", data=form).status_code == status


def test_secrets_are_for_admins(server: Server, name: str) -> None:
    set_secret(server, name)
    token = server.token(f"{name}_creator", "PIPES:CREATE", "DATASOURCES:CREATE", "WORKSPACE:READ_ALL", "TOKENS")
    for method, path in (("GET", ""), ("POST", ""), ("GET", f"/{name}"), ("PUT", f"/{name}"), ("DELETE", f"/{name}")):
        assert server.request(method, f"/v0/variables{path}", token=token).status_code == 403


def test_a_template_uses_a_secret_and_the_next_request_a_changed_one(server: Server, name: str) -> None:
    set_secret(server, name, "a'b\\c\td")
    endpoint(
        server,
        f"{name}_p",
        f"SELECT length({{{{tb_secret('{name}')}}}}) AS n, "
        f"{{{{tb_var('{name}')}}}} = {{{{String(guess, '')}}}} AS same",
    )
    call = f"/v0/pipes/{name}_p.json"
    assert server.get(call, params={"guess": "a'b\\c\td"}).json()["data"] == [{"n": 7, "same": 1}]
    server.put(f"/v0/variables/{name}", data={"value": "12"})
    assert server.get(call, params={"guess": "a'b\\c\td"}).json()["data"] == [{"n": 2, "same": 0}]
    server.delete(f"/v0/variables/{name}")
    answer = server.get(call)
    assert answer.status_code == 400 and f"Cannot access secret '{name}'" in answer.json()["error"]


def test_a_datafile_with_a_missing_secret_is_refused_unless_it_has_a_default(server: Server, name: str) -> None:
    files = {f"pipes/{name}.pipe": "NODE n\nSQL >\n    %\n    SELECT 1 WHERE {{tb_secret('nowhere')}} = 'x'\n"}
    answer = server.post("/v0/deployments", json={"files": files})
    assert answer.status_code == 400
    said = answer.json()["error"]
    assert "Cannot access secret 'nowhere'" in said and f"{name}.pipe" in said and "POST /v0/variables" in said
    endpoint(server, name, "SELECT {{tb_secret('nowhere', 'x')}} = 'x' AS same")
    assert server.get(f"/v0/pipes/{name}.json").json()["data"] == [{"same": 1}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT {{tb_secret('NAME')}} AS s",
        "SELECT toString({{tb_secret('NAME')}}) AS s, 1 AS one",
        "SELECT * FROM (SELECT 1 AS a, {{tb_secret('NAME')}} AS s)",
    ],
)
def test_a_node_cannot_give_a_secret_as_a_column(server: Server, name: str, sql: str) -> None:
    set_secret(server, name)
    body = {"name": f"{name}_p", "nodes": [{"name": "n", "sql": f"%\n{sql.replace('NAME', name)}"}]}
    answer = server.post("/v0/pipes", json=body)
    assert answer.status_code == 400 and "cannot give a secret as a column" in answer.json()["error"]
    assert VALUE not in answer.text


def test_a_view_cannot_use_a_secret(server: Server, name: str) -> None:
    set_secret(server, name)
    server.deploy({f"datasources/{name}_d.datasource": "SCHEMA >\n    `a` UInt8\n"})
    node = {"name": "n", "type": "materialized", "datasource": f"{name}_t"}
    sql = f"%\nSELECT a FROM {name}_d WHERE {{{{tb_secret('{name}')}}}} = 'x'"
    answer = server.post("/v0/pipes", json={"name": f"{name}_v", "nodes": [{**node, "sql": sql}]})
    assert answer.status_code == 400 and "materialized node cannot use a secret" in answer.json()["error"]


def test_a_reader_cannot_get_at_the_secret_of_a_pipe(server: Server, name: str) -> None:
    set_secret(server, name)
    endpoint(server, f"{name}_p", f"SELECT {{{{tb_secret('{name}')}}}} = 'x' AS same")
    token = server.token(f"{name}_reader", f"PIPES:READ:{name}_p", "WORKSPACE:READ_ALL")
    stolen = [
        f"%SELECT {{{{tb_secret('{name}')}}}} AS s",
        f"SELECT {{{name}: String}} AS s",
        f"SELECT {{{name}: String}} AS s FROM {name}_p",
        f"%SELECT {{{{tb_secret('{name}', 'none')}}}} AS s",
    ]
    for sql in stolen:
        answer = server.post("/v0/sql", token=token, data={"q": f"{sql} FORMAT JSON"})
        assert VALUE not in answer.text
        answer = server.get(f"/v0/pipes/{name}_p.json", token=token, params={"q": sql.replace(f"{name}_p", "_")})
        assert VALUE not in answer.text
    admin = server.post("/v0/sql", data={"q": f"%SELECT length({{{{tb_secret('{name}')}}}}) AS n FORMAT JSON"})
    assert admin.json()["data"] == [{"n": len(VALUE)}]


def test_an_error_does_not_repeat_a_secret(server: Server, name: str) -> None:
    set_secret(server, name)
    endpoint(
        server,
        f"{name}_p",
        f"SELECT toUInt8(concat({{{{tb_secret('{name}')}}}}, toString(number))) AS n FROM numbers(2)",
    )
    answer = server.get(f"/v0/pipes/{name}_p.json")
    assert answer.status_code == 400
    assert "failed on the value of a secret" in answer.json()["error"] and "hush" not in answer.text
    recorded = server.sql(f"SELECT error_message FROM tinybird.pipe_stats_rt WHERE pipe_name = '{name}_p'")
    assert not any("hush" in str(row) for row in recorded)
    assert "hush-hush" not in server.data_dir.with_suffix(".log").read_text()


def test_a_copy_can_use_a_secret(server: Server, name: str) -> None:
    set_secret(server, name)
    server.deploy(
        {
            f"datasources/{name}_d.datasource": "SCHEMA >\n    `n` UInt64\n",
            f"pipes/{name}_c.pipe": f"NODE n\nSQL >\n    %\n    SELECT length({{{{tb_secret('{name}')}}}}) AS n\n\n"
            f"TYPE copy\nTARGET_DATASOURCE {name}_d\n",
        }
    )
    for mode, rows in (("append", 1), ("append", 2), ("replace", 1)):
        job = server.post(f"/v0/pipes/{name}_c/copy", params={"_mode": mode}).json()["job"]
        ended = server.finished(job["job_id"])
        assert ended["status"] == "done", ended
        assert VALUE not in str(ended)
        assert server.sql(f"SELECT n FROM {name}_d") == [{"n": len(VALUE)}] * rows

"""Pipes and their nodes through the API: what is made, replaced, renamed and refused."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from flow_server import Server

BASE = {
    "datasources/p_flights.datasource": "SCHEMA >\n    `id` UInt32 `json:$.id`,\n    `bird` String `json:$.bird`\n\n"
    'ENGINE "MergeTree"\nENGINE_SORTING_KEY "id"\n',
}


@pytest.fixture(scope="module", autouse=True)
def flights(server: Server) -> None:
    server.deploy(BASE)
    rows = '{"id": 1, "bird": "wren"}\n{"id": 2, "bird": "owl"}'
    server.post("/v0/events", params={"name": "p_flights", "wait": "true"}, content=rows)


def create(server: Server, name: str, *nodes: str | dict[str, Any], force: bool = False, **more: Any) -> httpx.Response:
    """A pipe with the nodes n0, n1, …, given as SQL or as what differs from a plain node."""
    described = [
        {"name": f"n{number}", "type": "standard"} | ({"sql": node} if isinstance(node, str) else node)
        for number, node in enumerate(nodes)
    ]
    params = {"force": "true"} if force else {}
    return server.post("/v0/pipes", params=params, json={"name": name, "description": "", "nodes": described, **more})


def made(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def error(answer: httpx.Response, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    assert {"error", "documentation"} <= set(answer.json())
    return str(answer.json()["error"])


def publish(server: Server, name: str, node: str) -> dict[str, Any]:
    return made(server.post(f"/v0/pipes/{name}/nodes/{node}/endpoint"))


def test_a_new_pipe_answers_what_it_is(server: Server) -> None:
    content = made(create(server, "p_new", "SELECT id FROM p_flights", {"sql": "SELECT count() AS n FROM n0"}))
    assert (content["name"], content["type"], content["endpoint"]) == ("p_new", "default", None)
    assert [(node["name"], node["node_type"], node["dependencies"]) for node in content["nodes"]] == [
        ("n0", "standard", ["p_flights"]),
        ("n1", "standard", ["n0"]),
    ]
    assert made(server.get("/v0/pipes/p_new")) == content
    assert made(server.get(f"/v0/pipes/{content['id']}")) == content


def test_a_pipe_is_made_from_a_name_and_sql(server: Server) -> None:
    content = made(server.post("/v0/pipes", data={"name": "p_form", "sql": "SELECT 1 AS a"}))
    assert [node["name"] for node in content["nodes"]] == ["p_form_0"]


def test_publishing_answers_the_whole_pipe(server: Server) -> None:
    node = made(create(server, "p_published", "SELECT 1 AS a", "SELECT 2 AS a"))["nodes"][0]
    content = publish(server, "p_published", node["id"])
    assert (content["type"], content["endpoint"]) == ("endpoint", node["id"])
    assert server.get("/v0/pipes/p_published.json").json()["data"] == [{"a": 1}]
    assert publish(server, "p_published", "n1")["endpoint"] == content["nodes"][1]["id"]
    assert server.get("/v0/pipes/p_published.json").json()["data"] == [{"a": 2}]


def test_an_existing_name_is_taken(server: Server) -> None:
    create(server, "p_taken", "SELECT 1 AS a")
    message = error(create(server, "p_taken", "SELECT 2 AS a"), 409)
    assert message == "There is already a Pipe with name 'p_taken'. Pass force=true to replace it."
    assert "Data Source" in error(create(server, "p_flights", "SELECT 1 AS a", force=True), 409)


def test_a_replaced_pipe_keeps_its_identity_and_stays_published(server: Server) -> None:
    first = made(create(server, "p_replaced", "SELECT 1 AS a"))
    publish(server, "p_replaced", "n0")
    token = server.token("p_replaced_reader", "PIPES:READ:p_replaced")
    second = made(create(server, "p_replaced", "SELECT 1 AS a", "SELECT a + 1 AS b FROM n0", force=True))
    assert (second["id"], second["nodes"][0]["id"]) == (first["id"], first["nodes"][0]["id"])
    assert second["type"] == "endpoint"
    assert server.get("/v0/pipes/p_replaced.json", token=token).json()["data"] == [{"b": 2}]


def test_a_refused_replacement_leaves_the_old_pipe(server: Server) -> None:
    create(server, "p_kept", "SELECT 1 AS a")
    publish(server, "p_kept", "n0")
    error(create(server, "p_kept", "SELECT nothing_like_it FROM p_flights", force=True))
    assert server.get("/v0/pipes/p_kept.json").json()["data"] == [{"a": 1}]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            ["SELECT *\nFROM p_no_table"],
            "Resource 'p_no_table' not found, read by node 'n0' of pipe 'p_refused' (line 2, column 6)",
        ),
        (["SELECT id FROM p_fligths"], "Did you mean 'p_flights'?"),
        (
            ["SELECT\n  id,\n  no_such_column\nFROM p_flights"],
            "(in node 'n0' of pipe 'p_refused', line 3)",
        ),
        (["SELECT 1 AS a", "SELECT b FROM n0"], "(in node 'n1' of pipe 'p_refused', line 1)"),
        (["SELECT (1"], "(in node 'n0' of pipe 'p_refused', line 1, column 8)"),
        (["%\nSELECT {{ Int32(a }}"], "(in node 'n0' of pipe 'p_refused', line 2)"),
        (["DROP TABLE p_flights"], "Only SELECT"),
        (["SELECT * FROM system.tables"], "The table system.tables cannot be read"),
        (["SELECT * FROM url('http://127.0.0.1/', 'LineAsString')"], "url"),
        (["   "], "has no SQL"),
    ],
)
def test_a_pipe_that_cannot_work_is_refused(server: Server, nodes: list[str], message: str) -> None:
    assert message in error(create(server, "p_refused", *nodes))
    assert server.get("/v0/pipes/p_refused").status_code == 404


def test_an_error_at_the_push_names_the_line(server: Server) -> None:
    message = error(create(server, "p_refused", "SELECT\n  id,\n  no_such_column\nFROM p_flights"))
    assert "no_such_column" in message
    assert "(in node 'n0' of pipe 'p_refused', line 3)" in message


def test_sql_errors_can_be_ignored(server: Server) -> None:
    content = {"name": "p_ignored", "nodes": [{"name": "n0", "sql": "SELECT no_such_column FROM p_flights"}]}
    made(server.post("/v0/pipes", params={"ignore_sql_errors": "true"}, json=content))
    publish(server, "p_ignored", "n0")
    assert "in node 'n0' of pipe 'p_ignored', line 1" in error(server.get("/v0/pipes/p_ignored.json"))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "p_wrong"},
        {"name": "p_wrong", "nodes": []},
        {"name": "p_wrong", "nodes": ["SELECT 1"]},
        {"name": "p_wrong", "nodes": [{"name": "n", "sql": 1}]},
        {"name": "p_wrong", "nodes": [{"name": "n", "sql": "SELECT 1", "type": "odd"}]},
        {"name": "p wrong", "nodes": [{"name": "n", "sql": "SELECT 1"}]},
        {"name": "p_wrong", "nodes": [{"name": "p_wrong", "sql": "SELECT 1"}]},
        {"name": "p_wrong", "nodes": [{"name": "n", "sql": "SELECT 1"}, {"name": "n", "sql": "SELECT 2"}]},
        {"name": 5, "nodes": {"name": "n"}},
        [],
    ],
)
def test_a_body_that_describes_no_pipe_is_refused(server: Server, body: Any) -> None:
    assert error(server.post("/v0/pipes", json=body))


def test_a_cycle_is_refused_and_printed(server: Server) -> None:
    message = error(create(server, "p_circle", "SELECT * FROM n1", "SELECT * FROM n0"), 409)
    assert "p_circle.n0 -> p_circle.n1 -> p_circle.n0" in message
    made(create(server, "p_hen", "SELECT 1 AS a"))
    made(create(server, "p_egg", "SELECT * FROM p_hen"))
    message = error(create(server, "p_hen", "SELECT * FROM p_egg", force=True), 409)
    assert "p_egg.n0 -> p_hen.n0 -> p_egg.n0" in message


def test_a_change_that_breaks_a_reader_is_refused(server: Server) -> None:
    made(create(server, "p_below", "SELECT 1 AS a"))
    made(create(server, "p_above", "SELECT a FROM p_below"))
    message = error(create(server, "p_below", "SELECT 1 AS b", force=True))
    assert "(in node 'n0' of pipe 'p_above', line 1)" in message
    assert server.sql("SELECT a FROM p_above") == [{"a": 1}]


def test_nodes_are_added_and_deleted(server: Server) -> None:
    made(create(server, "p_growing", "SELECT 1 AS a"))
    publish(server, "p_growing", "n0")
    node = made(server.post("/v0/pipes/p_growing/nodes", content="SELECT a + 1 AS b FROM n0"))
    assert (node["name"], node["dependencies"]) == ("p_growing_1", ["n0"])
    assert server.get("/v0/pipes/p_growing.json").json()["data"] == [{"a": 1}]
    assert error(server.post("/v0/pipes/p_growing/nodes", content=" ")) == (
        "The node has no SQL. Send the SQL as the body."
    )
    assert "n0" in error(server.delete("/v0/pipes/p_growing/nodes/n0"))
    assert server.delete(f"/v0/pipes/p_growing/nodes/{node['id']}").status_code == 204
    assert error(server.delete("/v0/pipes/p_growing/nodes/n0"), 409) == (
        "'n0' is the only node of 'p_growing'. Delete the pipe instead."
    )
    assert error(server.delete("/v0/pipes/p_growing/nodes/none"), 404)


def test_a_pipe_is_renamed_and_described(server: Server) -> None:
    identity = made(create(server, "p_before", "SELECT 1 AS a"))["id"]
    content = made(server.put("/v0/pipes/p_before", data={"name": "p_after", "description": "Renamed"}))
    assert (content["id"], content["name"], content["description"]) == (identity, "p_after", "Renamed")
    assert server.get("/v0/pipes/p_before").status_code == 404
    assert server.get("/v0/pipes/p_after").status_code == 200
    error(server.put("/v0/pipes/p_after", data={"name": "p_flights"}), 409)


def test_a_pipe_in_use_is_not_deleted(server: Server) -> None:
    made(create(server, "p_lower", "SELECT 1 AS a"))
    made(create(server, "p_upper", "SELECT a FROM p_lower"))
    assert error(server.delete("/v0/pipes/p_lower"), 409) == (
        "The Pipe 'p_lower' is used by: p_upper. Delete or change them first."
    )
    assert server.delete("/v0/pipes/p_upper").status_code == 204
    assert server.delete("/v0/pipes/p_lower").status_code == 204
    assert error(server.delete("/v0/pipes/p_lower"), 404)


def test_a_deleted_pipe_leaves_the_scopes_of_tokens(server: Server) -> None:
    made(create(server, "p_scoped", "SELECT 1 AS a"))
    server.token("p_scoped_reader", "PIPES:READ:p_scoped", "DATASOURCES:READ:p_flights")
    server.delete("/v0/pipes/p_scoped")
    scopes = server.get("/v0/tokens/p_scoped_reader").json()["scopes"]
    assert scopes == [{"type": "DATASOURCES:READ", "resource": "p_flights"}]


def test_the_list_keeps_the_attributes_that_are_asked_for(server: Server) -> None:
    made(create(server, "p_listed", "SELECT 1 AS a"))
    params = {"dependencies": "false", "attrs": "name,updated_at", "node_attrs": "name"}
    listed = server.get("/v0/pipes", params=params).json()["pipes"]
    entry = next(each for each in listed if each["name"] == "p_listed")
    assert set(entry) == {"id", "name", "updated_at", "nodes"}
    assert entry["nodes"] == [{"name": "n0"}]


def test_the_list_has_what_the_token_may_read(server: Server) -> None:
    made(create(server, "p_shown", "SELECT 1 AS a"))
    token = server.token("p_shown_reader", "PIPES:READ:p_shown")
    assert [each["name"] for each in server.get("/v0/pipes", token=token).json()["pipes"]] == ["p_shown"]
    error(server.get("/v0/pipes/p_listed", token=token), 403)
    error(server.post("/v0/pipes", json={"name": "p_x", "sql": "SELECT 1"}, token=token), 403)
    error(server.delete("/v0/pipes/p_shown", token=token), 403)


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_the_datafile_is_plain_text(server: Server, version: str) -> None:
    made(create(server, "p_text", "%\nSELECT {{ Int32(a, 1) }} AS a", force=True, description="What it is"))
    server.token("p_text_reader", "PIPES:READ:p_text") if version == "v0" else None
    answer = server.get(f"/{version}/pipes/p_text.pipe")
    assert answer.headers["content-type"] == "text/plain"
    assert 'TOKEN "p_text_reader" READ' in answer.text
    assert "NODE n0\nSQL >\n    %\n    SELECT {{ Int32(a, 1) }} AS a" in answer.text.replace("\n\n", "\n")


def test_a_view_is_made_filled_and_unlinked(server: Server) -> None:
    node = {"sql": "SELECT bird, count() AS n FROM p_flights GROUP BY bird", "type": "materialized"}
    extra = {"datasource": "p_per_bird", "engine": "SummingMergeTree", "engine_sorting_key": "bird"}
    content = made(create(server, "p_per_bird_mv", node | extra))
    assert (content["type"], content["created_datasource"], content["datasource"]["name"]) == (
        "materialized",
        True,
        "p_per_bird",
    )
    assert content["nodes"][0]["materialized"] == content["datasource"]["id"]
    job = made(server.post("/v0/pipes/p_per_bird_mv/nodes/n0/population?truncate=true"))["job"]
    assert server.finished(job["id"])["status"] == "done"
    assert server.sql("SELECT bird, sum(n) AS n FROM p_per_bird GROUP BY bird ORDER BY bird") == [
        {"bird": "owl", "n": 1},
        {"bird": "wren", "n": 1},
    ]
    unlinked = made(server.delete(f"/v0/pipes/p_per_bird_mv/nodes/{content['nodes'][0]['id']}/materialization"))
    assert unlinked["type"] == "default"
    assert server.sql("SELECT count() AS n FROM p_per_bird") == [{"n": 2}]


def test_a_view_that_does_not_fit_its_target_is_refused(server: Server) -> None:
    node = {"sql": "SELECT 1 AS other_column FROM p_flights", "type": "materialized", "datasource": "p_flights_target"}
    server.deploy({"datasources/p_flights_target.datasource": "SCHEMA >\n    `id` UInt32\n"})
    message = error(create(server, "p_misfit_mv", node))
    assert "Column 'other_column' of pipe 'p_misfit_mv' does not fit the Data Source 'p_flights_target'" in message
    assert "\n  other_column  UInt8  -            the Data Source has no such column\n" in message


def test_the_analysis_of_a_view_changes_nothing(server: Server) -> None:
    made(create(server, "p_analyzed", "SELECT bird, count() AS n FROM p_flights GROUP BY bird"))
    params = {"datasource": "p_analyzed_target", "engine": "SummingMergeTree", "engine_sorting_key": "bird"}
    content = made(server.get("/v0/pipes/p_analyzed/nodes/n0/analysis", params=params))
    assert content["warnings"] == []
    assert "`bird` String" in content["analysis"]["datasource"]["datafile"]
    assert "TYPE MATERIALIZED" in content["analysis"]["pipe"]["datafile"]
    assert server.get("/v0/datasources/p_analyzed_target").status_code == 404
    assert made(server.get("/v0/pipes/p_analyzed"))["type"] == "default"


def test_a_copy_is_made_changed_and_unlinked(server: Server) -> None:
    server.deploy({"datasources/p_copied.datasource": "SCHEMA >\n    `id` UInt32\n"})
    node = {"sql": "SELECT id FROM p_flights", "type": "copy", "mode": "append", "copy_schedule": "0 * * * *"}
    content = made(create(server, "p_copy", node, target_datasource="p_copied"))
    target = server.get("/v0/datasources/p_copied").json()["id"]
    assert (content["type"], content["copy_target_datasource"]) == ("copy", target)
    assert content["schedule"]["cron"] == "0 * * * *"
    path = f"/v0/pipes/{content['id']}/nodes/{content['nodes'][0]['id']}/copy"
    changed = made(server.put(path, data={"mode": "replace", "schedule_cron": "None"}))
    assert (changed["nodes"][0]["mode"], changed["schedule"]) == ("replace", {})
    answer = made(server.post("/v0/pipes/p_copy/copy"))
    assert answer["tags"]["copy_target_datasource"] == target
    assert server.finished(answer["job"]["job_id"])["status"] == "done"
    assert server.sql("SELECT count() AS n FROM p_copied") == [{"n": 2}]
    assert made(server.delete(path))["type"] == "default"


@pytest.mark.parametrize("deed", ["endpoint", "copy", "materialization", "sink", "stream"])
def test_a_node_that_does_not_exist_is_not_found(server: Server, deed: str) -> None:
    made(create(server, "p_nodes", "SELECT 1 AS a", force=True))
    message = error(server.delete(f"/v0/pipes/p_nodes/nodes/none/{deed}"), 404)
    assert message == "The pipe 'p_nodes' has no node 'none'"


def test_a_copy_of_a_pipe_that_copies_nothing_is_refused(server: Server) -> None:
    made(create(server, "p_no_copy", "SELECT 1 AS a"))
    assert "p_no_copy" in error(server.post("/v0/pipes/p_no_copy/copy"), 409)


def test_a_population_of_a_pipe_that_is_no_view_is_refused(server: Server) -> None:
    made(create(server, "p_no_view", "SELECT 1 AS a"))
    assert "p_no_view" in error(server.post("/v0/pipes/p_no_view/nodes/n0/population"), 409)

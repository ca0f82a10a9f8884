"""Changing data sources and taking things away: alter, rename, truncate, delete rows, exchange, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flow_server import Server, running_server

SCHEMA = "`id` Int32 `json:$.id`,`name` String `json:$.name`"


def make(server: Server, name: str, schema: str = SCHEMA, **form: str) -> None:
    answer = server.post("/v0/datasources", data={"name": name, "schema": schema, **form})
    assert answer.status_code == 200, answer.text


def fill(server: Server, name: str, *ids: int) -> None:
    lines = "\n".join(f'{{"id": {each}, "name": "n{each}"}}' for each in ids)
    answer = server.post("/v0/events", params={"name": name, "wait": "true"}, content=lines)
    assert answer.json() == {"successful_rows": len(ids), "quarantined_rows": 0}


def ids(server: Server, name: str) -> list[int]:
    return [row["id"] for row in server.sql(f"SELECT id FROM {name} ORDER BY id")]


def alter(server: Server, name: str, **fields: str) -> tuple[int, dict[str, Any]]:
    answer = server.post(f"/v0/datasources/{name}/alter", data=fields)
    return answer.status_code, answer.json()


def test_a_dry_alter_tells_the_operations_and_changes_nothing(server: Server, name: str) -> None:
    make(server, name)
    pipe = f"p_{name}"
    server.deploy({f"{pipe}.pipe": f"NODE n\nSQL >\n    SELECT id FROM {name}\n"})
    before = server.get(f"/v0/datasources/{name}").json()
    status, content = alter(server, name, schema=f"{SCHEMA},`n` Int64 `json:$.n`", dry="true")
    assert status == 200
    assert content == {"operations": ["ADD COLUMN `n` Int64"], "dependencies": [pipe]}
    assert server.get(f"/v0/datasources/{name}").json()["schema"] == before["schema"]


def test_an_added_column_takes_rows_and_misfits_beside_the_old_ones(server: Server, name: str) -> None:
    make(server, name, f"{SCHEMA},`twice` Int32 MATERIALIZED id * 2")
    fill(server, name, 1)
    wanted = f"{SCHEMA},`twice` Int32 MATERIALIZED id * 2,`n` Nullable(Int64) `json:$.n`"
    assert alter(server, name, schema=wanted, dry="false")[0] == 200
    data = '{"id": 2, "name": "b", "n": 7}\n{"id": 3, "name": "c", "n": "x"}'
    answer = server.post("/v0/events", params={"name": name, "wait": "true"}, content=data)
    assert answer.json() == {"successful_rows": 1, "quarantined_rows": 1}
    assert server.sql(f"SELECT id, n FROM {name} ORDER BY id") == [{"id": 1, "n": None}, {"id": 2, "n": 7}]
    assert server.sql(f"SELECT id, n FROM {name}_quarantine") == [{"id": "3", "n": "x"}]


def test_a_column_may_come_first_and_may_be_computed(server: Server, name: str) -> None:
    make(server, name)
    fill(server, name, 1)
    wanted = f"`first` Nullable(Int32) `json:$.first`,{SCHEMA},`half` Float64 MATERIALIZED id / 2"
    assert alter(server, name, schema=wanted)[0] == 200
    fill(server, name, 2)
    assert [tuple(row) for row in server.sql(f"SELECT * FROM {name} LIMIT 1")] == [("first", "id", "name")]
    assert server.sql(f"SELECT half FROM {name} WHERE id = 2") == [{"half": 1}]


def test_ttl_and_indexes_and_description_come_and_go(server: Server, name: str) -> None:
    make(server, name, f"{SCHEMA},`ts` DateTime DEFAULT now()")
    fill(server, name, 1)
    index = "INDEX ix name TYPE bloom_filter(0.01) GRANULARITY 2"
    status, content = alter(server, name, ttl="ts + toIntervalDay(9)", indexes=index, description="Now with words")
    assert status == 200
    assert len(content["operations"]) == 3
    found = server.get(f"/v0/datasources/{name}").json()
    assert found["engine"]["ttl"] == "ts + toIntervalDay(9)"
    assert [each["granularity"] for each in found["indexes"]] == ["2"]
    assert found["description"] == "Now with words"
    assert alter(server, name, ttl="false", indexes="0")[0] == 200
    found = server.get(f"/v0/datasources/{name}").json()
    assert "ttl" not in found["engine"]
    assert found["indexes"] == []
    assert ids(server, name) == [1]


@pytest.mark.parametrize("fields", [{}, {"schema": SCHEMA}, {"indexes": "0"}, {"ttl": "false"}, {"description": "d"}])
def test_when_nothing_differs_the_client_is_told_so(server: Server, name: str, fields: dict[str, str]) -> None:
    make(server, name, description="d")
    status, content = alter(server, name, dry="false", **fields)
    assert status == 400
    assert "There were no operations to perform" in content["error"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema": "`id` Int64 `json:$.id`,`name` String `json:$.name`"}, "type of column 'id'"),
        ({"schema": "`id` Int32 `json:$.id`"}, "Column 'name'"),
        ({"schema": "`id` Int32 `json:$.id`,"}, "found nothing"),
        ({"schema": f"{SCHEMA},`x` Strng `json:$.x`"}, "Strng"),
        ({"ttl": "nope + toIntervalDay(1)"}, "nope"),
        ({"indexes": "INDEX ix nope TYPE minmax GRANULARITY 1"}, "nope"),
        ({"indexes": "minmax"}, "Cannot read the index"),
    ],
)
def test_what_cannot_be_altered_in_place_is_refused_and_nothing_is_changed(
    server: Server, name: str, fields: dict[str, str], message: str
) -> None:
    make(server, name)
    fill(server, name, 1)
    before = server.get(f"/v0/datasources/{name}").json()
    for dry in ("true", "false"):
        status, content = alter(server, name, dry=dry, **fields)
        assert status == 400
        assert message in content["error"]
    assert server.get(f"/v0/datasources/{name}").json() == before
    fill(server, name, 2)
    assert ids(server, name) == [1, 2]


def test_an_option_is_set_and_taken_away_by_an_empty_update(server: Server, name: str) -> None:
    make(server, name)
    answer = server.put(f"/v0/datasources/{name}", data={"backfill_column": "id"})
    assert answer.json()["tags"] == {"backfill_column": "id"}
    answer = server.put(f"/v0/datasources/{name}", content=b"")
    assert answer.json()["tags"] == {}


def test_a_rename_takes_the_pipes_and_tokens_with_it(server: Server, name: str) -> None:
    make(server, name)
    fill(server, name, 1, 2)
    pipe, view, target, new = f"p_{name}", f"v_{name}", f"t_{name}", f"{name}_new"
    server.deploy(
        {
            f"{target}.datasource": "SCHEMA >\n    id Int32\n",
            f"{view}.pipe": f"NODE n\nSQL >\n    SELECT id FROM {name}\n\nTYPE materialized\nDATASOURCE {target}\n",
            f"{pipe}.pipe": (
                f"NODE n\nSQL >\n    %\n    -- {name} stays here\n    SELECT {name}.id, '{name}' AS text\n"
                f"    FROM {name}\n    JOIN {name}_quarantine q ON 1 = 1\n    WHERE {name}.id > {{{{Int32(low, 0)}}}}\n"
                f"\nNODE last\nSQL >\n    SELECT count() AS c FROM {name} WHERE id IN (SELECT id FROM {name})\n"
            ),
        }
    )
    reader = server.token(f"read_{name}", f"DATASOURCES:READ:{name}")
    renamed = server.put(f"/v0/datasources/{name}", data={"name": new})
    assert renamed.status_code == 200, renamed.text
    assert renamed.json()["name"] == new
    assert server.get(f"/v0/datasources/{name}").status_code == 404
    assert server.get(f"/v0/datasources/{new}", token=reader).status_code == 200
    fill(server, new, 3)
    assert ids(server, new) == [1, 2, 3]
    assert ids(server, target) == [3]
    assert server.get(f"/v0/pipes/{pipe}.json").json()["data"] == [{"c": 3}]
    sql = server.get(f"/v0/pipes/{pipe}").json()["nodes"][0]["sql"]
    assert f"-- {name} stays here" in sql
    assert f"SELECT {new}.id, '{name}' AS text" in sql
    assert f"JOIN {new}_quarantine q" in sql
    assert server.get(f"/v0/pipes/{view}").json()["nodes"][0]["materialized"] is not None
    text = server.get(f"/v0/datasources/{new}.datasource").text
    assert "`id` Int32" in text


def test_a_rename_to_a_name_that_cannot_be_had_changes_nothing(server: Server, name: str) -> None:
    make(server, name)
    make(server, f"{name}_other")
    for new, status in ((f"{name}_other", 409), ("not a name", 400), ("select", 400)):
        assert server.put(f"/v0/datasources/{name}", data={"name": new}).status_code == status
    assert server.get(f"/v0/datasources/{name}").status_code == 200


def test_a_pipe_that_cannot_be_rewritten_safely_stops_the_rename(server: Server, name: str) -> None:
    make(server, name)
    server.deploy({f"p_{name}.pipe": f"NODE n\nSQL >\n    SELECT count() FROM numbers(3) a, {name}\n"})
    answer = server.put(f"/v0/datasources/{name}", data={"name": f"{name}_new"})
    assert answer.status_code == 409
    assert f"pipe 'p_{name}'" in answer.json()["error"]
    assert server.get(f"/v0/datasources/{name}").status_code == 200


def test_truncate_takes_all_rows_and_leaves_what_views_made_of_them(server: Server, name: str) -> None:
    make(server, name)
    target = f"t_{name}"
    server.deploy(
        {
            f"{target}.datasource": "SCHEMA >\n    id Int32\n",
            f"v_{name}.pipe": f"NODE n\nSQL >\n    SELECT id FROM {name}\n\nTYPE materialized\nDATASOURCE {target}\n",
        }
    )
    fill(server, name, 1, 2)
    below = server.get("/v0/dependencies", params={"datasource": name, "check_for_partial_replace": "true"}).json()
    assert below == {"dependencies": {target: [f"v_{name}"]}, "incompatible_datasources": {}}
    assert server.post(f"/v0/datasources/{name}/truncate").status_code == 200
    assert ids(server, name) == []
    assert ids(server, target) == [1, 2]
    fill(server, name, 3)
    assert ids(server, name) == [3]


def test_rows_are_counted_dry_and_deleted_by_a_job(server: Server, name: str) -> None:
    make(server, name)
    fill(server, name, 1, 2, 3)
    form = {"delete_condition": "id >= 2"}
    dry = server.post(f"/v0/datasources/{name}/delete", data={**form, "dry_run": "true"})
    assert dry.json() == {"rows_to_be_deleted": 2}
    assert ids(server, name) == [1, 2, 3]
    content = server.post(f"/v0/datasources/{name}/delete", data=form).json()
    assert content["job_url"].endswith(f"/v0/jobs/{content['job_id']}")
    assert server.finished(content["job_id"])["status"] == "done"
    assert ids(server, name) == [1]


@pytest.mark.parametrize("condition", ["", "nope = 1", "id = ", "1; DROP TABLE x"])
def test_a_delete_condition_that_is_none_deletes_nothing(server: Server, name: str, condition: str) -> None:
    make(server, name)
    fill(server, name, 1)
    answer = server.post(f"/v0/datasources/{name}/delete", data={"delete_condition": condition})
    assert answer.status_code == 400, answer.text
    assert ids(server, name) == [1]


def test_exchange_swaps_the_rows_of_two_data_sources(server: Server, name: str) -> None:
    other = f"{name}_other"
    make(server, name)
    make(server, other)
    fill(server, name, 1)
    fill(server, other, 2, 3)
    answer = server.post("/v0/datasources/exchange", data={"datasource_a": name, "datasource_b": other})
    assert answer.status_code == 200, answer.text
    assert (ids(server, name), ids(server, other)) == ([2, 3], [1])
    make(server, f"{name}_odd", "`id` String")
    odd = server.post("/v0/datasources/exchange", data={"datasource_a": name, "datasource_b": f"{name}_odd"})
    assert odd.status_code == 409
    assert ids(server, name) == [2, 3]


def test_a_data_source_in_use_is_only_deleted_with_force(server: Server, name: str) -> None:
    make(server, name)
    pipe, target = f"v_{name}", f"t_{name}"
    server.deploy(
        {
            f"{target}.datasource": "SCHEMA >\n    id Int32\n",
            f"{pipe}.pipe": f"NODE n\nSQL >\n    SELECT id FROM {name}\n\nTYPE materialized\nDATASOURCE {target}\n",
        }
    )
    fill(server, name, 1)
    path = f"/v0/datasources/{name}"
    dry = server.delete(path, params={"force": "false", "dry_run": "true"})
    assert (dry.status_code, dry.json()["dependent_pipes"]) == (200, [pipe])
    refused = server.delete(path, params={"force": "false", "dry_run": "false"})
    assert refused.status_code == 409
    assert "downstream" in refused.json()["error"]
    assert ids(server, name) == [1]
    assert server.delete(path, params={"force": "true", "dry_run": "false"}).status_code == 204
    assert server.get(path).status_code == 404
    assert server.get(f"/v0/pipes/{pipe}").json()["type"] == "default"
    assert ids(server, target) == [1]


def test_a_deleted_name_can_be_used_again_and_starts_empty(server: Server, name: str) -> None:
    make(server, name)
    fill(server, name, 1)
    assert server.delete(f"/v0/datasources/{name}").status_code == 204
    make(server, name)
    assert ids(server, name) == []


def test_what_was_altered_and_renamed_is_so_after_a_restart(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        make(server, "first_name")
        server.deploy({"p.pipe": "NODE n\nSQL >\n    SELECT count() AS c FROM first_name\n"})
        fill(server, "first_name", 1)
        assert alter(server, "first_name", schema=f"{SCHEMA},`n` Nullable(Int64) `json:$.n`")[0] == 200
        assert server.put("/v0/datasources/first_name", data={"name": "second_name"}).status_code == 200
        seen = server.get("/v0/datasources/second_name").json()
        texts = [server.get(path).text for path in ("/v0/datasources/second_name.datasource", "/v1/pipes/p.pipe")]
    with running_server(tmp_path / "data") as server:
        assert server.get("/v0/datasources/second_name").json() == seen
        assert [
            server.get(path).text for path in ("/v0/datasources/second_name.datasource", "/v1/pipes/p.pipe")
        ] == texts
        fill(server, "second_name", 2)
        assert server.get("/v0/pipes/p.json").json()["data"] == [{"c": 2}]

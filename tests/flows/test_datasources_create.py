"""Data sources made from a form, and how they look on the wire."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flow_server import Server

SCHEMA = (
    "`ts` DateTime `json:$.ts`,`user` String `json:$.user` DEFAULT 'x',"
    "`v` Nullable(Float64) `json:$.v` CODEC(ZSTD(1)),`d` Date materialized toDate(ts)"
)
PLAIN = "`a` Int32,`b` String"


def create(server: Server, name: str, schema: str = PLAIN, **form: str) -> dict[str, Any]:
    answer = server.post("/v0/datasources", data={"name": name, "schema": schema, **form})
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()["datasource"]
    return content


def test_a_data_source_echoes_what_was_pushed(server: Server, name: str) -> None:
    create(
        server,
        name,
        SCHEMA,
        description="Events of users",
        engine="MergeTree",
        engine_sorting_key="user, ts",
        engine_ttl="ts + toIntervalDay(90)",
        indexes="INDEX ix user TYPE bloom_filter(0.01) GRANULARITY 4\nINDEX im ts TYPE minmax",
        indexes_list="internal",
        backfill_column="ts",
        branch_mode="None",
        format="ndjson",
    )
    found = server.get(f"/v0/datasources/{name}", params={"attrs": ""}).json()
    assert found["schema"]["sql_schema"] == SCHEMA
    assert found["description"] == "Events of users"
    assert found["engine"] == {"engine": "MergeTree", "sorting_key": "user, ts", "ttl": "ts + toIntervalDay(90)"}
    assert found["indexes"] == [
        {"name": "ix", "expr": "user", "type_full": "bloom_filter(0.01)", "granularity": "4"},
        {"name": "im", "expr": "ts", "type_full": "minmax", "granularity": None},
    ]
    assert found["tags"] == {"backfill_column": "ts"}
    assert found["type"] == "ndjson"
    assert found["statistics"] == {"row_count": 0, "bytes": 0}
    assert (found["shared_with"], found["service"], found["connector"]) == ([], "", None)
    assert [column["name"] for column in found["columns"]] == ["ts", "user", "v", "d"]
    assert found["columns"][2]["nullable"] is True
    assert found["columns"][2]["codec"] == "ZSTD(1)"


def test_a_data_source_is_found_by_name_and_by_id_and_in_the_list(server: Server, name: str) -> None:
    identity = create(server, name)["id"]
    assert server.get(f"/v0/datasources/{identity}").json()["name"] == name
    listed = server.get("/v0/datasources?&attrs=").json()["datasources"]
    assert [each["id"] for each in listed if each["name"] == name] == [identity]


def test_attrs_keep_only_the_keys_they_name(server: Server, name: str) -> None:
    identity = create(server, name)["id"]
    assert server.get(f"/v0/datasources/{name}", params={"attrs": "type"}).json() == {
        "id": identity,
        "name": name,
        "type": "csv",
    }


def test_engines_without_rows_have_no_statistics(server: Server, name: str) -> None:
    create(server, name, engine="Null")
    found = server.get(f"/v0/datasources/{name}").json()
    assert found["statistics"] == {"row_count": None, "bytes": None}


def test_the_datafile_comes_back_as_plain_text_that_makes_the_same_data_source(server: Server, name: str) -> None:
    create(server, name, SCHEMA, description="Events", engine="MergeTree", engine_sorting_key="user, ts")
    answer = server.get(f"/v0/datasources/{name}.datasource")
    assert answer.headers["content-type"] == "text/plain"
    copy = f"{name}_copy"
    server.deploy({f"{copy}.datasource": answer.text})
    ours, theirs = (server.get(f"/v0/datasources/{each}").json() for each in (name, copy))
    for key in ("schema", "engine", "description", "indexes", "columns"):
        assert ours[key] == theirs[key]


def test_a_deployed_datafile_comes_back_as_it_was_written(server: Server, name: str) -> None:
    text = "SCHEMA >\n  a   Int32  ,\n    b String -- what it is\n"
    server.deploy({f"datasources/{name}.datasource": text})
    assert server.get(f"/v0/datasources/{name}.datasource").text == text


def test_tags_of_a_form_are_kept_as_options_and_as_tags(server: Server, name: str) -> None:
    datasource = create(server, name, tags=f"{name}, backfill_column=a&x=1")
    assert datasource["tags"] == {"backfill_column": "a", "x": "1"}
    assert f'TAGS "backfill_column=a&x=1, {name}"' in server.get(f"/v0/datasources/{name}.datasource").text
    tagged = {each["name"]: each["resources"] for each in server.get("/v0/tags").json()["tags"]}
    assert [each["name"] for each in tagged[name]] == [name]


def test_connector_lines_come_back_as_they_were_sent(server: Server, name: str) -> None:
    kafka = {"kafka_connection_name": "c", "kafka_topic": "t", "kafka_group_id": "g"}
    datasource = create(server, name, service="kafka", connector="id", **kafka)
    assert (datasource["type"], datasource["service"]) == ("kafka", "kafka")
    assert "KAFKA_TOPIC t" in server.get(f"/v0/datasources/{name}.datasource").text
    bucket = {"service": "s3", "connection": "c", "bucket_uri": "s3://b/*.csv", "mode": "replace", "cron": "@once"}
    create(server, f"{name}_s3", connector="id", **bucket)
    server.put(f"/v0/datasources/{name}_s3", data={"cron": "0 * * * *"})
    text = server.get(f"/v0/datasources/{name}_s3.datasource").text
    assert "IMPORT_STRATEGY replace" in text
    assert "IMPORT_SCHEDULE 0 * * * *" in text


def test_the_pipes_that_read_it_are_listed(server: Server, name: str) -> None:
    create(server, name)
    pipe = f"p_{name}"
    server.deploy({f"{pipe}.pipe": f"NODE n\nSQL >\n    SELECT a FROM {name}\n"})
    used_by = server.get(f"/v0/datasources/{name}", params={"attrs": "used_by"}).json()["used_by"]
    assert [each["name"] for each in used_by] == [pipe]
    assert server.get("/v0/dependencies", params={"datasource": name}).json() == {
        "dependencies": {name: [pipe]},
        "incompatible_datasources": {},
    }


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"schema": PLAIN}, "'name' is required"),
        ({"name": "@"}, "'schema' is required"),
        ({"name": "@", "schema": "a Int32,,b String"}, "found nothing (line 1, column 9)"),
        ({"name": "@", "schema": "a Int32, b"}, "Column 'b' has no type"),
        ({"name": "@", "schema": "a Integr"}, "Integr"),
        ({"name": "@", "schema": "a Int32, a String"}, "Column 'a' is there twice"),
        ({"name": "@", "schema": "a Int32 ALIAS 1"}, "ALIAS is not supported"),
        ({"name": "@", "schema": "a Array(Int32"}, "never closed"),
        ({"name": "@", "schema": PLAIN, "engine": "MergeThree"}, "MergeThree"),
        ({"name": "@", "schema": PLAIN, "engine": "CollapsingMergeTree"}, "ENGINE_SIGN"),
        ({"name": "@", "schema": PLAIN, "engine": "MergeTree", "engine_sorting_key": "nope"}, "nope"),
        ({"name": "@", "schema": PLAIN, "engine": "MergeTree", "engine_ttl": "a +"}, "Syntax error"),
        ({"name": "@", "schema": PLAIN, "indexes": "INDEX ix"}, "Cannot read the index"),
        ({"name": "@", "schema": "`a` Int32 `json:a.b`"}, "is not a jsonpath"),
        ({"name": "not a name", "schema": PLAIN}, "not a valid name"),
        ({"name": "select", "schema": PLAIN}, "keyword"),
        ({"name": "@", "schema": PLAIN, "odd": "a, b"}, "cannot be written into TAGS"),
    ],
)
def test_a_form_that_cannot_be_a_data_source_is_refused(
    server: Server, name: str, form: dict[str, str], message: str
) -> None:
    form = {key: value.replace("@", name) for key, value in form.items()}
    answer = server.post("/v0/datasources", data=form)
    assert answer.status_code == 400
    content = answer.json()
    assert any(message in each for each in (content["error"], *content.get("errors", ()))), content
    assert server.get(f"/v0/datasources/{name}").status_code == 404


def test_a_name_that_is_taken_is_a_conflict_and_changes_nothing(server: Server, name: str) -> None:
    create(server, name)
    answer = server.post("/v0/datasources", data={"name": name, "schema": "z String"})
    assert answer.status_code == 409
    assert "already a Data Source" in answer.json()["error"]
    assert server.get(f"/v0/datasources/{name}").json()["schema"]["sql_schema"] == PLAIN


def test_of_two_creations_at_once_one_wins_and_the_other_is_told(server: Server, name: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        schemas = [PLAIN, "`z` String"]
        made = [
            pool.submit(server.post, "/v0/datasources", data={"name": name, "schema": schema}) for schema in schemas
        ]
        answers = [each.result() for each in made]
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    winner = next(schema for schema, answer in zip(schemas, answers, strict=True) if answer.status_code == 200)
    assert server.get(f"/v0/datasources/{name}").json()["schema"]["sql_schema"] == winner


def test_a_name_of_a_pipe_is_taken_too(server: Server, name: str) -> None:
    server.deploy({f"{name}.pipe": "NODE n\nSQL >\n    SELECT 1 AS a\n"})
    answer = server.post("/v0/datasources", data={"name": name, "schema": PLAIN})
    assert answer.status_code == 409
    assert "already a Pipe" in answer.json()["error"]


def test_an_unknown_data_source_is_not_found_and_the_nearest_one_is_named(server: Server, name: str) -> None:
    create(server, name)
    for method, path in (
        ("GET", ""), ("GET", ".datasource"), ("PUT", ""), ("DELETE", ""), ("POST", "/alter"), ("POST", "/truncate"),
        ("POST", "/delete"), ("GET", "/scheduling/state"),
    ):  # fmt: skip
        answer = server.request(method, f"/v0/datasources/{name}x{path}")
        assert answer.status_code == 404, (method, path, answer.text)
        error = answer.json()["error"]
        assert error.startswith(f"Data Source '{name}x' not found")
        assert error.endswith(f"Did you mean '{name}'?")


def test_a_schedule_says_what_to_do_instead(server: Server, name: str) -> None:
    create(server, name)
    runs = server.post(f"/v0/datasources/{name}/scheduling/runs")
    assert runs.status_code == 400
    assert "COPY_SCHEDULE" in runs.json()["error"]

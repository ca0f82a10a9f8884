"""Tags on data sources and pipes."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from flow_server import Server

SOURCE = "SCHEMA >\n    `n` Int32 `json:$.n`\n\nENGINE_SORTING_KEY n\n"
PIPE = "NODE numbers_of\nSQL >\n    SELECT n FROM tag_events\n"


@pytest.fixture(scope="module", autouse=True)
def project(server: Server) -> None:
    server.deploy({"datasources/tag_events.datasource": SOURCE, "pipes/tag_all.pipe": PIPE})


def resource(server: Server, kind: str, name: str) -> dict[str, Any]:
    found = server.get(f"/v0/{kind}s/{name}").json()
    return {"id": found["id"], "name": name, "type": kind}


def tagged(server: Server, tag: str) -> list[dict[str, Any]]:
    listed = {each["name"]: each["resources"] for each in server.get("/v0/tags").json()["tags"]}
    resources: list[dict[str, Any]] = listed[tag]
    return resources


@pytest.mark.parametrize("tag", ["billing", "two words", 'a"', "b/c", "ünï&=?#"])
def test_a_tag_of_any_name_is_made_changed_and_deleted(server: Server, tag: str) -> None:
    source, pipe = resource(server, "datasource", "tag_events"), resource(server, "pipe", "tag_all")
    made = server.post("/v0/tags", json={"name": tag, "resources": [source]}).json()
    assert (made["name"], made["resources"]) == (tag, [source])
    path = f"/v0/tags/{quote(tag, safe='')}"
    assert server.put(path, json={"resources": [source, pipe, pipe]}).json()["id"] == made["id"]
    assert tagged(server, tag) == [pipe, source]
    assert server.put(path, json={"resources": []}).json()["resources"] == []
    assert server.delete(path).status_code == 204
    assert server.delete(path).status_code == 404


def test_a_tag_alone_is_on_nothing(server: Server, name: str) -> None:
    assert server.post("/v0/tags", json={"name": name}).json()["resources"] == []


def test_a_resource_of_a_tag_may_come_by_name_only(server: Server, name: str) -> None:
    server.post("/v0/tags", json={"name": name, "resources": [{"name": "tag_all"}]})
    assert tagged(server, name) == [resource(server, "pipe", "tag_all")]


def test_a_deleted_resource_takes_its_tags_along(server: Server, name: str) -> None:
    server.deploy({f"datasources/{name}.datasource": SOURCE})
    server.post("/v0/tags", json={"name": name, "resources": [resource(server, "datasource", name)]})
    assert server.delete(f"/v0/datasources/{name}").status_code in (200, 204)
    assert tagged(server, name) == []


def test_a_pulled_datafile_has_the_tags_of_today(server: Server, name: str) -> None:
    server.deploy({f"pipes/{name}.pipe": "NODE one\nSQL >\n    SELECT 1 AS n\n"})
    server.post("/v0/tags", json={"name": f"tag of {name}", "resources": [resource(server, "pipe", name)]})
    assert f'TAGS "tag of {name}"' in server.get(f"/v1/pipes/{name}.pipe").text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"name": " "}, 400),
        ({"name": "t" * 251}, 400),
        ({"name": "tag_new", "resources": [{"name": "tag_missing"}]}, 404),
        ({"name": "tag_new", "resources": ["tag_all"]}, 400),
        ({"name": "tag_new", "resources": [{}]}, 400),
        (["tag_new"], 400),
    ],
)
def test_what_cannot_be_a_tag_is_refused_and_leaves_nothing(server: Server, body: object, status: int) -> None:
    answer = server.post("/v0/tags", json=body)
    assert (answer.status_code, bool(answer.json()["error"])) == (status, True)
    assert "tag_new" not in {tag["name"] for tag in server.get("/v0/tags").json()["tags"]}


def test_a_name_is_given_once(server: Server, name: str) -> None:
    assert server.post("/v0/tags", json={"name": name}).status_code == 200
    assert server.post("/v0/tags", json={"name": name}).status_code == 409


def test_a_change_without_resources_changes_nothing(server: Server, name: str) -> None:
    server.post("/v0/tags", json={"name": name, "resources": [{"name": "tag_all"}]})
    assert server.put(f"/v0/tags/{name}", json={}).status_code == 400
    assert len(tagged(server, name)) == 1


def test_who_may_write_resources_may_tag_them_and_readers_may_not(server: Server, name: str) -> None:
    author, reader = server.token(f"{name}_a", "PIPES:CREATE"), server.token(f"{name}_r", "PIPES:READ:tag_all")
    assert server.post("/v0/tags", token=author, json={"name": name}).status_code == 200
    answers = [
        server.get("/v0/tags", token=reader),
        server.post("/v0/tags", token=reader, json={"name": f"{name}_2"}),
        server.put(f"/v0/tags/{name}", token=reader, json={"resources": []}),
        server.delete(f"/v0/tags/{name}", token=reader),
    ]
    assert [answer.status_code for answer in answers] == [403] * 4


def test_a_deployed_project_has_the_tags_of_its_datafiles(server: Server, name: str) -> None:
    text = f'TAGS "{name}, shared by {name}"\n\nNODE one\nSQL >\n    SELECT 1 AS n\n'
    files = {f"pipes/{name}_{number}.pipe": text for number in (1, 2)}
    server.deploy(files)
    server.deploy(files)
    assert [each["name"] for each in tagged(server, f"shared by {name}")] == [f"{name}_1", f"{name}_2"]
    assert f'TAGS "{name}, shared by {name}"' in server.get(f"/v1/pipes/{name}_1.pipe").text

"""`birdhouse populate` against a server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from commands import Commands
from flows.flow_server import Server, running_server

VIEW = "NODE n\nSQL >\n    SELECT id, if(id = 13, throwIf(id = 13, 'thirteen'), 0) AS kind FROM numbers_in\n\n"
TO_TARGET = "TYPE materialized\nDATASOURCE numbers_out\n"
PROJECT = {
    "numbers_in.datasource": "SCHEMA >\n    `id` UInt64 `json:$.id`\n",
    "numbers_out.datasource": "SCHEMA >\n    `id` UInt64,\n    `kind` UInt8\n",
    "endpoint.pipe": "NODE n\nSQL >\n    SELECT 1 AS one\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server") / "data") as server:
        server.deploy(PROJECT)
        send(server, *range(10))
        server.deploy({"numbers_view.pipe": VIEW + TO_TARGET})
        yield server


@pytest.fixture
def populate(birdhouse: Commands, server: Server, monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.setenv("TB_HOST", server.url)
    monkeypatch.setenv("TB_TOKEN", server.admin_token)
    assert server.post("/v0/datasources/numbers_out/truncate").status_code == 200
    return birdhouse


def send(server: Server, *ids: int) -> int:
    body = "\n".join(json.dumps({"id": each}) for each in ids)
    return server.post("/v0/events", params={"name": "numbers_in", "wait": "true"}, content=body).status_code


def target(server: Server) -> list[int]:
    return [each["id"] for each in server.sql("SELECT id FROM numbers_out ORDER BY id")]


def test_it_ends_when_the_rows_are_there(populate: Commands, server: Server) -> None:
    for _ in range(2):
        printed = populate("populate", "numbers_view", "--truncate")
        assert "numbers_view: 10 rows into numbers_out" in printed
        assert target(server) == list(range(10))


def test_some_rows_are_chosen_and_added(populate: Commands, server: Server) -> None:
    assert "1 row into" in populate("populate", "numbers_view", "--condition", "id = 3")
    job = populate.json("populate", "numbers_view", "--subset", "0.5", "--condition", "id > 7")
    assert (job["status"], job["statistics"]["row_count"]) == ("done", 2)
    assert target(server) == [3, 8, 9]


def test_what_was_missed_stays_until_the_view_can_take_it(populate: Commands, server: Server) -> None:
    assert send(server, 13) == 422
    populate("populate", "numbers_view", "--missed", code=1)
    assert "thirteen" in populate.error
    server.deploy({"numbers_view.pipe": VIEW.replace("= 13,", "= 14,") + TO_TARGET})
    populate("populate", "numbers_view", "--missed")
    assert target(server) == [13]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("numbers_vew",), "numbers_view"),
        (("endpoint",), "'endpoint' is not materialized"),
        (("numbers_view", "--subset", "2"), "a fraction between 0 and 1"),
        (("numbers_view", "--condition", "idd = 1"), "idd"),
    ],
)
def test_mistakes_are_told(populate: Commands, arguments: tuple[str, ...], words: str) -> None:
    populate("populate", *arguments, code=1)
    assert words in populate.error

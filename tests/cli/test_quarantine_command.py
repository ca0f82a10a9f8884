"""Rows in quarantine: grouped, given a definition that takes them, and replayed exactly once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Commands
from flows.flow_server import Server, running_server

ORDERS = """\
SCHEMA >
    `id` UInt8 `json:$.id`,
    `amount` Float64 `json:$.amount`,
    `day` Date `json:$.day`,
    `tags` Array(String) `json:$.tags[:]`

ENGINE "MergeTree"
ENGINE_SORTING_KEY "id"
"""
FIRST = {"id": 1, "amount": 1.5, "day": "2024-05-01", "tags": ["a"]}
ROWS = [
    *(json.dumps({**FIRST, "id": number}) for number in (1, 2)),
    *(json.dumps({**FIRST, "id": number}) for number in (300, 70_000, -1)),
    *(json.dumps({**FIRST, "id": 3, "amount": value}) for value in (None, "cheap", "dear")),
    *(json.dumps({**FIRST, "id": 4, "day": value}) for value in ("soon", "later")),
    "no record at all",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server") / "data") as server:
        yield server


@pytest.fixture
def orders(server: Server, birdhouse: Commands) -> Iterator[str]:
    """A data source with two rows that fit and nine that do not; its datafile is in the folder."""
    server.deploy({"datasources/orders.datasource": ORDERS})
    (birdhouse.folder / "orders.datasource").write_text(ORDERS, "utf-8")
    answer = server.post("/v0/events", params={"name": "orders", "wait": "true"}, content="\n".join(ROWS))
    assert (answer.json()["successful_rows"], answer.json()["quarantined_rows"]) == (2, 9)
    yield "orders"
    assert server.delete("/v0/datasources/orders", params={"force": "true"}).status_code == 204


def run(birdhouse: Commands, server: Server, command: str, *options: str | Path, code: int = 0) -> str:
    given = ("--host", server.url, "--token", server.admin_token)
    return birdhouse("quarantine", command, "orders", *options, *given, code=code)


def by_columns(groups: list[dict[str, Any]]) -> Counter[tuple[str, ...]]:
    """How many rows have misfits in these columns."""
    return sum((Counter({tuple(each["columns"]): int(each["rows"])}) for each in groups), Counter())


def count(server: Server, name: str) -> int:
    return int(server.sql(f"SELECT count() AS n FROM {name}")[0]["n"])


def test_misfits_are_grouped_by_column_and_kind_of_reason(birdhouse: Commands, server: Server, orders: str) -> None:
    groups = json.loads(run(birdhouse, server, "show", "--json"))
    assert by_columns(groups) == {("id",): 3, ("amount",): 3, ("day",): 2, (): 1}
    assert len(groups) == 6  # out of bounds is another reason than negative, and null another than a word
    text = run(birdhouse, server, "show")
    assert all(each in text for each in ("Invalid value", "amount", "rows"))


def test_the_first_type_that_takes_all_values_is_proposed(birdhouse: Commands, server: Server, orders: str) -> None:
    proposal = json.loads(run(birdhouse, server, "fix", "--json", code=1))
    types = {change["column"]: change["after"] for change in proposal["changes"]}
    assert types == {"id": "Int64", "amount": "Nullable(String)", "day": "String"}
    assert proposal["unreadable_rows"] == 1
    assert "`amount` Nullable(String) `json:$.amount`" in proposal["text"]
    assert server.get("/v0/datasources/orders.datasource").text.count("UInt8") == 1


def test_after_the_change_what_fits_is_replayed_once_and_the_rest_stays(
    birdhouse: Commands, server: Server, orders: str
) -> None:
    datafile = birdhouse.folder / "orders.datasource"
    run(birdhouse, server, "fix", "--file", datafile, "--apply", code=1)
    given = ("--host", server.url, "--token", server.admin_token)
    fills = ("--fill", "id=toInt64(id)", "--fill", "amount=toString(amount)", "--fill", "day=toString(day)")
    birdhouse("evolve", "orders", "--to", datafile, *fills, *given)
    assert "fit now: 8 rows; still in quarantine: 1" in run(birdhouse, server, "replay")
    assert (count(server, "orders"), count(server, "orders_quarantine")) == (10, 1)
    assert server.sql("SELECT id, amount, day FROM orders WHERE amount = 'cheap' OR id = -1 ORDER BY id") == [
        {"id": -1, "amount": "1.5", "day": "2024-05-01"},
        {"id": 3, "amount": "cheap", "day": "2024-05-01"},
    ]
    assert "fit now: 0 rows; still in quarantine: 1" in run(birdhouse, server, "replay")
    assert (count(server, "orders"), count(server, "orders_quarantine")) == (10, 1)


def test_what_does_not_fit_yet_stays_with_its_reasons_and_reaches_no_view(
    birdhouse: Commands, server: Server, orders: str
) -> None:
    view = "NODE n\nSQL >\n    SELECT id FROM orders\n\nTYPE MATERIALIZED\nDATASOURCE order_ids\n"
    server.deploy({"datasources/order_ids.datasource": "SCHEMA >\n    `id` UInt8\n", "pipes/ids.pipe": view})
    before = json.loads(run(birdhouse, server, "show", "--json"))
    job = json.loads(run(birdhouse, server, "replay", "--json"))
    assert (job["replayed_rows"], job["left_rows"]) == (0, 9)
    after = json.loads(run(birdhouse, server, "show", "--json"))
    assert by_columns(after) == by_columns(before)
    assert (count(server, "orders"), count(server, "order_ids")) == (2, 0)
    server.delete("/v0/pipes/ids")
    server.delete("/v0/datasources/order_ids", params={"force": "true"})


def test_an_empty_quarantine_and_an_unknown_data_source_are_told(birdhouse: Commands, server: Server) -> None:
    server.deploy({"datasources/orders.datasource": ORDERS})
    assert "Nothing is in quarantine" in run(birdhouse, server, "show")
    assert "nothing to change" in run(birdhouse, server, "fix")
    assert "fit now: 0 rows; still in quarantine: 0" in run(birdhouse, server, "replay")
    server.delete("/v0/datasources/orders", params={"force": "true"})
    run(birdhouse, server, "show", code=1)
    assert "'orders' not found" in birdhouse.error


def test_apply_needs_a_file(birdhouse: Commands, server: Server) -> None:
    run(birdhouse, server, "fix", "--apply", code=2)
    assert "--file" in birdhouse.error


def test_reading_and_replaying_need_their_scopes(server: Server, orders: str) -> None:
    reader = server.token("quarantine_reader", "DATASOURCES:READ:orders:id = 1")
    assert server.get("/v0/datasources/orders/quarantine", token=reader).status_code == 403
    assert server.post("/v0/datasources/orders/quarantine/replay", token=reader).status_code == 403

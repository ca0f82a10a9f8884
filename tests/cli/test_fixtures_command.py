"""Rows of a server become fixtures: the same each time, related to each other, and of nobody when asked."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Commands
from flows.flow_server import Server, running_server
from hypothesis import given
from hypothesis import strategies as st

from birdhouse.cli.pseudonym import KINDS, Pseudonyms, kind_of

MEMBERS = """\
SCHEMA >
    `memberId` String `json:$.member.id`,
    `displayName` String `json:$.member.displayName`,
    `emails` Array(String) `json:$.member.emails[:]`,
    `score` Decimal(18, 4) `json:$.score`,
    `big` UInt64 `json:$.big`,
    `joinedAt` DateTime64(3) `json:$.joinedAt`,
    `note` Nullable(String) `json:$.note`,
    `day` Date MATERIALIZED toDate(joinedAt)

ENGINE "MergeTree"
ENGINE_SORTING_KEY "memberId"
"""
ACTIVITIES = """\
SCHEMA >
    `id` UInt32,
    `memberId` String,
    `title` String

ENGINE "MergeTree"
ENGINE_SORTING_KEY "id"
"""
STATES = "SCHEMA >\n    `n` AggregateFunction(count)\n\nENGINE AggregatingMergeTree\nENGINE_SORTING_KEY tuple()\n"
PEOPLE = 60


def person(number: int) -> dict[str, Any]:
    name = f"Person {number}"
    member = {"id": f"m{number}", "displayName": name, "emails": [f"p{number}@a.org", f"P{number}@b.org"]}
    when = f"2024-05-01 10:00:{number % 60:02}.125"
    note = None if number % 2 else f"note {number}"
    return {"member": member, "score": f"{number}.1234", "big": 2**64 - 1 - number, "joinedAt": when, "note": note}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server") / "data") as server:
        server.deploy({"datasources/members.datasource": MEMBERS, "datasources/activities.datasource": ACTIVITIES})
        rows = "\n".join(json.dumps(person(number)) for number in range(PEOPLE))
        assert server.post("/v0/events", params={"name": "members", "wait": "true"}, content=rows).status_code == 200
        lines = "".join(f"{n},m{n % PEOPLE},hello world {n}\n" for n in range(3 * PEOPLE))
        target = {"mode": "append", "format": "csv", "name": "activities"}
        assert server.post("/v0/datasources", params=target, content=lines).status_code == 200
        yield server


@pytest.fixture
def pull(birdhouse: Commands, server: Server) -> Commands:
    folder = birdhouse.folder / "datasources"
    folder.mkdir()
    (folder / "members.datasource").write_text(MEMBERS, "utf-8")
    (folder / "activities.datasource").write_text(ACTIVITIES, "utf-8")
    return birdhouse


def run(pull: Commands, server: Server, *options: str, code: int = 0) -> str:
    return pull("fixtures", "pull", *options, "--host", server.url, "--token", server.admin_token, code=code)


def members(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "fixtures" / "members.ndjson").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def activities(folder: Path) -> list[dict[str, str]]:
    with (folder / "fixtures" / "activities.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_are_written_as_they_came_and_load_again(pull: Commands, server: Server) -> None:
    assert "members: 60 rows" in run(pull, server, "members")
    found = members(pull.folder)
    assert sorted(found, key=lambda each: int(each["member"]["id"][1:])) == [person(n) for n in range(PEOPLE)]
    path = pull.folder / "fixtures" / "members.ndjson"
    target = {"mode": "replace", "format": "ndjson", "name": "members"}
    answer = server.post("/v0/datasources", params=target, content=path.read_bytes())
    assert (answer.json()["quarantine_rows"], answer.json()["invalid_lines"]) == (0, 0)
    assert server.sql("SELECT count() AS n FROM members") == [{"n": PEOPLE}]


def test_a_sample_is_the_same_each_time_and_another_with_another_seed(pull: Commands, server: Server) -> None:
    samples = []
    for seed in ("a", "a", "b"):
        run(pull, server, "--rows", "10", "--seed", seed)
        samples.append(
            [(pull.folder / "fixtures" / name).read_bytes() for name in ("members.ndjson", "activities.csv")]
        )
    assert samples[0] == samples[1] and samples[0] != samples[2]
    assert [len(each.splitlines()) for each in samples[0]] == [10, 11]


def test_data_sources_that_share_a_column_get_rows_of_the_same_values(pull: Commands, server: Server) -> None:
    run(pull, server, "--rows", "12", "--by", "memberId")
    chosen = {each["member"]["id"] for each in members(pull.folder)}
    assert len(chosen) == 12
    assert {each["memberId"] for each in activities(pull.folder)} <= chosen


def test_a_condition_chooses_rows(pull: Commands, server: Server) -> None:
    run(pull, server, "members", "--where", "memberId IN ('m3', 'm5')")
    assert {each["member"]["id"] for each in members(pull.folder)} == {"m3", "m5"}


def test_people_are_not_told_when_asked_and_are_the_same_everywhere(pull: Commands, server: Server) -> None:
    (pull.folder / "fixtures").mkdir()
    (pull.folder / "fixtures" / "anonymise.yaml").write_text("memberId: name\nmembers.note: text\n", "utf-8")
    run(pull, server, "--anonymise", "--seed", "secret", "--rows", "200")
    texts = "".join(
        (pull.folder / "fixtures" / name).read_text("utf-8") for name in ("members.ndjson", "activities.csv")
    )
    assert not any(word in texts for word in ("Person", "@a.org", "hello", "note 4", '"m3"'))
    assert {each["memberId"] for each in activities(pull.folder)} == {
        each["member"]["id"] for each in members(pull.folder)
    }
    first = members(pull.folder)[0]["member"]
    assert first["displayName"].startswith("user_") and first["emails"][0].endswith(".example")
    domains = {mail.rpartition("@")[2] for each in members(pull.folder) for mail in each["member"]["emails"]}
    assert len(domains) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("nothing",), "no data source 'nothing'"),
        (("members", "--where", "nope = 1"), "nope"),
        (("members", "--token", "p.wrong"), "token"),
    ],
)
def test_what_cannot_be_pulled_is_said_and_leaves_no_file(
    pull: Commands, server: Server, options: tuple[str, ...], said: str
) -> None:
    pull("fixtures", "pull", "--host", server.url, "--token", server.admin_token, *options, code=1)
    assert said in pull.error
    assert not (pull.folder / "fixtures" / "members.ndjson").exists()


def test_states_and_unknown_rules_are_refused(pull: Commands, server: Server) -> None:
    (pull.folder / "datasources" / "states.datasource").write_text(STATES, "utf-8")
    run(pull, server, "states", code=1)
    assert "states of aggregates" in pull.error
    (pull.folder / "fixtures").mkdir()
    (pull.folder / "fixtures" / "anonymise.yaml").write_text("memberId: nonsense\n", "utf-8")
    run(pull, server, "members", "--anonymise", code=1)
    assert "email, ip, url, name, text, keep" in pull.error


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("email", "email"), ("authorEmail", "email"), ("displayName", "name"), ("username", "name"),
        ("avatarUrl", "url"),
        ("ip", "ip"), ("client_ip", "ip"), ("body", "text"), ("channel", "keep"), ("country", "keep"), ("zip", "keep"),
        ("relationship", "keep"),
    ],
)  # fmt: skip
def test_what_a_column_holds_is_told_from_its_name(column: str, kind: str) -> None:
    assert kind_of(column) == kind


@given(st.sampled_from(sorted(KINDS)), st.text(min_size=1), st.text(min_size=1))
def test_a_pseudonym_stands_for_one_value_and_depends_on_the_key(kind: str, value: str, key: str) -> None:
    first = Pseudonyms(key).of(kind, value)
    assert first == Pseudonyms(key).of(kind, value)
    assert Pseudonyms(key).of(kind, [value, {"k": value}]) == [first, {"k": first}]
    assert kind in ("ip", "text") or first != Pseudonyms(key + "x").of(kind, value)

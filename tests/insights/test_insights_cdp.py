"""What goes back to the CDP and what it finds, where that hangs on now or on a newer version, as no fixture can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flows.flow_server import Server, running_server
from insights_project import append, run_copies, slice_of

KINDS = ("member", "organization")
LEVELS = ("leaf", "parent", "grandparent")
MENTIONS = "octolens_mentions_sink"
BROWSER = "activities_relations_filtered"
LEAFS = {
    "nest": ("songbirds", "birds"),
    "roost": ("songbirds", "birds"),
    "pond": ("waterbirds", "birds"),
    "den": ("mammals", "animals"),
}
"""Segment to project and project group."""
LONG_AGO = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    changed = [f"cdp_{kind}_aggregates_changed_{level}_segments_sink" for kind in KINDS for level in LEVELS]
    rebuilds = [f"cdp_{kind}_segment_aggregates_initial_snapshot" for kind in KINDS]
    contents = ["activities_deduplicated_copy_pipe_append_mode", BROWSER, MENTIONS]
    with running_server(tmp_path_factory.mktemp("cdp") / "data", follow_schedules=False) as server:
        server.deploy(slice_of([*changed, *rebuilds, *contents, "activityRelations_enrich_initial_snapshot"]))
        send(server, "segments", [segment(each) for each in LEAFS])
        yield server


def send(server: Server, datasource: str, records: list[dict[str, Any]]) -> None:
    append(server, datasource, [json.dumps({"record": each}).encode() for each in records])


def segment(leaf: str) -> dict[str, Any]:
    parent, grandparent = LEAFS[leaf]
    return {
        "id": leaf,
        "slug": leaf,
        "parentId": parent,
        "parentSlug": parent,
        "grandparentId": grandparent,
        "grandparentSlug": grandparent,
        "status": "active",
        "createdAt": LONG_AGO.isoformat(),
        "updatedAt": LONG_AGO.isoformat(),
    }


def relation(number: int, leaf: str, member: str, organization: str, updated: datetime) -> dict[str, Any]:
    return {
        "activityId": f"activity-{number}",
        "createdAt": LONG_AGO.isoformat(),
        "updatedAt": updated.isoformat(),
        "memberId": member,
        "organizationId": organization,
        "platform": "github",
        "segmentId": leaf,
        "username": member,
        "sourceId": f"source-{number}",
        "type": "issues-opened",
        "timestamp": (LONG_AGO + timedelta(minutes=number)).isoformat(),
        "channel": f"https://github.com/birds/{leaf}",
        "score": number % 3,
    }


def changed(server: Server, kind: str, level: str) -> list[tuple[str, str, int]]:
    """Segment, who, and how many activities there are."""
    sink = f"cdp_{kind}_aggregates_changed_{level}_segments_sink"
    rows = server.sql(f"SELECT segmentId, {kind}Id AS who, activityCount FROM {sink} ORDER BY segmentId, who")
    return [(row["segmentId"], row["who"], row["activityCount"]) for row in rows]


def test_what_changed_since_yesterday_is_written_back_with_its_totals(server: Server) -> None:
    old = [
        relation(1, "nest", "ada", "acme", LONG_AGO),
        relation(2, "nest", "ada", "acme", LONG_AGO),
        relation(3, "roost", "ada", "acme", LONG_AGO),
        relation(4, "pond", "ada", "acme", LONG_AGO),
        relation(5, "den", "ada", "acme", LONG_AGO),
        relation(6, "nest", "bea", "", LONG_AGO),
    ]
    send(server, "activityRelations", old)
    run_copies(server, "activityRelations_enrich_initial_snapshot")
    run_copies(server, *(f"cdp_{kind}_segment_aggregates_initial_snapshot" for kind in KINDS))
    for kind in KINDS:
        assert [changed(server, kind, level) for level in LEVELS] == [[], [], []]

    send(server, "activityRelations", [relation(7, "nest", "ada", "acme", datetime.now(UTC))])
    assert changed(server, "member", "leaf") == [("nest", "ada", 3)]
    assert changed(server, "member", "parent") == [("songbirds", "ada", 4)]
    assert changed(server, "member", "grandparent") == [("birds", "ada", 5)]

    send(server, "activityRelations", [relation(8, "roost", "bea", "", datetime.now(UTC))])
    assert changed(server, "member", "leaf") == [("nest", "ada", 3), ("roost", "bea", 1)]
    assert changed(server, "member", "parent") == [("songbirds", "ada", 4), ("songbirds", "bea", 2)]
    assert changed(server, "organization", "leaf") == [("nest", "acme", 3)]
    assert changed(server, "organization", "parent") == [("songbirds", "acme", 4)]
    assert changed(server, "organization", "grandparent") == [("birds", "acme", 5)]


def test_the_mentions_of_the_previous_hour_are_exported(server: Server) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    made = {"a": hour - timedelta(seconds=1), "b": hour - timedelta(hours=1), "c": hour - timedelta(hours=1, seconds=1)}
    made["d"] = hour
    rows = [
        {
            "sourceId": name,
            "timestamp": "2024-03-01 10:00:00",
            "projectSlug": "nest",
            "createdAt": f"{at:%Y-%m-%d %H:%M:%S}",
            "keywords": ["egg", "nest"],
            "viewKeywords": [],
            "tags": [None, "x"],
        }
        for name, at in made.items()
    ]
    append(server, "mentions", [json.dumps(each).encode() for each in rows])
    found = server.sql(f"SELECT sourceId, keywords, viewKeywords, tags FROM {MENTIONS} ORDER BY sourceId")
    if datetime.now(UTC) - hour < timedelta(hours=1):
        joined = {"keywords": "egg,nest", "viewKeywords": "", "tags": ",x"}
        assert found == [{"sourceId": name, **joined} for name in ("a", "b")]


def content(number: int, title: str, updated: datetime) -> bytes:
    return json.dumps(
        {
            "id": f"activity-{number}",
            "type": "issues-opened",
            "timestamp": (LONG_AGO + timedelta(minutes=number)).isoformat(),
            "platform": "github",
            "sourceId": f"source-{number}",
            "createdAt": LONG_AGO.isoformat(),
            "updatedAt": updated.isoformat(),
            "attributes": {},
            "title": title,
        }
    ).encode()


def test_a_search_finds_an_activity_by_its_newest_words_alone(server: Server) -> None:
    send(server, "activityRelations", [relation(20, "den", "cem", "", LONG_AGO)])
    run_copies(server, "activityRelations_enrich_initial_snapshot")

    def found(term: str) -> list[str]:
        rows = server.get(f"/v0/pipes/{BROWSER}.json", params={"searchTerm": term}).json()["data"]
        return [row["title"] for row in rows]

    newer, older = LONG_AGO + timedelta(minutes=30), LONG_AGO + timedelta(minutes=10)
    for title, updated in (("Badgers dig", LONG_AGO), ("Foxes dig", newer), ("Moles dig", older)):
        append(server, "activities", [content(20, title, updated)])
        run_copies(server, "activities_deduplicated_copy_pipe_append_mode")
    assert found("foxes") == found("DIG") == ["Foxes dig"]
    assert found("badgers") == found("moles") == []

"""The rows fit the data sources, refer to each other, and end up as the truth says whatever happened on the way."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from told_community import ACTIVITIES, Told, record

from birdhouse.ingest.ndjson import NdjsonEncoder
from birdhouse.language.datafile.parse import parse_datasource
from cdp.reference import activity_types
from cdp.simulate import DATASOURCES

FOLDER = Path(__file__).parents[3] / "insights" / "datasources"


def definition(datasource: str) -> Any:
    return parse_datasource((FOLDER / f"{datasource}.datasource").read_text(), name=datasource)


def key_columns(datasource: str) -> list[str]:
    text = (FOLDER / f"{datasource}.datasource").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("ENGINE_SORTING_KEY")]
    return [name.strip() for name in line.removeprefix("ENGINE_SORTING_KEY").split(",")]


@pytest.mark.parametrize("datasource", DATASOURCES)
def test_every_row_fits_its_data_source(told: Told, datasource: str) -> None:
    rows = told.delivered[datasource]
    encoder = NdjsonEncoder(definition(datasource).columns)
    for start in range(0, len(rows), 4_000):
        part = rows[start : start + 4_000]
        encoded = encoder.encode(b"\n".join(part) + b"\n")
        assert (encoded.good_rows, encoded.quarantine_rows) == (len(part), 0)


@pytest.mark.parametrize("datasource", DATASOURCES)
@pytest.mark.parametrize("tombstones", [True, False])
def test_the_newest_version_of_every_key_is_the_truth(told: Told, datasource: str, tombstones: bool) -> None:
    """What a replacing table keeps: the greatest `updatedAt`, of equal ones the last; a tombstone ends a key."""
    columns = key_columns(datasource)
    kept: dict[tuple[Any, ...], tuple[str, dict[str, Any], str]] = {}
    for row in told.delivered[datasource]:
        document = orjson.loads(row)
        found = document.get("record", document)
        key = tuple(found[column] for column in columns)
        before = kept.get(key)
        if before is None or found["updatedAt"] >= before[0]:
            kept[key] = (found["updatedAt"], found, document.get("action", "insert"))
    rows = [found for _, found, action in kept.values() if not (tombstones and action == "delete")]
    truth = (told.truth if tombstones else told.truth_without_tombstones)[datasource]
    assert sorted(map(orjson.dumps, rows)) == sorted(map(orjson.dumps, truth))


def test_a_tombstone_repeats_the_last_state_and_nothing_comes_after_it(told: Told) -> None:
    ended: dict[str, dict[str, Any]] = {}
    last: dict[str, dict[str, Any]] = {}
    for row in told.delivered["activityRelations"]:
        document = orjson.loads(row)
        id_ = document["record"]["activityId"]
        assert id_ not in ended
        if document["action"] == "delete":
            ended[id_] = document["record"]
        elif document["record"]["updatedAt"] >= last.get(id_, {"updatedAt": ""})["updatedAt"]:
            last[id_] = document["record"]
    assert len(ended) == told.tally.deletes > 0
    assert all(last[id_] == state for id_, state in ended.items())


def test_an_update_says_what_was_before(told: Told) -> None:
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    updates = []
    for name in ("activityRelations", "members", "repositories"):
        for row in told.delivered[name]:
            document = orjson.loads(row)
            found = document["record"]
            id_ = found.get("id") or found["activityId"]
            seen[id_, found["updatedAt"]] = found
            if document["action"] == "update":
                updates.append((id_, document))
    assert updates
    for id_, document in updates:
        before = seen[id_, document["changes"]["updatedAt"]]
        after = document["record"]
        assert before["updatedAt"] < after["updatedAt"]
        assert {name: before[name] for name in document["changes"]} == document["changes"]
        assert {name for name in after if after[name] != before[name]} == set(document["changes"])


def test_every_reference_names_a_row(told: Told) -> None:
    ids = {name: {row["id"] for row in rows} for name, rows in told.truth.items() if "id" in rows[0]}
    relations = told.truth["activityRelations"]
    assert {row["memberId"] for row in relations} <= ids["members"]
    assert {row["objectMemberId"] for row in relations} - {""} <= ids["members"]
    assert {row["organizationId"] for row in relations} - {""} <= ids["organizations"]
    assert {row["segmentId"] for row in relations} <= ids["segments"]
    assert {row["activityId"] for row in relations} <= ids["activities"]
    for datasource, column, target in (
        ("memberIdentities", "memberId", "members"),
        ("memberOrganizations", "memberId", "members"),
        ("memberOrganizations", "organizationId", "organizations"),
        ("organizationIdentities", "organizationId", "organizations"),
        ("repositories", "segmentId", "segments"),
        ("repositories", "sourceIntegrationId", "integrations"),
        ("repositories", "gitIntegrationId", "integrations"),
        ("integrations", "segmentId", "segments"),
        ("insightsProjects", "segmentId", "segments"),
        ("maintainersInternal", "identityId", "memberIdentities"),
        ("maintainersInternal", "repoId", "repositories"),
    ):
        assert {row[column] for row in told.truth[datasource]} <= ids[target], (datasource, column)
    assert {row["insightsProjectId"] for row in told.truth["repositories"]} - {""} <= ids["insightsProjects"]
    parents = {row[name] for row in told.truth["segments"] for name in ("parentId", "grandparentId")}
    assert parents - {""} <= ids["segments"]


def test_a_parent_is_an_activity_that_was_told(told: Told) -> None:
    delivered = {record(row)["activityId"] for row in told.delivered["activityRelations"]}
    parents = {row["parentId"] for row in told.truth["activityRelations"]} - {""}
    assert len(parents) > 1_000
    assert parents <= delivered


def test_code_activities_are_in_a_repository_of_their_segment(told: Told) -> None:
    urls = {(row["url"], row["segmentId"]) for row in told.truth["repositories"]}
    gerrit_forms = Counter()
    for row in told.truth["activityRelations"]:
        if row["platform"] not in ("git", "github", "gitlab", "gerrit"):
            continue
        plain = row["channel"].replace("q/project:", "")
        assert (plain, row["segmentId"]) in urls
        if plain != row["channel"]:
            assert row["platform"] == "gerrit"
        if row["platform"] == "gerrit":
            gerrit_forms[plain != row["channel"]] += 1
    assert min(gerrit_forms[True], gerrit_forms[False]) > 50


def test_who_acts_on_a_platform_has_an_identity_there(told: Told) -> None:
    identities = {(row["platform"], row["value"]) for row in told.truth["memberIdentities"]}
    assert {(row["platform"], row["username"]) for row in told.truth["activityRelations"]} <= identities
    unique = Counter((row["platform"], row["type"], row["value"]) for row in told.truth["memberIdentities"])
    assert set(unique.values()) == {1}


def test_types_scores_and_sentiment_are_those_of_the_reference(told: Told) -> None:
    known = {(row.platform, row.activity_type): row for row in activity_types()}
    used = {(row["platform"], row["type"]) for row in told.truth["activityRelations"]}
    assert used == set(known)
    contents = {row["id"]: row for row in told.truth["activities"]}
    for row in told.truth["activityRelations"]:
        type_ = known[row["platform"], row["type"]]
        if not type_.sentiment:
            assert row["sentimentScore"] == -1
        if row["sentimentScore"] >= 0:
            score = row["sentimentScore"]
            label = "negative" if score < 33 else "positive" if score > 66 else "neutral"
            assert contents[row["activityId"]]["sentimentLabel"] == label
        assert len(row["sourceId"]) <= 150
        assert len(row["channel"]) <= 150


def test_the_identity_of_an_activity_is_unique(told: Told) -> None:
    columns = key_columns("activityRelations")
    rows = [record(row) for row in told.delivered["activityRelations"]]
    assert len({tuple(row[column] for column in columns) for row in rows}) == ACTIVITIES
    assert len({row["activityId"] for row in rows}) == ACTIVITIES

"""However rows come, in whatever order, twice or late, the tables of the project end up the same.

What is expected is worked out here from what the community says is true in the end, never by the project's own SQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import cycle
from random import Random
from typing import Any

import orjson
import pytest
from flows.flow_server import Server, running_server
from insights_project import append, run_copies, with_buckets

from buckets.city_hash import city_hash_64
from buckets.layout import clean_copy, cleaned_table, raw_table
from cdp.simulate import Community

ACTIVITIES = 2_500
BUCKETS = range(4)
CLEAN_COPIES = [clean_copy(bucket) for bucket in BUCKETS]
CODE_PLATFORMS = ("git", "gerrit", "github", "gitlab")
PULL_REQUESTS = "SELECT * FROM pull_requests_analyzed ORDER BY segmentId, sourceId"
CONTENTS = "id, timestamp, platform, type, channel, sourceId, score, attributes, body, title, url, updatedAt"

TABLES_AND_COPIES = (
    "activityRelations_enrich_initial_snapshot",
    "pull_request_analysis_initial_snapshot",
    "pull_request_analysis_snapshot_merger_copy",
    "activities_deduplicated_copy_pipe",
    "activities_deduplicated_copy_pipe_append_mode",
    "activities_backup",
    "activities_backup_cleaned",
    "country_mapping_copy",
    "members_sorted_copy_pipe",
)

Row = dict[str, Any]


@pytest.fixture(scope="module")
def community() -> Community:
    return Community(seed=11, activities=ACTIVITIES)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, community: Community) -> Iterator[Server]:
    """Everything was delivered in blocks of any size, with copies in between."""
    with running_server(tmp_path_factory.mktemp("metamorphic") / "data", follow_schedules=False) as server:
        server.deploy(with_buckets(len(BUCKETS), TABLES_AND_COPIES))
        rng, sizes = Random(3), cycle((30, 300, 1_000, 7))
        known = {each["name"] for each in server.get("/v0/datasources").json()["datasources"]}
        for batch in community.batches():
            if batch.datasource not in known:
                continue
            rows = list(batch.rows)
            while rows:
                size = next(sizes) if batch.datasource == "activityRelations" else len(rows)
                append(server, batch.datasource, rows[:size])
                del rows[:size]
                if rng.random() < 0.3:
                    run_copies(server, "pull_request_analysis_snapshot_merger_copy")
            if batch.datasource == "activities" and rng.random() < 0.5:
                run_copies(server, "activities_deduplicated_copy_pipe_append_mode")
        run_copies(server, "country_mapping_copy", "members_sorted_copy_pipe", *CLEAN_COPIES)
        run_copies(server, "pull_request_analysis_snapshot_merger_copy")
        yield server


@pytest.fixture(scope="module")
def truth(community: Community) -> dict[str, list[Row]]:
    """The newest version of every row. The tables know no tombstones."""
    found: dict[str, list[Row]] = {}
    for datasource, row in community.final_state(tombstones=False):
        document = orjson.loads(row)
        found.setdefault(datasource, []).append(document.get("record", document))
    return found


def test_pull_requests_do_not_depend_on_how_their_events_came(server: Server) -> None:
    merged = server.sql(PULL_REQUESTS)
    assert len(merged) > 100
    run_copies(server, "activityRelations_enrich_initial_snapshot")
    assert server.post("/v0/datasources/pull_request_analyzed_MV_ds/truncate").status_code in (200, 204, 205)
    run_copies(server, "pull_request_analysis_snapshot_merger_copy")
    assert server.sql(PULL_REQUESTS) == []
    run_copies(server, "pull_request_analysis_initial_snapshot", "pull_request_analysis_snapshot_merger_copy")
    assert server.sql(PULL_REQUESTS) == merged
    run_copies(server, "pull_request_analysis_initial_snapshot", "pull_request_analysis_snapshot_merger_copy")
    assert server.sql(PULL_REQUESTS) == merged


def test_the_cleaned_buckets_together_are_what_the_rules_say(server: Server, truth: dict[str, list[Row]]) -> None:
    cleaned = server.sql(
        "SELECT activityId, toUnixTimestamp64Milli(updatedAt) AS version, memberId, organizationId, organizationName, "
        "organizationCountryCode, gitChangedLines, gitChangedLinesBucket "
        "FROM activityRelations_deduplicated_cleaned_bucket_union ORDER BY activityId"
    )
    countries = server.sql("SELECT upper(country) AS name, country_code FROM country_mapping_ds ORDER BY country_code")
    expected = [_cleaned(row, truth, countries) for row in _valid(truth)]
    assert len(expected) > ACTIVITIES / 2
    assert cleaned == sorted(expected, key=lambda row: row["activityId"])


def test_a_segment_is_in_the_bucket_of_its_hash_alone(server: Server, truth: dict[str, list[Row]]) -> None:
    for table in (raw_table, cleaned_table):
        found = {
            (row["segmentId"], bucket)
            for bucket in BUCKETS
            for row in server.sql(f"SELECT DISTINCT segmentId FROM {table(bucket)}")
        }
        segments = {row["segmentId"] for row in truth["activityRelations"]}
        assert found == {(each, city_hash_64(each) % len(BUCKETS)) for each in segments}


def test_the_raw_buckets_hold_every_relation_in_its_newest_version(server: Server, truth: dict[str, list[Row]]) -> None:
    version = "activityId, toUnixTimestamp64Milli(updatedAt) AS version"
    found = [
        (row["activityId"], row["version"])
        for bucket in BUCKETS
        for row in server.sql(f"SELECT {version} FROM {raw_table(bucket)} FINAL")
    ]
    assert sorted(found) == sorted((row["activityId"], _milliseconds(row)) for row in truth["activityRelations"])


@pytest.mark.parametrize(("backup", "columns"), [("activities_backup_cleaned", "*"), ("activities_backup", CONTENTS)])
def test_a_backup_is_the_source(server: Server, truth: dict[str, list[Row]], backup: str, columns: str) -> None:
    for one, other in (("activities", backup), (backup, "activities")):
        difference = f"SELECT {columns} FROM {one} FINAL EXCEPT SELECT {columns} FROM {other} FINAL"
        assert server.sql(f"SELECT count() AS n FROM ({difference})") == [{"n": 0}]
    assert server.sql(f"SELECT count() AS n FROM {backup} FINAL") == [{"n": len(truth["activities"])}]


def test_the_searchable_content_converges(server: Server) -> None:
    source = f"SELECT {CONTENTS} FROM activities FINAL"
    copied = f"SELECT {CONTENTS} FROM activities_deduplicated_ds FINAL"
    foreign = f"SELECT count() AS n FROM ({copied} EXCEPT SELECT {CONTENTS} FROM activities)"
    assert server.sql(foreign) == [{"n": 0}]
    run_copies(server, "activities_deduplicated_copy_pipe", "activities_deduplicated_copy_pipe_append_mode")
    for difference in (f"{source} EXCEPT {copied}", f"{copied} EXCEPT {source}"):
        assert server.sql(f"SELECT count() AS n FROM ({difference})") == [{"n": 0}]


def _valid(truth: dict[str, list[Row]]) -> Iterator[Row]:
    """The activities of people, in enabled repositories of live projects when they are about code."""
    members = {row["id"] for row in truth["members"] if not _is_no_person(row["attributes"])}
    projects = {row["id"] for row in truth["insightsProjects"] if row["deletedAt"] is None}
    gerrit = {row["id"] for row in truth["integrations"] if row["platform"] == "gerrit"}
    channels = set()
    for row in truth["repositories"]:
        if row["enabled"] and row["deletedAt"] is None and row["insightsProjectId"] in projects:
            channels.add((row["url"], row["segmentId"]))
            if row["sourceIntegrationId"] in gerrit:
                channels.add((_gerrit_query(row["url"]), row["segmentId"]))
    for row in truth["activityRelations"]:
        is_code = row["platform"] in CODE_PLATFORMS
        if row["memberId"] in members and (not is_code or (row["channel"], row["segmentId"]) in channels):
            yield row


def _is_no_person(attributes: dict[str, Any]) -> bool:
    return any(attributes.get(name, {}).get("default") for name in ("isBot", "isTeamMember", "isOrganization"))


def _gerrit_query(url: str) -> str:
    for mark in ("/r/", "/gerrit/"):
        if mark in url:
            return url.replace(mark, f"{mark}q/project:", 1)
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}/q/project:{path}"


def _cleaned(row: Row, truth: dict[str, list[Row]], countries: list[Row]) -> Row:
    organizations = {each["id"]: each for each in truth["organizations"]}
    organization = organizations.get(row["organizationId"] or "", {})
    place = (organization.get("location") or "").upper()
    lines = row["gitInsertions"] + row["gitDeletions"]
    sizes = ((500, "500+"), (100, "100-499"), (60, "60-99"), (10, "10-59"), (1, "1-9"), (0, ""))
    return {
        "activityId": row["activityId"],
        "version": _milliseconds(row),
        "memberId": row["memberId"],
        "organizationId": row["organizationId"] or "",
        "organizationName": organization.get("displayName", ""),
        "organizationCountryCode": next((each["country_code"] for each in countries if each["name"] in place), "XX"),
        "gitChangedLines": lines,
        "gitChangedLinesBucket": next(label for least, label in sizes if lines >= least),
    }


def _milliseconds(row: Row) -> int:
    return round(datetime.fromisoformat(row["updatedAt"]).timestamp() * 1000)

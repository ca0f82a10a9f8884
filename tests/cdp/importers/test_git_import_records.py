"""The rows of a small history, column by column."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from git_repositories import ANN, BOB, NOON, Clone, MemorySink

from cdp.importers.git import Project, import_repository

IMPORTED_AT = datetime(2024, 6, 1, 8, 30, 15, 250_000, UTC)
IMPORTED = "2024-06-01T08:30:15.250Z"
URL = "https://github.com/acme/rocket"
MESSAGE = """Light the engine

It was cold.

Signed-off-by: Ann Author <ann@acme.io>
Signed-off-by: Ann Author <ANN@acme.io>
Co-authored-by: Carl <carl@tyrell.jp>
"""


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "rocket")


async def imported(clone: Clone, **options: Any) -> MemorySink:
    sink = MemorySink()
    await import_repository(clone.path, sink=sink, imported_at=IMPORTED_AT, **options)
    return sink


@pytest.fixture
async def sink(clone: Clone) -> MemorySink:
    clone.write("engine.txt", "1\n2\n3\n")
    clone.commit(MESSAGE, committer=BOB, when=NOON, committed=NOON + 90, zone="+0230")
    return await imported(clone)


def source_id(hash_: str, word: str, email: str) -> str:
    return sha1(f"{hash_}{word}{email}".encode()).hexdigest()


async def test_each_role_in_a_commit_is_one_activity(clone: Clone, sink: MemorySink) -> None:
    head = clone.git("rev-parse", "HEAD")
    found = {
        row["sourceId"]: (row["type"], row["username"], row["timestamp"], row["sourceParentId"])
        for row in sink.versions("activityRelations")
    }
    later = "2024-05-01T12:01:30Z"
    assert found == {
        head: ("authored-commit", "ann@acme.io", "2024-05-01T12:00:00Z", ""),
        source_id(head, "commited-commit", "bob@initech.de"): (
            "committed-commit",
            "bob@initech.de",
            later,
            head,
        ),
        source_id(head, "signed-off-commit", "ann@acme.io"): (
            "signed-off-commit",
            "ann@acme.io",
            later,
            head,
        ),
        source_id(head, "co-authored-commit", "carl@tyrell.jp"): (
            "co-authored-commit",
            "carl@tyrell.jp",
            later,
            head,
        ),
    }
    assert len(sink.versions("activityRelations")) == 4


async def test_the_authored_relation_has_every_column(clone: Clone, sink: MemorySink) -> None:
    (row,) = sink.relations("authored-commit")
    organizations = {row["displayName"]: row["id"] for row in sink.rows("organizations")}
    (repository,) = sink.rows("repositories")
    (content,) = (row for row in sink.rows("activities") if row["type"] == "authored-commit")
    assert row == {
        "activityId": content["id"],
        "conversationId": "",
        "createdAt": "2024-05-01T12:01:30Z",
        "updatedAt": IMPORTED,
        "memberId": sink.member("ann@acme.io")["id"],
        "objectMemberId": "",
        "objectMemberUsername": "",
        "organizationId": organizations["acme.io"],
        "parentId": "",
        "platform": "git",
        "segmentId": repository["segmentId"],
        "username": "ann@acme.io",
        "sourceId": clone.git("rev-parse", "HEAD"),
        "type": "authored-commit",
        "timestamp": "2024-05-01T12:00:00Z",
        "sourceParentId": "",
        "channel": URL,
        "sentimentScore": -1,
        "gitInsertions": 3,
        "gitDeletions": 0,
        "score": -1,
        "isContribution": False,
        "pullRequestReviewState": "",
    }


async def test_the_content_of_an_activity_is_flat_and_its_attributes_are_json_text(
    clone: Clone, sink: MemorySink
) -> None:
    (row,) = (row for row in sink.rows("activities") if row["type"] == "authored-commit")
    attributes = json.loads(row.pop("attributes"))
    assert attributes == {
        "insertions": 3,
        "deletions": 0,
        "lines": 3,
        "isMerge": False,
        "isMainBranch": True,
        "timezone": "+0230",
        "name": "Ann Author",
        "email": "ann@acme.io",
    }
    (relation,) = sink.relations("authored-commit")
    assert row == {
        "id": relation["activityId"],
        "type": "authored-commit",
        "timestamp": "2024-05-01T12:00:00Z",
        "platform": "git",
        "score": -1,
        "sourceId": relation["sourceId"],
        "createdAt": "2024-05-01T12:01:30Z",
        "updatedAt": IMPORTED,
        "channel": URL,
        "segmentId": relation["segmentId"],
        "title": "Light the engine",
        "body": MESSAGE.partition("\n")[2].strip(),
        "url": URL,
        "gitIsMainBranch": True,
        "gitIsIndirectFork": False,
        "gitLines": 3,
        "gitIsMerge": False,
    }


async def test_only_the_authored_commit_carries_lines_and_the_others_point_at_it(sink: MemorySink) -> None:
    (authored,) = sink.relations("authored-commit")
    others = [row for row in sink.rows("activityRelations") if row is not authored]
    assert {(row["gitInsertions"], row["gitDeletions"]) for row in others} == {(0, 0)}
    assert {row["parentId"] for row in others} == {authored["activityId"]}


async def test_rows_of_tables_travel_in_the_envelope_of_change_capture(sink: MemorySink) -> None:
    for datasource, rows in sink.sends:
        for row in rows:
            if datasource == "activities":
                assert "record" not in row
                continue
            assert set(row) == {"record", "changes", "action", "metadata"}
            assert (row["action"], row["changes"]) == ("insert", None)
            assert row["metadata"] == {
                "table_schema": "public",
                "table_name": datasource,
                "commit_timestamp": IMPORTED,
            }


async def test_a_member_has_attributes_by_source_and_the_time_of_its_first_activity(clone: Clone) -> None:
    clone.commit("later", when=NOON + 500)
    clone.commit("earlier", when=NOON - 500)
    member = (await imported(clone)).member("ann@acme.io")
    assert member == {
        "id": member["id"],
        "attributes": {
            "isBot": {"git": False, "default": False},
            "isTeamMember": {"default": False},
            "isOrganization": {"default": False},
        },
        "contributions": [],
        "joinedAt": "2024-05-01T11:51:40Z",
        "createdAt": "2024-05-01T12:08:20Z",
        "updatedAt": IMPORTED,
        "displayName": "Ann Author",
        "score": -1,
    }


async def test_an_identity_of_a_member_has_every_column(sink: MemorySink) -> None:
    (row,) = (
        row for row in sink.rows("memberIdentities") if (row["value"], row["type"]) == ("bob@initech.de", "username")
    )
    assert row == {
        "id": row["id"],
        "memberId": sink.member("bob@initech.de")["id"],
        "platform": "git",
        "value": "bob@initech.de",
        "sourceId": "",
        "integrationId": "",
        "type": "username",
        "verified": True,
        "createdAt": "2024-05-01T12:01:30Z",
        "updatedAt": IMPORTED,
        "deletedAt": None,
    }


async def test_a_bot_is_flagged_and_belongs_to_no_organization(clone: Clone) -> None:
    clone.commit(author="dependabot[bot] <49699333+dependabot[bot]@users.noreply.github.com>")
    clone.commit(author="Renovate Bot <bot@renovateapp.com>", committer="GitHub <noreply@github.com>")
    clone.commit(author="Release Manager <release@acme.io>")
    sink = MemorySink()
    summary = await import_repository(clone.path, sink=sink)
    flags = {row["displayName"]: row["attributes"]["isBot"]["default"] for row in sink.rows("members")}
    assert flags == {
        "dependabot[bot]": True,
        "Renovate Bot": True,
        "GitHub": True,
        "Release Manager": False,
    }
    assert [row["displayName"] for row in sink.rows("organizations")] == ["acme.io"]
    assert (summary.bots, summary.suspected_bots) == (3, 1)


async def test_the_organization_is_that_of_the_address_written_at_the_time(clone: Clone) -> None:
    clone.write(".mailmap", "Ann Author <ann@gmail.com> <ann@us.initech.de>\n")
    clone.commit(author="Ann Author <ann@us.initech.de>")
    clone.commit(author="Ann Author <ann@gmail.com>")
    sink = await imported(clone)
    (organization,) = sink.rows("organizations")
    assert organization["displayName"] == "initech.de"
    assert {row["organizationId"] for row in sink.relations("authored-commit")} == {organization["id"], ""}
    assert len(authored := {row["memberId"] for row in sink.relations("authored-commit")}) == 1, authored
    (identity,) = sink.rows("organizationIdentities")
    assert (identity["organizationId"], identity["type"], identity["value"], identity["verified"]) == (
        organization["id"],
        "primary-domain",
        "initech.de",
        True,
    )


async def test_a_github_no_reply_address_gives_the_account(clone: Clone) -> None:
    clone.commit(author="Octo <583231+OctoCat@users.noreply.github.com>")
    sink = await imported(clone)
    accounts = [row for row in sink.rows("memberIdentities") if row["platform"] == "github"]
    assert [(row["value"], row["type"], row["verified"]) for row in accounts] == [("octocat", "username", True)]
    assert sink.rows("organizations") == []


async def test_segments_form_three_levels_with_slugs_of_their_own(sink: MemorySink) -> None:
    group, project, leaf = sink.rows("segments")
    assert [row["slug"] for row in (group, project, leaf)] == ["acme-group", "rocket-project", "rocket"]
    assert (group["parentId"], group["grandparentId"]) == ("", "")
    assert (project["parentId"], project["grandparentId"]) == (group["id"], "")
    assert (leaf["parentId"], leaf["grandparentId"]) == (project["id"], group["id"])
    assert (leaf["parentSlug"], leaf["grandparentName"], leaf["status"]) == ("rocket-project", "acme", "active")
    assert {row["segmentId"] for row in sink.rows("activityRelations")} == {leaf["id"]}


async def test_repository_project_and_integration_name_each_other(sink: MemorySink) -> None:
    (repository,) = sink.rows("repositories")
    (project,) = sink.rows("insightsProjects")
    (integration,) = sink.rows("integrations")
    assert (repository["url"], repository["enabled"], repository["excluded"]) == (URL, True, False)
    assert repository["insightsProjectId"] == project["id"]
    assert repository["gitIntegrationId"] == repository["sourceIntegrationId"] == integration["id"]
    assert {repository["segmentId"], project["segmentId"], integration["segmentId"]} == {project["segmentId"]}
    assert (project["slug"], project["github"], project["deletedAt"]) == ("rocket", URL, None)
    assert (integration["platform"], integration["settings"]) == ("git", {"remotes": [URL]})


async def test_two_repositories_may_share_one_project(clone: Clone, tmp_path: Path) -> None:
    other = Clone(tmp_path / "pad", remote="https://github.com/acme/pad")
    clone.commit()
    other.commit()
    sink = MemorySink()
    for each in (clone, other):
        await import_repository(each.path, sink=sink, project=Project("Space", group="Acme"))
    assert len(sink.rows("repositories")) == 2
    assert [row["slug"] for row in sink.rows("insightsProjects")] == ["space"]
    assert len({row["segmentId"] for row in sink.rows("activityRelations")}) == 1
    assert len(sink.rows("members")) == 1


async def test_everything_an_activity_refers_to_is_sent_before_it(clone: Clone) -> None:
    clone.commit(MESSAGE, author=ANN, committer=BOB)
    order = [datasource for datasource, _ in (await imported(clone)).sends]
    for datasource in ("activityTypes", "segments", "repositories", "organizations", "members"):
        assert order.index(datasource) < order.index("activityRelations")


async def test_a_second_import_has_the_same_rows_with_a_newer_version(clone: Clone) -> None:
    clone.commit(MESSAGE, committer=BOB)
    first, second = await imported(clone), MemorySink()
    await import_repository(clone.path, sink=second, imported_at=datetime(2025, 1, 1, tzinfo=UTC))
    for datasource in {name for name, _ in first.sends}:
        changed = [{**row, "updatedAt": ""} for row in second.rows(datasource)]
        assert changed == [{**row, "updatedAt": ""} for row in first.rows(datasource)]

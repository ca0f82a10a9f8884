"""Whatever git counts, the imported rows count as well."""

from __future__ import annotations

from pathlib import Path

import pytest
from git_repositories import (
    ANN,
    BOB,
    NOON,
    Clone,
    MemorySink,
    authored_by_member,
    authored_by_person,
    folded,
)
from synthetic_history import write_history

from cdp.importers.git import import_repository


def assert_equals_git(clone: Clone, sink: MemorySink) -> None:
    relations = sink.relations("authored-commit")
    assert len(relations) == clone.commit_count()
    assert authored_by_person(sink) == clone.shortlog()
    assert sorted(authored_by_member(sink).values()) == folded(clone.shortlog())
    assert sorted(row["timestamp"][:7] for row in relations) == clone.months()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "rocket")


async def test_a_synthetic_history_has_the_totals_of_git(tmp_path: Path) -> None:
    write_history(tmp_path / "history", 700)
    clone = Clone(tmp_path / "history", remote="")
    sink = MemorySink()
    summary = await import_repository(tmp_path / "history", sink=sink)
    assert_equals_git(clone, sink)
    assert summary.commits == 700
    assert summary.activities == len(sink.rows("activityRelations")) == len(sink.rows("activities"))
    assert summary.members == len(sink.rows("members"))
    assert summary.organizations == len(sink.rows("organizations")) == 3
    assert summary.sent_rows == sink.sent_rows


async def test_merges_and_octopus_merges_count_once_and_add_no_lines(clone: Clone) -> None:
    clone.write("a", "1\n")
    root = clone.commit("root")
    sides = []
    for number in range(3):
        clone.git("read-tree", root)
        clone.write(f"side{number}", "1\n2\n")
        sides.append(clone.commit(f"side {number}", author=BOB, parents=[root]))
        (clone.path / f"side{number}").unlink()
    for number in range(3):
        clone.write(f"side{number}", "1\n2\n")
    octopus = clone.commit("Merge everything", parents=[root, *sides])
    sink = MemorySink()
    await import_repository(clone.path, sink=sink)
    assert_equals_git(clone, sink)
    (merge,) = (row for row in sink.rows("activities") if row["sourceId"] == octopus)
    assert (merge["gitIsMerge"], merge["gitLines"]) == (True, 0)
    assert sum(row["gitInsertions"] for row in sink.rows("activityRelations")) == 7


async def test_a_mailmap_joins_people_as_shortlog_does(clone: Clone) -> None:
    clone.write(
        ".mailmap",
        "Ann Author <ann@acme.io> <ann@old.example>\nRobert Builder <bob@initech.de>\n"
        "Ann Author <ann@acme.io> nick <shared@host.net>\n",
    )
    for author in (
        ANN,
        "ann <ann@old.example>",
        "Ann <ANN@OLD.EXAMPLE>",
        BOB,
        "nick <shared@host.net>",
        "Zoe <shared@host.net>",
    ):
        clone.commit(author=author)
    sink = MemorySink()
    await import_repository(clone.path, sink=sink)
    assert_equals_git(clone, sink)
    assert len(authored_by_member(sink)) == 3
    ann = sink.member("ann@acme.io")
    assert ann["displayName"] == "Ann Author"
    identities = {
        (row["type"], row["value"], row["verified"])
        for row in sink.rows("memberIdentities")
        if row["memberId"] == ann["id"]
    }
    assert identities == {
        ("username", "ann@acme.io", True),
        ("email", "ann@acme.io", False),
        ("email", "ann@old.example", False),
        ("email", "shared@host.net", False),
    }


async def test_a_mailmap_counts_for_trailers_too(clone: Clone) -> None:
    clone.write(".mailmap", "Robert Builder <bob@initech.de> <bob@home.net>\n")
    clone.commit("Change\n\nReviewed-by: bobby <BOB@home.net>\nTested-by: Carl <carl@tyrell.jp>\n")
    sink = MemorySink()
    await import_repository(clone.path, sink=sink)
    assert [row["username"] for row in sink.relations("reviewed-commit")] == ["bob@initech.de"]
    assert [row["username"] for row in sink.relations("tested-commit")] == ["carl@tyrell.jp"]
    assert sink.member("bob@initech.de")["displayName"] == "Robert Builder"


async def test_one_address_is_one_member_whatever_its_case_and_name(clone: Clone) -> None:
    for author in ("Ann <ann@acme.io>", "Ann Author <Ann@Acme.IO>", "A. Author <ANN@ACME.IO>"):
        clone.commit(author=author)
    sink = MemorySink()
    await import_repository(clone.path, sink=sink)
    assert list(authored_by_member(sink).values()) == [3]
    assert authored_by_person(sink) == clone.shortlog()
    assert len(clone.shortlog()) == 3


async def test_a_commit_reached_over_two_ways_counts_once(clone: Clone) -> None:
    root = clone.commit("root")
    left = clone.commit("left", parents=[root])
    right = clone.commit("right", parents=[root])
    clone.commit("join", parents=[left, right, root])
    sink = MemorySink()
    await import_repository(clone.path, sink=sink)
    assert_equals_git(clone, sink)
    assert clone.commit_count() == 4


async def test_months_are_those_of_the_author_in_utc(clone: Clone) -> None:
    last_of_april = NOON - 12 * 3600 - 1800  # 2024-04-30 23:30 UTC, already May in Berlin
    clone.commit(when=last_of_april, committed=NOON, zone="+0200")
    clone.commit(when=last_of_april + 3600, committed=NOON, zone="-0800")
    sink = MemorySink()
    await import_repository(clone.path, sink=sink)
    assert_equals_git(clone, sink)
    assert clone.months() == ["2024-04", "2024-05"]


async def test_another_revision_than_head_can_be_imported(clone: Clone) -> None:
    clone.commit("one")
    clone.git("tag", "v1")
    clone.commit("two")
    sink = MemorySink()
    summary = await import_repository(clone.path, sink=sink, revision="v1")
    assert summary.commits == 1
    assert summary.revision == clone.git("rev-parse", "v1")


async def test_a_repository_without_commits_sends_nothing(clone: Clone) -> None:
    sink = MemorySink()
    summary = await import_repository(clone.path, sink=sink)
    assert (summary.commits, summary.revision, sink.sends) == (0, "", [])

"""Commits git accepts and nobody expects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from git_repositories import (
    ANN,
    NOON,
    Clone,
    MemorySink,
    authored_by_member,
    authored_by_person,
    folded,
)

from cdp.importers.git import GitImportError, import_repository
from cdp.importers.git.repository import web_address


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "rocket")


async def imported(clone: Clone, **options: Any) -> MemorySink:
    sink = MemorySink()
    await import_repository(clone.path, sink=sink, **options)
    return sink


def attributes(sink: MemorySink) -> list[dict[str, Any]]:
    return [json.loads(row["attributes"]) for row in sink.rows("activities") if row["type"] == "authored-commit"]


@pytest.mark.parametrize(
    ("author", "username", "name"),
    [
        (" <nameless@acme.io>", "nameless@acme.io", "nameless"),
        ("No Address <>", "no address", "No Address"),
        (" <>", "unknown", "unknown"),
        ("Local <local>", "local", "Local"),
        ("Tab\there <tab@acme.io>", "tab@acme.io", "Tab\there"),
        ("Rec\x1eord\x1fs <sep@acme.io>", "sep@acme.io", "Rec\x1eord\x1fs"),
        ('"Quote\\" <q@acme.io>', "q@acme.io", '"Quote\\"'),
        ("Jörg 🚀 <jörg@acme.io>", "jörg@acme.io", "Jörg 🚀"),
    ],
)
async def test_any_name_and_address_is_one_member(clone: Clone, author: str, username: str, name: str) -> None:
    clone.commit(author=author)
    sink = await imported(clone)
    (relation,) = sink.relations("authored-commit")
    (member,) = sink.rows("members")
    assert relation["username"].lower() == username
    assert member["displayName"] == name
    assert authored_by_person(sink) == clone.shortlog()


async def test_people_without_an_address_are_not_thrown_together(clone: Clone) -> None:
    for name in ("Ann", "Bob", "Bob"):
        clone.commit(author=f"{name} <>")
    sink = await imported(clone)
    assert sorted(authored_by_member(sink).values()) == folded(clone.shortlog()) == [1, 2]


async def test_a_commit_without_a_readable_author_is_counted(clone: Clone) -> None:
    tree = clone.git("write-tree")
    clone.raw_commit(f"tree {tree}\nauthor\ncommitter {ANN} {NOON} +0000\n\nodd\n".encode())
    sink = await imported(clone)
    (relation,) = sink.relations("authored-commit")
    assert (relation["username"], relation["timestamp"]) == ("unknown", "1970-01-01T00:00:00Z")
    assert attributes(sink)[0]["clampedTimestamp"] == ""


@pytest.mark.parametrize(
    ("when", "timestamp", "created", "clamped"),
    [
        (0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", False),
        (2**32 - 1, "2106-02-07T06:28:15Z", "2069-12-31T23:59:59Z", False),
        (2**32, "2106-02-07T06:28:15Z", "2069-12-31T23:59:59Z", True),
        (16_725_225_600, "2106-02-07T06:28:15Z", "2069-12-31T23:59:59Z", True),
        (10**20, "2106-02-07T06:28:15Z", "2069-12-31T23:59:59Z", True),
        (-86_400, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", True),
    ],
)
async def test_a_time_no_column_holds_is_clamped_and_says_so(
    clone: Clone, when: int, timestamp: str, created: str, clamped: bool
) -> None:
    clone.commit(when=when)
    sink = await imported(clone)
    (relation,) = sink.relations("authored-commit")
    (content,) = sink.rows("activities")
    assert relation["timestamp"] == content["timestamp"] == timestamp
    assert relation["createdAt"] == created
    assert ("clampedTimestamp" in attributes(sink)[0]) is clamped


async def test_an_unbelievable_time_does_not_become_the_day_a_member_joined(clone: Clone) -> None:
    clone.commit(when=0)
    clone.commit(when=NOON)
    assert (await imported(clone)).member("ann@acme.io")["joinedAt"] == "2024-05-01T12:00:00Z"


async def test_an_encoding_named_in_the_commit_is_honoured_and_an_unnamed_one_is_read_as_latin_1(
    clone: Clone,
) -> None:
    tree = clone.git("write-tree")
    head = f"tree {tree}\nauthor J\xf6rg <j@acme.io> {NOON} +0000\ncommitter J\xf6rg <j@acme.io> {NOON} +0000\n"
    clone.raw_commit((head + "encoding ISO-8859-1\n\nGr\xfc\xdfe\n").encode("latin-1"))
    named = await imported(clone)
    clone.raw_commit((head + "\nGr\xfc\xdfe\n").encode("latin-1"))
    unnamed = await imported(clone)
    for sink in (named, unnamed):
        assert sink.member("j@acme.io")["displayName"] == "Jörg"
        assert [row["title"] for row in sink.rows("activities")] == ["Grüße"]
    assert authored_by_person(unnamed) == clone.shortlog()


async def test_binary_files_renames_and_strange_paths_are_counted_as_lines_changed(clone: Clone) -> None:
    clone.write("image", b"\0\1\2")
    clone.write("moved", "a\nb\nc\nd\n")
    clone.write("tab\there\nline", "1\n")
    clone.commit("one")
    (clone.path / "moved").unlink()
    clone.write("1\t2\tname", "a\nb\nc\nd\ne\n")
    clone.write("image", b"\0\3")
    clone.commit("two")
    (clone.path / "1\t2\tname").rename(clone.path / "- -")
    clone.write("more", "x\n")
    clone.commit("three")
    counted = [
        (row["gitInsertions"], row["gitDeletions"]) for row in (await imported(clone)).relations("authored-commit")
    ]
    assert counted == [(5, 0), (1, 0), (1, 0)]


async def test_a_message_that_looks_like_a_log_is_only_a_message(clone: Clone) -> None:
    hash_ = "a" * 40
    message = f"{hash_}\n\n1\t2\tfile\n{hash_}\x1e\n\n3\t4\tfile"
    clone.write("file", "1\n")
    clone.commit(message)
    clone.commit("")
    sink = await imported(clone)
    assert [row["title"] for row in sink.rows("activities")] == [hash_, ""]
    assert [row["gitInsertions"] for row in sink.relations("authored-commit")] == [1, 0]


async def test_long_messages_are_cut_at_2000_utf_16_units(clone: Clone) -> None:
    clone.commit("t" * 3000 + "\n\n" + "🚀" * 1500)
    (row,) = (await imported(clone)).rows("activities")
    assert row["title"] == "t" * 2000 + "..."
    assert row["body"] == "🚀" * 1000 + "..."


async def test_attributes_over_2000_bytes_are_dropped(clone: Clone) -> None:
    clone.commit(author=f"{'n' * 2500} <n@acme.io>")
    sink = await imported(clone)
    assert [row["attributes"] for row in sink.rows("activities")] == ["{}"]
    assert sink.member("n@acme.io")["displayName"] == "n" * 500


async def test_a_signed_commit_is_a_commit(clone: Clone) -> None:
    tree = clone.git("write-tree")
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQIz\n -----END PGP SIGNATURE-----\n"
    person = f"{ANN} {NOON} +0000"
    clone.raw_commit(f"tree {tree}\nauthor {person}\ncommitter {person}\n{signature}\nsigned\n".encode())
    assert [row["title"] for row in (await imported(clone)).rows("activities")] == ["signed"]


async def test_the_boundary_of_a_shallow_clone_adds_no_lines(clone: Clone, tmp_path: Path) -> None:
    for number in range(4):
        clone.write(f"file{number}", "1\n2\n")
        clone.commit(f"change {number}")
    shallow = clone.shallow(tmp_path / "shallow", depth=2, remote="https://github.com/acme/rocket")
    sink = await imported(shallow)
    assert [row["gitInsertions"] for row in sink.relations("authored-commit")] == [0, 2]
    assert [each.get("isShallowBoundary", False) for each in attributes(sink)] == [True, False]
    assert len(sink.relations("authored-commit")) == shallow.commit_count() == 2


async def test_configuration_and_environment_cannot_change_the_rows(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone.write("täb", "a\nb\nc\n")
    clone.commit("one\n\nReviewed-by: Bob <bob@initech.de>\n")
    clone.git("mv", "täb", "moved")
    clone.commit("two")
    plain = await imported(clone)
    for setting in (
        "log.showSignature=true",
        "color.ui=always",
        "core.pager=false",
        "core.quotePath=true",
        "i18n.logOutputEncoding=UTF-16",
        "log.showRoot=false",
        "log.date=relative",
        "log.diffMerges=first-parent",
        "format.pretty=fuller",
        "diff.renames=false",
        "diff.algorithm=patience",
        "diff.relative=true",
        "trailer.separators=#",
        "log.mailmap=false",
        "log.decorate=full",
    ):
        name, _, value = setting.partition("=")
        clone.git("config", name, value)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_TRACE", "1")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "log.showSignature")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    changed = await imported(clone)
    for datasource in ("activityRelations", "activities", "members"):
        assert [{**row, "updatedAt": ""} for row in changed.rows(datasource)] == [
            {**row, "updatedAt": ""} for row in plain.rows(datasource)
        ]


async def test_a_path_that_looks_like_an_option_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = Clone(tmp_path / "--version")
    clone.commit()
    monkeypatch.chdir(tmp_path)
    sink = MemorySink()
    assert (await import_repository("--version", sink=sink)).commits == 1


async def test_a_folder_inside_a_repository_stands_for_the_whole(clone: Clone) -> None:
    clone.write("one/file", "1\n")
    clone.commit()
    clone.write("two/file", "1\n")
    clone.commit()
    sink = MemorySink()
    await import_repository(clone.path / "one", sink=sink)
    assert [row["gitInsertions"] for row in sink.relations("authored-commit")] == [1, 1]


@pytest.mark.parametrize("revision", ["nowhere", "--all", "-n1", "HEAD:file", ""])
async def test_a_revision_that_is_none_is_refused(clone: Clone, revision: str) -> None:
    clone.write("file", "1\n")
    clone.commit()
    with pytest.raises(GitImportError, match="has no revision"):
        await imported(clone, revision=revision)


async def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(GitImportError, match="not a git repository"):
            await import_repository(path, sink=MemorySink())


async def test_a_broken_history_is_an_error_not_a_shorter_history(clone: Clone) -> None:
    clone.write("file", "1\n")
    clone.commit("one")
    clone.write("file", "2\n")
    clone.commit("two")
    blob = clone.git("rev-parse", "HEAD~1:file")
    (clone.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(GitImportError, match="git stopped before the history was complete"):
        await imported(clone)


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://github.com/acme/rocket.git", "https://github.com/acme/rocket"),
        ("https://user:secret@GitHub.com/acme/rocket/", "https://github.com/acme/rocket"),
        ("git@github.com:acme/rocket.git", "https://github.com/acme/rocket"),
        ("ssh://git@gitlab.acme.io:2222/acme/sub/rocket.git", "https://gitlab.acme.io/acme/sub/rocket"),
        ("git://git.kernel.org/pub/scm/git/git.git", "https://git.kernel.org/pub/scm/git/git"),
        ("http://localhost:3000/acme/rocket", "https://localhost:3000/acme/rocket"),
        ("/srv/git/rocket.git", "file:///srv/git/rocket.git"),
    ],
)
def test_the_channel_is_a_web_address_without_credentials(remote: str, url: str) -> None:
    assert web_address(remote) == url

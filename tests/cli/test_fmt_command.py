from __future__ import annotations

from pathlib import Path

import pytest
from commands import Commands

UNTIDY = "NODE a\nSQL >\n  select   1\n"
TIDY = "NODE a\nSQL >\n    select 1\n"
INSIGHTS = Path(__file__).parent.parent.parent / "insights"


def test_files_are_written_in_canonical_form_and_then_stay(birdhouse: Commands) -> None:
    birdhouse.write({"pipes/a.pipe": UNTIDY, "pipes/b.pipe": TIDY, "pipes/notes.txt": UNTIDY, ".git/c.pipe": UNTIDY})
    assert "formatted pipes/a.pipe\n✓ 2 files: 1 changed\n" in birdhouse("fmt")
    assert birdhouse.read("pipes/a.pipe") == TIDY
    assert birdhouse.read("pipes/notes.txt") == birdhouse.read(".git/c.pipe") == UNTIDY
    assert birdhouse("fmt") == "✓ 2 files: none changed\n"


def test_check_writes_nothing_and_fails_when_something_would_change(birdhouse: Commands) -> None:
    birdhouse.write({"a.pipe": UNTIDY})
    assert "would format a.pipe" in birdhouse("fmt", "--check", code=1)
    assert birdhouse.read("a.pipe") == UNTIDY
    assert birdhouse.json("fmt", "--check", code=1) == {"files": 1, "changed": ["a.pipe"], "errors": []}
    birdhouse("fmt", "a.pipe")
    birdhouse("fmt", "--check")


def test_diff_shows_what_would_change(birdhouse: Commands) -> None:
    birdhouse.write({"a.pipe": UNTIDY})
    printed = birdhouse("fmt", "--diff", code=1)
    assert "-  select   1\n+    select 1\n" in printed
    assert birdhouse.read("a.pipe") == UNTIDY


def test_files_that_cannot_be_read_are_told_and_the_others_formatted(birdhouse: Commands) -> None:
    birdhouse.write({"a.pipe": "NODE a\nFOO x\n", "b.pipe": UNTIDY})
    (birdhouse.folder / "c.datasource").write_bytes(b"SCHEMA >\n    a String -- \xff\n")
    birdhouse("fmt", code=1)
    assert "Unknown directive FOO\n  (a.pipe:2:1)" in birdhouse.error
    assert "The file is not UTF-8\n  (c.datasource:2)" in birdhouse.error
    assert birdhouse.read("b.pipe") == TIDY
    found = birdhouse.json("fmt", "--check", code=1)["errors"]
    assert [(error["file"], error["line"]) for error in found] == [("a.pipe", 2), ("c.datasource", 2)]


def test_line_ends_of_another_system_are_written_anew(birdhouse: Commands) -> None:
    (birdhouse.folder / "a.pipe").write_bytes(TIDY.replace("\n", "\r\n").encode())
    birdhouse("fmt", "--check", code=1)
    birdhouse("fmt")
    assert (birdhouse.folder / "a.pipe").read_bytes() == TIDY.encode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "'missing' does not exist"),
        (["."], "There are no datafiles in ."),
        (["notes.txt"], "'notes.txt' is not a datafile"),
    ],
)
def test_paths_without_datafiles_are_refused(birdhouse: Commands, arguments: list[str], message: str) -> None:
    birdhouse.write({"notes.txt": "hello"})
    birdhouse("fmt", *arguments, code=1)
    assert message in birdhouse.error


def test_the_insights_project_is_checked_by_several_processes(birdhouse: Commands) -> None:
    answer = birdhouse.json("fmt", "--check", INSIGHTS)
    assert answer["files"] > 100
    assert answer["changed"] == answer["errors"] == []

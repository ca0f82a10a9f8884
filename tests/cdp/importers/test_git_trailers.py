"""Who a commit message names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from git_repositories import CLEAN, Clone

from cdp.importers.git.repository import Repository
from cdp.importers.git.trailers import Mailmap, trailers

ANN = ("Ann", "ann@acme.io")


def found(last_paragraph: str) -> list[tuple[str, str, str]]:
    return [tuple(trailer) for trailer in trailers(f"Title\n\nBody.\n\n{last_paragraph}\n")]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("line", "types"),
    [
        ("Signed-off-by: Ann <ann@acme.io>", ["signed-off-commit"]),
        ("signed-off-by : Ann <ann@acme.io>", ["signed-off-commit"]),
        ("Co-Authored-By: Ann <ann@acme.io>", ["co-authored-commit"]),
        ("Co authored by: Ann <ann@acme.io>", ["co-authored-commit"]),
        ("Acked-by: Ann <ann@acme.io>", ["approved-commit"]),
        ("Reviewed_by: Ann <ann@acme.io>", ["reviewed-commit"]),
        ("Tested-by:Ann <ann@acme.io>", ["tested-commit"]),
        ("Cc: Ann <ann@acme.io>", ["informed-commit"]),
        ("Suggested-by: Ann <ann@acme.io>", ["influenced-commit"]),
        ("Fixed-by: Ann <ann@acme.io>", ["resolved-commit"]),
        ("Committed-by: Ann <ann@acme.io>", ["committed-commit"]),
        ("Reported-and-tested-by: Ann <ann@acme.io>", ["reported-commit", "tested-commit"]),
        ("Authored-by: Ann <ann@acme.io>", ["co-authored-commit"]),
        ("Change-Id: Ann <ann@acme.io>", []),
        ("Fixes: Ann <ann@acme.io>", []),
        ("http://acme.io: Ann <ann@acme.io>", []),
    ],
)
def test_a_trailer_is_known_by_any_of_its_spellings(line: str, types: list[str]) -> None:
    assert sorted(found(line)) == [(type_, *ANN) for type_ in types]


@pytest.mark.parametrize(
    ("value", "people"),
    [
        ("Ann <ann@acme.io>, Bob <bob@initech.de>", [ANN, ("Bob", "bob@initech.de")]),
        ('"Author, Ann" <ann@acme.io>  # v2', [("Author, Ann", "ann@acme.io")]),
        ("ann@acme.io", [("", "ann@acme.io")]),
        ("<ann@acme.io>", [("", "ann@acme.io")]),
        ("Ann <ann at acme.io>", []),
        ("@ann", []),
        ("Ann", []),
        ("https://lore.kernel.org/r/1", []),
    ],
)
def test_people_are_found_by_their_addresses(value: str, people: list[tuple[str, str]]) -> None:
    assert [trailer[1:] for trailer in found(f"Reviewed-by: {value}")] == people


def test_only_the_last_paragraph_counts_and_the_title_never() -> None:
    line = "Reviewed-by: Ann <ann@acme.io>"
    assert list(trailers(line)) == []
    assert list(trailers(f"Title\n{line}")) == []
    assert list(trailers(f"Title\n\n{line}\n\nAfterthought")) == []
    assert len(list(trailers(f"Title\r\n\r\nBody\r\n \t\r\n{line}\r\n\r\n"))) == 1


def test_a_line_that_is_indented_continues_the_one_before() -> None:
    assert found("Reviewed-by: Ann\n  <ann@acme.io>\nTested-by: Bob <b@initech.de>") == [
        ("reviewed-commit", *ANN),
        ("tested-commit", "Bob", "b@initech.de"),
    ]


@pytest.mark.parametrize(
    "message",
    [
        "Title\n\nSigned-off-by: Ann <ann@acme.io>\nReviewed-by: Ann <ann@acme.io>",
        "Title\n\nBody\n\nSigned-off-by: Ann <ann@acme.io>\n[fixed a comma]\nTested-by: Ann <ann@acme.io>",
        "Title\nSigned-off-by: Ann <ann@acme.io>",
        "Title\n\nSigned-off-by: Ann <ann@acme.io>\n\nBody without any",
    ],
)
def test_git_finds_the_same_trailers(message: str) -> None:
    parsed = subprocess.run(
        ["git", "interpret-trailers", "--parse"], input=message, env=CLEAN, capture_output=True, text=True
    )
    assert len(parsed.stdout.splitlines()) == len(list(trailers(message)))


def test_a_mailmap_survives_contacts_git_cannot_parse(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "rocket")
    clone.write(".mailmap", "Ann Author <ann@acme.io> <old@acme.io>\n")
    clone.commit()
    mailmap = Mailmap(Repository(clone.path), present=True)
    try:
        assert mailmap.signature("", "old@acme.io")[:2] == ("Ann Author", "ann@acme.io")
        assert mailmap.signature("Zo\xeb", "zoe@acme.io")[:2] == ("Zoë", "zoe@acme.io")
        assert mailmap.signature("Ann", "OLD@acme.io") == ("Ann Author", "ann@acme.io", "OLD@acme.io")
    finally:
        mailmap.close()

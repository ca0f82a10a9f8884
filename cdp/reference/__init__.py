"""Reference data as files: what an activity type counts as, what a commit trailer means, who is a program,
which mail hosts employ nobody."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class ActivityType:
    platform: str
    activity_type: str
    is_code_contribution: bool
    is_collaboration: bool
    score: int
    """-1 says none; -2 is a real score (an unstar, a left mailing list)."""
    sentiment: bool
    label: str
    updated_at: str
    """ISO 8601. Whoever edits a row of the file moves it forward: it is the version a reader keeps."""


@cache
def activity_types() -> tuple[ActivityType, ...]:
    return tuple(
        ActivityType(
            platform=row["platform"],
            activity_type=row["activityType"],
            is_code_contribution=row["isCodeContribution"] == "true",
            is_collaboration=row["isCollaboration"] == "true",
            score=int(row["score"]),
            sentiment=row["sentiment"] == "true",
            label=row["label"],
            updated_at=row["updatedAt"],
        )
        for row in _table("activity_types.csv")
    )


@cache
def commit_trailers() -> dict[str, tuple[str, ...]]:
    """Activity types by trailer name in lower case, words joined by "-". A compound name has more than one
    type."""
    types: dict[str, tuple[str, ...]] = {}
    for row in _table("commit_trailers.csv"):
        types[row["trailer"]] = (*types.get(row["trailer"], ()), row["activityType"])
    return types


@cache
def public_email_domains() -> frozenset[str]:
    return frozenset(_lines("public_email_domains.txt"))


@cache
def known_bots() -> frozenset[str]:
    return frozenset(_lines("known_bots.txt"))


def _table(name: str) -> list[dict[str, str]]:
    with (_FOLDER / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _lines(name: str) -> list[str]:
    text = (_FOLDER / name).read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]

"""A release: a commit of a project that a workspace has, or had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ReleaseStatus(StrEnum):
    LIVE = "live"
    ROLLBACK = "rollback"
    """It was live, and can be again."""


@dataclass(frozen=True, slots=True)
class Release:
    """`datafiles` are those of the workspace when the release was set, path to text."""

    id: str
    semver: str
    commit: str
    status: ReleaseStatus
    created_at: datetime
    datafiles: Mapping[str, str]

"""Workspaces for tests, made from datafiles in a few lines."""

from __future__ import annotations

from datetime import UTC, datetime

from birdhouse.catalog.workspace import Workspace
from birdhouse.deploy.draft import Desired, Draft, make_draft
from birdhouse.errors import BirdhouseError
from birdhouse.language.datafile.model import TokenDefinition
from birdhouse.language.datafile.parse import parse_datafile

NOW = datetime(2024, 5, 1, 10, tzinfo=UTC)
EMPTY = Workspace("w1", "local", "w_test")

EVENTS = """SCHEMA >
    `ts` DateTime `json:$.ts`,
    `user` String `json:$.user`,
    `amount` Int32 `json:$.amount`

ENGINE "MergeTree"
ENGINE_SORTING_KEY "ts"
"""

SUMS = """SCHEMA >
    `user` String,
    `total` Int64

ENGINE "MergeTree"
ENGINE_SORTING_KEY "user"
"""


def pipe(sql: str, *, node: str = "main", more: str = "") -> str:
    return f"NODE {node}\nSQL >\n    {sql}\n{more}"


def desired(files: dict[str, str]) -> list[Desired]:
    found = []
    for file, text in files.items():
        definition = parse_datafile(text, file=file)
        assert not isinstance(definition, TokenDefinition)
        found.append(Desired(definition, text, file))
    return found


def draft_of(files: dict[str, str], before: Workspace = EMPTY) -> tuple[Draft, list[BirdhouseError]]:
    return make_draft(before, desired(files), NOW)


def workspace_of(files: dict[str, str], before: Workspace = EMPTY) -> Workspace:
    draft, problems = draft_of(files, before)
    assert problems == []
    return draft.after

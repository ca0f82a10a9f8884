"""Messages of the engine in the words of the workspace."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import Workspace
from birdhouse.language.datafile.model import Column, DataSourceDefinition
from birdhouse.query.locate import in_known_names, line_of_word

IDENTITY = "t_0123456789abcdef0123456789abcdef"
NOW = datetime(2024, 1, 1, tzinfo=UTC)
EVENTS = DataSource(IDENTITY, DataSourceDefinition("events", (Column("id", "UInt32"),)), "", "w_1", NOW, NOW)
WORKSPACE = Workspace("w", "w", "w_1").with_changes([EVENTS])


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (f"Table w_1.{IDENTITY} has no column", "Table events has no column"),
        (f"Table `w_1`.`{IDENTITY}` has no column", "Table events has no column"),
        (f"Table {IDENTITY} has no column", "Table events has no column"),
        (f"in w_1.{IDENTITY} AS e WHERE", "in e WHERE"),
        (f"in w_1.{IDENTITY} AS `my table` WHERE", "in `my table` WHERE"),
        (f"Table w_1.{IDENTITY}_quarantine", "Table events_quarantine"),
        ("Table w_1.t_ffffffffffffffffffffffffffffffff", "Table w_1.t_ffffffffffffffffffffffffffffffff"),
        ("Unknown identifier `a.b`", "Unknown identifier `a.b`"),
    ],
)
def test_physical_tables_are_told_by_the_name_of_their_data_source(message: str, shown: str) -> None:
    assert in_known_names(message, WORKSPACE) == shown


@pytest.mark.parametrize(("word", "line"), [("a", 1), ("b", 2), ("c", 0), ("", 0)])
def test_the_line_of_a_word_is_counted_from_one(word: str, line: int) -> None:
    assert line_of_word("x a\nx b a", word) == line

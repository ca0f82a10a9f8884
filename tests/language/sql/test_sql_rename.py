"""Renaming a table in the text of a query leaves everything else as it was written."""

from __future__ import annotations

import pytest

from birdhouse.language.sql.rename import rename_table


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM events", "SELECT * FROM visits"),
        ("select *\nfrom\n    events e", "select *\nfrom\n    visits e"),
        ("SELECT * FROM `events`", "SELECT * FROM `visits`"),
        ('SELECT * FROM "events"', 'SELECT * FROM "visits"'),
        ("SELECT events.id FROM events", "SELECT visits.id FROM visits"),
        ("SELECT events FROM events", "SELECT events FROM visits"),
        ("SELECT a.events FROM events a", "SELECT a.events FROM visits a"),
        ("SELECT events.id FROM other AS events", "SELECT events.id FROM other AS events"),
        ("SELECT 'FROM events' FROM events", "SELECT 'FROM events' FROM visits"),
        ("SELECT 1 -- FROM events\nFROM events", "SELECT 1 -- FROM events\nFROM visits"),
        ("SELECT 1 /* FROM events */ FROM /* x */ events", "SELECT 1 /* FROM events */ FROM /* x */ visits"),
        ("SELECT * FROM a JOIN events ON a.id = events.id", "SELECT * FROM a JOIN visits ON a.id = visits.id"),
        ("SELECT * FROM a WHERE id IN events", "SELECT * FROM a WHERE id IN visits"),
        ("SELECT * FROM events.id", "SELECT * FROM events.id"),
        ("SELECT * FROM events2", "SELECT * FROM events2"),
        ("%\nSELECT * FROM {{ table('events') }}", "%\nSELECT * FROM {{ table('visits') }}"),
        (
            "%\nSELECT {{ String(events, 'events') }} FROM events",
            "%\nSELECT {{ String(events, 'events') }} FROM visits",
        ),
        ("%\n{% if x %} SELECT * FROM events {% end %}", "%\n{% if x %} SELECT * FROM visits {% end %}"),
        ("SELECT 'it\\'s' FROM events", "SELECT 'it\\'s' FROM visits"),
        ("SELECT 'it''s' FROM events", "SELECT 'it''s' FROM visits"),
    ],
)
def test_only_what_names_the_table_changes(sql: str, expected: str) -> None:
    assert rename_table(sql, "events", "visits") == expected

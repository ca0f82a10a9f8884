"""Requests to the Events API become one operation for each data source, second and error."""

from __future__ import annotations

from datetime import timedelta

import pytest
from usage_home import START

from birdhouse.catalog.resources import DataSource
from birdhouse.clock import ManualClock
from birdhouse.language.datafile.model import DataSourceDefinition
from birdhouse.usage import event_appends
from birdhouse.usage.event_appends import EventAppend, EventAppends
from birdhouse.usage.operations import Operation


def datasource(name: str) -> DataSource:
    return DataSource(f"t_{name}", DataSourceDefinition(name, ()), "", "w", START, START)


def summary(operation: Operation) -> tuple[object, ...]:
    """Data source, second of START's minute, requests, rows, rows in quarantine, error."""
    requests = int(operation.options["requests"])
    counts = (requests, operation.rows, operation.rows_quarantine)
    return (operation.datasource_name, operation.timestamp.second, *counts, operation.error)


def test_a_sum_is_made_for_each_second_data_source_and_error() -> None:
    clock = ManualClock(START)
    appends = EventAppends(clock)
    for milliseconds, name, append in (
        (0, "a", EventAppend(0.2, rows=3, quarantined_rows=1)),
        (400, "a", EventAppend(0.4, rows=5)),
        (0, "b", EventAppend(0.1, rows=1)),
        (0, "a", EventAppend(0.1, error="full")),
        (599, "a", EventAppend(0.1, error="full")),
        (1, "a", EventAppend(0.9, rows=7)),
    ):
        clock.advance(timedelta(milliseconds=milliseconds))
        appends.add("w", datasource(name), f"r{milliseconds}", append)
    found = appends.operations()
    assert [summary(each) for each in found] == [
        ("a", 58, 2, 8, 1, None),
        ("b", 58, 1, 1, 0, None),
        ("a", 58, 2, 0, 0, "full"),
        ("a", 59, 1, 7, 0, None),
    ]
    assert found[0].elapsed_time == pytest.approx(0.3)
    assert found[0].request_id == "r0"
    assert len({each.operation_id for each in found}) == 4
    assert appends.operations() == []


def test_the_number_of_sums_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_appends, "GATHERED_MAX", 2)
    appends = EventAppends(ManualClock(START))
    for name in "abcab":
        appends.add("w", datasource(name), "r", EventAppend(0.1, rows=1))
    assert [(each.datasource_name, each.rows) for each in appends.operations()] == [("a", 2), ("b", 2)]

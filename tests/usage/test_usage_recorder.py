"""What is noted is written once, together, soon; and never in the way of what it is about."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from usage_home import START, Home

from birdhouse.errors import Busy
from birdhouse.usage import recorder as recorder_module
from birdhouse.usage.blocks import Block
from birdhouse.usage.job_states import JobState
from birdhouse.usage.operations import EventType, Operation
from birdhouse.usage.reading import rows_of_workspace
from birdhouse.usage.recorder import Recorder
from birdhouse.usage.releases import Release
from birdhouse.usage.requests import Requested
from birdhouse.usage.row import Row
from birdhouse.usage.sink_runs import SinkRun
from birdhouse.usage.storage import StoredSize

DROPPED_SECONDS_MAX = 30.0
"""The engine drops old rows beside its other work."""
AT = f"{START:%Y-%m-%d %H:%M:%S}"


def requested(home: Home, **changes: Any) -> Requested:
    return replace(
        Requested(
            workspace_id=home.workspace_id, start_datetime=START, pipe_id="p1", pipe_name="top", token="k1",
            token_name="reader", duration=0.25, read_bytes=10, read_rows=2, result_rows=1, url="/v0/pipes/top.json",
            error_message=None, status_code=200, request_id="r1", parameters={"limit": "5"}, method="GET",
            user_agent=None, client_ip="127.0.0.1",
        ),
        **changes,
    )  # fmt: skip


def rows_of_every_kind(home: Home) -> list[tuple[Row, dict[str, Any]]]:
    """Each with what a query must find in its table."""
    w = home.workspace_id
    return [
        (
            requested(home, status_code=404, error_message="gone"),
            {"start_datetime": AT, "parameters": {"limit": "5"}, "error": 1, "error_message": "gone", "duration": 0.25},
        ),
        (
            Operation(
                workspace_id=w, timestamp=START, event_type=EventType.APPEND, datasource_id="d1", datasource_name="ev",
                elapsed_time=0.5, options={"a": "1", "b": "2"}, import_id="i1", rows=3, rows_quarantine=1,
                blocks_ids=("i1-0",), operation_id="o1", written_rows=3, written_bytes=30,
            ),
            {"timestamp": AT, "event_type": "append", "result": "ok", "error": None, "Options.Names": ["a", "b"],
             "Options.Values": ["1", "2"], "rows": 3, "rows_quarantine": 1, "blocks_ids": ["i1-0"], "job_id": None},
        ),
        (
            JobState(
                job_id="j1", job_type="copy", status="done", error=None, workspace_id=w, request_id=None, pipe_id="p1",
                datasource_id="d1", created_at=START, started_at=START, updated_at=START, job_metadata='{"mode": "x"}',
            ),
            {"job_id": "j1", "created_at": f"{AT}.000", "started_at": f"{AT}.000", "job_metadata": '{"mode": "x"}',
             "workspace_id": w},
        ),
        (
            Block(
                workspace_id=w, timestamp=START, request_id="r1", import_id="i1", job_id=None, source="a.csv",
                block_id="i1-0", datasource_id="d1", datasource_name="ev", processing_error="broken",
            ),
            {"status": "error", "processing_error": "broken", "rows": None, "start_offset": None},
        ),
        (
            SinkRun(
                workspace_id=w, timestamp=START, service="s3", pipe_id="p1", pipe_name="out", elapsed_time=1.5,
                output=("s3://a/b.csv",), parameters={"day": "1"}, options={"format": "csv"},
            ),
            {"result": "ok", "output": ["s3://a/b.csv"], "parameters": {"day": "1"}, "options": {"format": "csv"}},
        ),
        (
            Release(workspace_id=w, timestamp=START, event_type="deploy", commit="abc", token="k1", token_name="admin",
                    error="refused"),
            {"timestamp": f"{AT}.000", "event_type": "deploy", "commit": "abc", "result": "error", "error": "refused"},
        ),
        (
            StoredSize(workspace_id=w, datasource_id="d1", datasource_name="ev", timestamp=START, bytes=9, rows=3,
                       bytes_quarantine=4, rows_quarantine=1),
            {"datasource_id": "d1", "bytes": 9, "rows": 3, "bytes_quarantine": 4, "rows_quarantine": 1},
        ),
    ]  # fmt: skip


async def test_a_row_of_every_kind_can_be_read_after_one_insert(home: Home) -> None:
    for row, _ in rows_of_every_kind(home):
        home.recorder.note(row)
    await home.recorder.flush()
    for row, expected in rows_of_every_kind(home):
        (found,) = await home.rows(row.TABLE)
        assert found | expected == found, row.TABLE
        assert await home.rows(row.TABLE, workspace_id="another") == []
    assert len(home.gate.inserts) == len(rows_of_every_kind(home))


async def test_rows_of_one_table_are_one_insert(home: Home) -> None:
    for number in range(500):
        home.recorder.note(requested(home, request_id=str(number)))
    await home.recorder.flush()
    await home.recorder.flush()
    assert len(home.gate.inserts) == 1
    assert len(await home.rows("pipe_stats_rt")) == 500


@pytest.mark.parametrize("failure", ["refused", "lost_answers"])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_batch_that_fails_is_sent_again_and_written_once(home: Home, failure: str, times: int) -> None:
    """Also when it was the answer that got lost: the token is the same."""
    setattr(home.gate, failure, times)
    home.recorder.note(requested(home))
    await home.recorder.flush()
    home.recorder.note(requested(home, request_id="later"))
    for _ in range(times + 1):
        await home.recorder.flush()
    assert {row["request_id"] for row in await home.rows("pipe_stats_rt")} == {"r1", "later"}
    (day,) = await home.rows("pipe_stats")
    assert day["view_count"] == 2


async def test_a_batch_that_always_fails_is_given_up_and_the_next_is_written(home: Home) -> None:
    home.gate.refused = recorder_module.ATTEMPTS_MAX
    home.recorder.note(requested(home))
    for _ in range(recorder_module.ATTEMPTS_MAX):
        await home.recorder.flush()
    home.recorder.note(requested(home, request_id="later"))
    await home.recorder.flush()
    assert [row["request_id"] for row in await home.rows("pipe_stats_rt")] == ["later"]


async def test_what_waits_is_bounded_and_the_oldest_goes_first(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "WAITING_BYTES_MAX", 10_000)
    for number in range(100):
        home.recorder.note(requested(home, request_id=f"{number:03}", url="x" * 1_000))
    await home.recorder.flush()
    (insert,) = home.gate.inserts
    assert 5_000 < len(insert.data) <= 10_000
    kept = sorted(row["request_id"] for row in await home.rows("pipe_stats_rt"))
    assert kept == [f"{number:03}" for number in range(100 - len(kept), 100)]


async def test_text_that_cannot_be_stored_fails_nothing(home: Home) -> None:
    home.recorder.note(requested(home, url="\ud800"))
    home.recorder.note(requested(home))
    await home.recorder.flush()
    assert len(await home.rows("pipe_stats_rt")) == 1


@pytest.mark.parametrize(
    ("write_seconds", "seconds"), [(0.0, 1.0), (0.01, 1.0), (0.02, 2.0), (0.05, 5.0), (0.5, 10.0), (60.0, 10.0)]
)
def test_a_long_write_is_followed_by_a_long_pause(write_seconds: float, seconds: float) -> None:
    assert recorder_module.pause_seconds(write_seconds) == pytest.approx(seconds)


async def test_a_row_is_written_also_when_nobody_can_say_what_follows_it(home: Home) -> None:
    async def follower(row: Operation) -> list[Row]:
        raise Busy

    home.recorder.follow(Operation, follower)
    operation = next(row for row, _ in rows_of_every_kind(home) if isinstance(row, Operation))
    for _ in range(2):
        home.recorder.note(operation)
    await home.recorder.flush()
    assert len(await home.rows("datasources_ops_log")) == 2


async def test_nothing_is_recorded_when_it_is_off(home: Home) -> None:
    off = Recorder(home.gate, home.services, is_on=False)
    off.note(requested(home))
    await off.flush()
    assert home.gate.inserts == []


async def test_a_stop_writes_what_still_waits(home: Home) -> None:
    home.recorder.start()
    home.recorder.note(requested(home))
    await home.recorder.stop()
    assert len(await home.rows("pipe_stats_rt")) == 1


async def test_requests_are_counted_per_day_and_failed_ones_listed(home: Home) -> None:
    home.recorder.note(requested(home, duration=0.1))
    home.recorder.note(requested(home, duration=0.3, status_code=500, error_message="broken"))
    await home.recorder.flush()
    home.recorder.note(requested(home, duration=0.2))
    await home.recorder.flush()
    (failed,) = await home.rows("endpoint_errors")
    assert (failed["error"], failed["status_code"], failed["params"]) == ("broken", 500, '{"limit":"5"}')
    (day,) = await home.ask(
        "(SELECT view_count, error_count, read_rows_sum, avgMerge(avg_duration_state) AS mean, "
        "quantilesTimingMerge(0.9, 0.95, 0.99)(quantile_timing_state) AS quantiles_ms "
        f"FROM ({rows_of_workspace(home.services(), 'pipe_stats', home.workspace_id)}) GROUP BY ALL)"
    )
    assert (day["view_count"], day["error_count"], day["read_rows_sum"]) == (3, 1, 6)
    assert day["mean"] == pytest.approx(0.2)
    assert day["quantiles_ms"] == [300, 300, 300]


async def test_operations_are_counted_per_day_data_source_kind_and_pipe(home: Home) -> None:
    for datasource, event_type, error in (
        ("d1", EventType.APPEND, None),
        ("d1", EventType.APPEND, "full"),
        ("d2", EventType.APPEND, None),
        ("d2", EventType.TRUNCATE, None),
    ):
        home.recorder.note(
            Operation(
                workspace_id=home.workspace_id, timestamp=START, event_type=event_type, datasource_id=datasource,
                datasource_name=datasource, error=error, written_rows=5,
            )
        )  # fmt: skip
        await home.recorder.flush()
    found = {
        (row["datasource_id"], row["event_type"]): (row["executions"], row["error_count"], row["written_rows"])
        for row in await home.rows("datasources_ops_stats")
    }
    assert found == {("d1", "append"): (2, 1, 10), ("d2", "append"): (1, 0, 5), ("d2", "truncate"): (1, 0, 5)}


async def test_the_last_state_of_a_job_is_the_one_to_read(home: Home) -> None:
    waiting = next(row for row, _ in rows_of_every_kind(home) if isinstance(row, JobState))
    for status in ("waiting", "working", "done"):  # also within one millisecond
        home.recorder.note(replace(waiting, status=status))
        await home.recorder.flush()
    assert [row["status"] for row in await home.rows("jobs_log")] == ["done"]


@pytest.mark.parametrize(("table", "days_kept"), [("pipe_stats_rt", 89), ("endpoint_errors", 29), ("pipe_stats", 400)])
async def test_rows_are_kept_as_long_as_documented(home: Home, table: str, days_kept: int) -> None:
    now = datetime.now(UTC)
    for days in (days_kept, 31, 93):
        home.recorder.note(requested(home, start_datetime=now - timedelta(days=days), status_code=500))
    await home.recorder.flush()
    kept = {days for days in (days_kept, 31, 93) if days <= days_kept}
    deadline = time.monotonic() + DROPPED_SECONDS_MAX
    while len(await home.rows(table)) > len(kept) and time.monotonic() < deadline:  # noqa: ASYNC110 - merges tell nobody
        await asyncio.sleep(0.05)
    assert len(await home.rows(table)) == len(kept)


async def test_the_organization_sees_all_workspaces(home: Home) -> None:
    home.recorder.note(requested(home))
    home.recorder.note(requested(home, workspace_id="another"))
    await home.recorder.flush()
    rows = await home.organization_rows("pipe_stats_rt")
    assert {row["workspace_id"] for row in rows} >= {home.workspace_id, "another"}
    assert "client_ip" not in rows[0]

"""The monitoring pipes of the data project over jobs and requests that are made up, minute by minute."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from usage_home import Home

from birdhouse.engine.types import Query
from birdhouse.query.compose import Composer
from birdhouse.usage.job_states import JobState
from birdhouse.usage.requests import Requested

PIPES = Path(__file__).parent.parent.parent / "insights" / "pipes"
REFUSED = "You have reached the maximum number of copy jobs (3)"


@dataclass(frozen=True)
class Copy:
    """`at` is when it was created, and started unless it waits."""

    pipe: str
    at: datetime
    status: str = "done"
    error: str | None = None
    seconds: float = 1.0


async def log(home: Home, copies: Sequence[Copy]) -> None:
    for number, each in enumerate(copies):
        metadata = {"pipe_name": each.pipe, "mode": "append", "duration": each.seconds}
        started_at = None if each.status == "waiting" else each.at
        home.recorder.note(
            JobState(
                job_id=f"{each.pipe}-{number}", job_type="copy", status=each.status, error=each.error,
                workspace_id=home.workspace_id, request_id=None, pipe_id=f"t_{each.pipe}", datasource_id="t_x",
                created_at=each.at, started_at=started_at, updated_at=each.at + timedelta(seconds=each.seconds),
                job_metadata=json.dumps(metadata),
            )
        )  # fmt: skip
    await home.recorder.flush()


async def asked(home: Home, name: str, node: str = "") -> list[dict[str, Any]]:
    """What the endpoint answers, or one of its nodes."""
    await home.push(**{name: (PIPES / f"{name}.pipe").read_text("utf-8")})
    pipe = home.workspace.pipe(name)
    composer = Composer(home.workspace, {}, services=home.services())
    wanted = pipe.definition.node(node)
    sql = (composer.node(pipe, wanted) if wanted else composer.pipe(pipe)).sql
    found: list[dict[str, Any]] = json.loads((await home.gate.select(Query(sql, "JSON"))).body)["data"]
    return found


def today(second: int, days_ago: int = 0) -> datetime:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=days_ago) + timedelta(seconds=second)


def cases() -> dict[str, tuple[list[Copy], str | None]]:
    """Copies of today, and the status that the pipe has then. Made when a test runs: midnight may come."""
    return {
        "done": ([Copy("p", today(1))], "ok"),
        "failed": ([Copy("p", today(1), "error", "no memory")], "error"),
        "cancelled": ([Copy("p", today(1), "cancelled")], "cancelled"),
        "working": ([Copy("p", today(1), "working")], "working"),
        "waiting": ([Copy("p", today(1), "waiting")], "queued"),
        "cancelling": ([Copy("p", today(1), "cancelling")], "working"),
        "the latest counts": ([Copy("p", today(1)), Copy("p", today(2), "error", "no memory")], "error"),
        "refused once": ([Copy("p", today(1)), Copy("p", today(2), "error", REFUSED)], "queued"),
        "refused twice": (
            [Copy("p", today(1)), Copy("p", today(2), "error", REFUSED), Copy("p", today(3), "error", REFUSED)],
            "queued",
        ),
        "refused three times": ([Copy("p", today(number), "error", REFUSED) for number in range(3)], "error"),
        "refused three times, on two days": (
            [Copy("p", today(number, days_ago=1), "error", REFUSED) for number in range(2)]
            + [Copy("p", today(1), "error", REFUSED)],
            "error",
        ),
        "failed after it was refused": (
            [*(Copy("p", today(number), "error", REFUSED) for number in range(2)), Copy("p", today(3))],
            "ok",
        ),
        "not today": ([Copy("p", today(1, days_ago=1))], None),
        "a pipe that is left out": ([Copy("members_with_location", today(1))], None),
    }


@pytest.mark.parametrize("case", cases())
async def test_the_latest_copy_of_today_has_one_status(home: Home, case: str) -> None:
    copies, status = cases()[case]
    await log(home, copies)
    gauges = await asked(home, "monitoring_copy_pipe_executions")
    assert {gauge["name"] for gauge in gauges} <= {"copy_pipes_latest_execution_status"}
    values = {gauge["labels"]["status"]: gauge["value"] for gauge in gauges}
    if status is None:
        assert gauges == []
    else:
        assert values == {each: float(each == status) for each in ("ok", "error", "cancelled", "queued", "working")}


async def test_each_pipe_has_its_own_status(home: Home) -> None:
    await log(home, [Copy("a", today(1), "error", "no memory"), Copy("b", today(2)), Copy("c", today(3), "waiting")])
    gauges = await asked(home, "monitoring_copy_pipe_executions")
    current = {gauge["labels"]["pipe_name"]: gauge["labels"]["status"] for gauge in gauges if gauge["value"]}
    assert current == {"a": "error", "b": "ok", "c": "queued"}
    assert len(gauges) == 15
    assert list(gauges[0]) == ["name", "help", "type", "labels", "value"]


async def test_a_copy_has_a_row_for_each_minute_until_the_next_one_starts(home: Home) -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=30)
    await log(
        home,
        [
            Copy("a", minute + timedelta(seconds=10), seconds=70),
            Copy("a", minute + timedelta(minutes=3, seconds=5), seconds=2.5),
            Copy("a", minute + timedelta(minutes=3, seconds=40)),
            Copy("b", minute + timedelta(minutes=1), seconds=200),
            Copy("a", minute - timedelta(days=2)),
            Copy("c", minute, "waiting"),
        ],
    )
    rows = await asked(home, "monitoring_copy_pipes_spread_info")
    assert list(rows[0]) == [
        "pipe_name", "pipe_id", "started_at", "duration_seconds", "ended_at", "minute_ts", "job_metadata",
    ]  # fmt: skip
    assert [row["minute_ts"] for row in rows] == sorted((row["minute_ts"] for row in rows), reverse=True)

    def minutes(pipe: str, second: float) -> list[int]:
        """The rows of the copy that started then, in minutes after the first."""
        start = f"{minute + timedelta(seconds=second):%Y-%m-%d %H:%M:%S}.000"
        mine = [row for row in rows if (row["pipe_name"], row["started_at"]) == (pipe, start)]
        times = [datetime.fromisoformat(row["minute_ts"]).replace(tzinfo=UTC) for row in mine]
        return sorted(round((each - minute).total_seconds() / 60) for each in times)

    assert minutes("a", 10) == [0, 1, 2]
    assert minutes("a", 185) == [3], "a copy has the minute it started in, also when the next one did, too"
    until_now = minutes("a", 220)
    assert until_now == list(range(3, 3 + len(until_now))) and 26 <= len(until_now) <= 28
    assert minutes("b", 60)[:3] == [1, 2, 3]
    long_ago = [row for row in rows if row["pipe_name"] == "a" and row["minute_ts"] < f"{minute:%Y-%m-%d %H:%M:%S}"]
    assert 24 * 60 - 32 <= len(long_ago) <= 24 * 60 - 28, "the copy before yesterday has the minutes of one day"
    first = next(row for row in rows if row["duration_seconds"] == 70)
    assert first["ended_at"] == f"{minute + timedelta(seconds=80):%Y-%m-%d %H:%M:%S}.000"
    assert json.loads(first["job_metadata"])["pipe_name"] == "a"
    assert "c" not in {row["pipe_name"] for row in rows}

    gauges = await asked(home, "monitoring_copy_pipes_spread_info", "copies_running")
    running = {gauge["timestamp"] // 1000 - int(minute.timestamp()): gauge["value"] for gauge in gauges}
    assert [running[60 * number] for number in range(6)] == [1, 2, 1, 3, 1, 0]
    assert {gauge["name"] for gauge in gauges} == {"tinybird_copy_jobs_running"}


async def test_slow_requests_are_a_share_of_each_pipe_and_hour(home: Home) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    for pipe, start, seconds in (
        ("a", hour, (0.1, 1.5, 2.5, 0.2)),
        ("b", hour, (1.0, 2.0)),
        ("a", hour + timedelta(minutes=60), (3.0,)),
    ):
        for duration in seconds:
            home.recorder.note(
                Requested(
                    workspace_id=home.workspace_id, start_datetime=start, pipe_id=f"t_{pipe}", pipe_name=pipe, token="",
                    token_name="", duration=duration, read_bytes=0, read_rows=0, result_rows=0, url="",
                    error_message=None, status_code=200, request_id="", parameters={}, method="GET", user_agent=None,
                    client_ip=None,
                )
            )  # fmt: skip
    await home.recorder.flush()
    rows = await asked(home, "monitoring_long_running_endpoints")
    assert [(row["pipe_name"], row["pct_over_1s"], row["pct_over_2s"]) for row in rows] == [
        ("a", 50, 25),
        ("b", 50, 0),
        ("a", 100, 100),
    ]
    assert [row["ts_hour"] for row in rows] == [f"{hour + timedelta(hours=n):%Y-%m-%d %H}:00:00" for n in (0, 0, 1)]

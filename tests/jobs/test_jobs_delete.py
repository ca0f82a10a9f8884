from __future__ import annotations

import asyncio

import pytest
from jobs_home import LIMITS, Home, numbers_table

from birdhouse.errors import SqlError
from birdhouse.jobs.delete import delete_payload, rows_to_delete
from birdhouse.jobs.job import Job, JobKind, JobStatus


@pytest.fixture
async def filled(home: Home) -> Home:
    await home.push(events=numbers_table("a", "b"), bad=numbers_table("a"))
    await home.load("events", "SELECT number, number % 5 FROM numbers(100)")
    await home.load("bad", "SELECT number FROM numbers(7)")
    return home


async def _delete(home: Home, condition: str) -> Job:
    payload = delete_payload(home.workspace, "events", condition)
    job = await home.queue.submit(home.workspace_id, JobKind.DELETE, payload)
    return await home.queue.finished(job.id)


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("b = 3", 20),
        ("a IN (SELECT a FROM bad)", 7),
        ("a < 10 OR a > 95", 14),
        ("NULL", 0),
        ("nullIf(a < 50, 0)", 50),
        ("a < 3 -- few", 3),
    ],
)
async def test_a_delete_removes_what_the_dry_run_counts(filled: Home, condition: str, rows: int) -> None:
    assert await rows_to_delete(filled.gate, filled.workspace, "events", condition, LIMITS) == rows
    assert await filled.ask("count()", "events") == "100"
    job = await _delete(filled, condition)
    assert job.status is JobStatus.DONE, job.error
    assert job.result["rows_affected"] == rows
    assert await filled.ask("count()", "events") == str(100 - rows)


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "missing = 1",
        "a IN (SELECT a FROM missing)",
        "a IN (SELECT number FROM system.tables)",
        "1) UNION ALL SELECT (2",
        "1), 0) UNION ALL SELECT coalesce((1",
        "1 SETTINGS mutations_sync = 0",
        "1; DROP TABLE x",
        "a IN (SELECT a FROM file('/etc/passwd', 'CSV', 'a UInt64'))",
    ],
)
async def test_what_is_not_a_condition_over_the_data_source_is_refused(filled: Home, condition: str) -> None:
    with pytest.raises(SqlError):
        await rows_to_delete(filled.gate, filled.workspace, "events", condition, LIMITS)
    assert (await _delete(filled, condition)).status is JobStatus.ERROR
    assert await filled.ask("count()", "events") == "100"


async def test_a_delete_that_fails_does_not_stand_in_the_way_of_the_next(filled: Home) -> None:
    await filled.load("events", "SELECT 1000, 9")
    failing = await _delete(filled, "throwIf(a = 1000 AND sipHash64(now64()) >= 0, 'cannot') = 0 AND b = 1")
    assert failing.status is JobStatus.ERROR
    assert (await _delete(filled, "b = 2")).status is JobStatus.DONE
    assert await filled.ask("countIf(b = 2)", "events") == "0"


async def test_an_interrupted_delete_is_finished_by_the_next_start(filled: Home) -> None:
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        await never.wait()

    filled.gate.after["DELETE WHERE"] = hang
    payload = delete_payload(filled.workspace, "events", "b = 3")
    job = await filled.queue.submit(filled.workspace_id, JobKind.DELETE, payload)
    await reached.wait()
    await filled.restart()
    ended = await filled.queue.finished(job.id)
    assert (ended.status, ended.result["rows_affected"]) == (JobStatus.DONE, 20)
    assert await filled.ask("count()", "events") == "80"

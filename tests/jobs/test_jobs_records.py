"""What the service data sources are told about a job: each change, and what it did to its data source."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jobs_home import Home, copy_pipe, numbers_table

from birdhouse.jobs import records
from birdhouse.jobs.job import Job, JobKind, JobStatus
from birdhouse.jobs.queue import JobQueue
from birdhouse.jobs.records import JobRecords
from birdhouse.usage.job_states import JobState
from birdhouse.usage.operations import Operation
from birdhouse.usage.request import begin_request
from birdhouse.usage.row import Row

AT = datetime(2024, 5, 1, tzinfo=UTC)
TARGET = {"id": "t_1", "name": "target"}
STATISTICS = {"row_count": 5, "bytes": 50, "elapsed_seconds": 0.1}


def job(kind: str, status: JobStatus, payload: dict[str, Any], **more: Any) -> Job:
    started_at = None if status is JobStatus.WAITING else AT + timedelta(seconds=1)
    changes = {"started_at": started_at, "updated_at": AT + timedelta(seconds=3), **more}
    return Job("j", "w", kind, status, AT, payload={"datasource": TARGET, **payload}, **changes)


def told(*changes: Job) -> list[Row]:
    rows: list[Row] = []
    watch = JobRecords(rows.append)
    for each in changes:
        watch.observe(each)
    return rows


def operations(*changes: Job) -> list[Operation]:
    return [row for row in told(*changes) if isinstance(row, Operation)]


def metadata(each: Job) -> dict[str, Any]:
    (state,) = (row for row in told(each) if isinstance(row, JobState))
    found: dict[str, Any] = json.loads(state.job_metadata)
    return found


@pytest.mark.parametrize(
    ("kind", "payload", "result", "expected"),
    [
        ("copy", {"mode": "append"}, {"statistics": STATISTICS}, ("copy", {"mode": "append"}, 5, True)),
        ("copy", {"mode": "replace"}, {"statistics": STATISTICS}, ("copy", {"mode": "replace"}, 5, True)),
        ("populateview", {"truncate": True}, {"statistics": STATISTICS},
         ("populateview", {"mode": "replace"}, 5, True)),
        ("populateview", {"truncate": False, "condition": "a = 1"}, {"statistics": STATISTICS},
         ("populateview", {"mode": "append", "condition": "a = 1"}, 5, True)),
        ("delete_data", {"delete_condition": "a = 1"}, {"rows_affected": 2},
         ("delete", {"delete_condition": "a = 1"}, 2, False)),
    ],
)  # fmt: skip
def test_a_job_that_is_done_is_an_operation(
    kind: str, payload: dict[str, Any], result: dict[str, Any], expected: tuple[object, ...]
) -> None:
    (operation,) = operations(job(kind, JobStatus.DONE, payload, result=result))
    found = (operation.event_type, operation.options, operation.rows, operation.triggers_views)
    assert found == expected
    assert (operation.datasource_id, operation.datasource_name) == ("t_1", "target")
    assert (operation.elapsed_time, operation.job_id) == (2.0, "j")


@pytest.mark.parametrize(
    ("status", "error"), [(JobStatus.ERROR, "no memory"), (JobStatus.CANCELLED, records.CANCELLED)]
)
def test_a_job_that_ends_badly_is_an_operation_that_failed(status: JobStatus, error: str) -> None:
    ended = job("copy", status, {"mode": "append"}, error="no memory" if status is JobStatus.ERROR else None)
    (operation,) = operations(ended)
    assert (operation.error, operation.rows) == (error, None)


def test_a_populate_is_queued_once_also_when_a_restart_takes_it_up() -> None:
    waiting = job("populateview", JobStatus.WAITING, {})
    again = job("populateview", JobStatus.WAITING, {}, started_at=AT)
    working = job("populateview", JobStatus.WORKING, {})
    assert [each.event_type for each in operations(waiting, working, again)] == ["populateview-queued"]


def test_an_import_tells_its_operation_itself_and_an_unknown_kind_has_none() -> None:
    for kind in (JobKind.IMPORT, "brood"):
        done = job(kind, JobStatus.DONE, {"mode": "append"})
        assert [type(row) for row in told(done)] == [JobState]


def test_the_metadata_is_what_was_asked_and_what_came_of_it() -> None:
    asked = {"pipe_name": "p", "mode": "append", "parameters": {"a": "1"}}
    done = job("copy", JobStatus.DONE, asked, result={"statistics": STATISTICS})
    assert metadata(done) == {"datasource": TARGET, **asked, "duration": 2.0, "statistics": STATISTICS}


def test_a_long_result_is_left_out_of_the_metadata() -> None:
    long = {"statistics": STATISTICS, "errors": ["x" * records.METADATA_BYTES_MAX]}
    found = metadata(job("copy", JobStatus.DONE, {"pipe_name": "p", "mode": "append"}, result=long))
    assert found == {
        "pipe_name": "p", "datasource": TARGET, "mode": "append", "duration": 2.0, "statistics": STATISTICS,
    }  # fmt: skip


def test_the_secrets_of_a_url_are_not_in_the_metadata() -> None:
    url = "https://user:secret@files.test/a.csv?sign=secret"
    found = metadata(job(JobKind.IMPORT, JobStatus.DONE, {"url": url, "mode": "append"}, result={"url": url}))
    assert found["url"] == "https://files.test/a.csv"


async def test_the_queue_tells_when_a_job_is_added_starts_and_ends(home: Home) -> None:
    await home.push(source=numbers_table("n"), target=numbers_table("n"), copying=copy_pipe("SELECT n FROM source"))
    rows: list[Row] = []
    await home.queue.stop()
    home.queue = JobQueue(home.database, home.clock, home.runners, workers=1, observe=JobRecords(rows.append).observe)
    await home.queue.start()
    begin_request("r1")
    first = await home.copy("copying")
    begin_request("r2")
    second = await home.copy("copying")
    begin_request("")
    await home.queue.cancel(second.id)
    await home.queue.finished(first.id)
    states = [(row.job_id, row.status, row.request_id) for row in rows if isinstance(row, JobState)]
    assert [state[1:] for state in states if state[0] == first.id] == [
        ("waiting", "r1"), ("working", "r1"), ("done", "r1"),
    ]  # fmt: skip
    assert [state[1:] for state in states if state[0] == second.id] == [("waiting", "r2"), ("cancelled", "r2")]

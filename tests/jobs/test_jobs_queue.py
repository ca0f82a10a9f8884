from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from birdhouse.catalog.catalog import Catalog
from birdhouse.clock import ManualClock
from birdhouse.errors import Busy, Conflict, InvalidInput, NotFound
from birdhouse.jobs import store
from birdhouse.jobs.job import Job, JobFilter, JobStatus
from birdhouse.jobs.queue import JobQueue, Run
from birdhouse.metadata.database import Database
from birdhouse.metadata.migrate import migrate
from birdhouse.metadata.migrations import MIGRATIONS


class Steps:
    """A runner whose jobs end when the test says so."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.cleaned: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.runs: dict[str, Run] = {}
        self.failure: Exception | None = None

    def touches(self, job: Job) -> frozenset[str]:
        return frozenset({job.payload["pipe_id"]})

    async def run(self, run: Run) -> Mapping[str, Any]:
        name = run.job.payload["name"]
        self.begun.append(name)
        self.runs[name] = run
        await self.gate(name).wait()
        if self.failure:
            raise self.failure
        return {"by": name}

    async def clean(self, job: Job) -> None:
        self.cleaned.append(job.payload["name"])

    def gate(self, name: str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())


class Desk:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock(datetime(2024, 5, 1, tzinfo=UTC))
        self.steps = Steps()
        self.queue = JobQueue(database, self.clock, {"copy": self.steps}, workers=2, waiting_max=3)
        self.workspace_id = ""

    async def open(self) -> Desk:
        self.workspace_id = (await Catalog(self.database, self.clock).create_workspace("w")).id
        await self.queue.start()
        return self

    async def submit(self, name: str, pipe: str = "") -> Job:
        self.clock.advance(timedelta(milliseconds=1))
        payload = {"name": name, "pipe_id": pipe or name, "pipe_name": pipe or name}
        return await self.queue.submit(self.workspace_id, "copy", payload)

    async def begun(self, *names: str) -> None:
        """Returns when exactly these have begun; each try gives the metadata thread a turn."""
        for _ in range(200):
            if len(self.steps.begun) >= len(names):
                break
            await self.database.run(lambda connection: None)
        assert self.steps.begun == list(names)

    async def end(self, job: Job) -> Job:
        self.steps.gate(job.payload["name"]).set()
        return await self.queue.finished(job.id)


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database.open("sqlite://")
    migrate(database)
    yield database
    database.close()


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    desk = await Desk(database).open()
    yield desk
    await desk.queue.stop()


async def test_a_job_is_stored_in_every_state_it_goes_through(desk: Desk, database: Database) -> None:
    job = await desk.submit("a")
    assert job.status is JobStatus.WAITING
    await desk.begun("a")
    working = await database.run(lambda connection: store.get(connection, job.id))
    assert working is not None and working.status is JobStatus.WORKING
    assert working.started_at == desk.clock.now()
    done = await desk.end(job)
    assert (done.status, done.result, done.progress_percentage) == (JobStatus.DONE, {"by": "a"}, 100)
    assert await database.run(lambda connection: store.get(connection, job.id)) == done


async def test_no_more_jobs_run_than_there_are_workers(desk: Desk) -> None:
    first = await desk.submit("a")
    await desk.submit("b")
    await desk.submit("c")
    await desk.begun("a", "b")
    await desk.end(first)
    await desk.begun("a", "b", "c")


async def test_a_second_job_of_a_pipe_waits_and_others_overtake_it(desk: Desk) -> None:
    first = await desk.submit("a1", pipe="a")
    second = await desk.submit("a2", pipe="a")
    await desk.submit("b")
    await desk.begun("a1", "b")
    assert (await desk.queue.get(second.id)).status is JobStatus.WAITING
    await desk.end(first)
    await desk.begun("a1", "b", "a2")


async def test_too_many_waiting_jobs_are_refused(desk: Desk) -> None:
    for name in ("a", "b", "c", "d", "e"):
        await desk.submit(name)
    with pytest.raises(Busy):
        await desk.submit("f")


async def test_an_unknown_kind_is_refused(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.queue.submit(desk.workspace_id, "knitting", {})


async def test_cancelling_a_waiting_job_is_done_at_once(desk: Desk) -> None:
    for name in ("a", "b"):
        await desk.submit(name)
    waiting = await desk.submit("c")
    assert (await desk.queue.cancel(waiting.id)).status is JobStatus.CANCELLED
    assert (await desk.queue.finished(waiting.id)).status is JobStatus.CANCELLED
    assert "c" not in desk.steps.begun


async def test_cancelling_a_working_job_ends_its_run_and_cleans_up(desk: Desk) -> None:
    job = await desk.submit("a")
    await desk.begun("a")
    assert (await desk.queue.cancel(job.id)).status is JobStatus.CANCELLING
    assert (await desk.queue.finished(job.id)).status is JobStatus.CANCELLED
    assert desk.steps.cleaned == ["a"]


async def test_cancelling_twice_is_not_an_error(desk: Desk) -> None:
    job = await desk.submit("a")
    await desk.begun("a")
    await asyncio.gather(desk.queue.cancel(job.id), desk.queue.cancel(job.id))
    assert (await desk.queue.finished(job.id)).status is JobStatus.CANCELLED


async def test_a_job_that_is_writing_its_result_cannot_be_cancelled(desk: Desk) -> None:
    job = await desk.submit("a")
    await desk.begun("a")
    desk.steps.runs["a"].finalize()
    with pytest.raises(Conflict):
        await desk.queue.cancel(job.id)
    assert (await desk.end(job)).status is JobStatus.DONE


async def test_a_finished_job_cannot_be_cancelled(desk: Desk) -> None:
    job = await desk.submit("a")
    await desk.end(job)
    with pytest.raises(Conflict, match="done"):
        await desk.queue.cancel(job.id)
    with pytest.raises(NotFound):
        await desk.queue.cancel("nobody")


@pytest.mark.parametrize(
    ("failure", "text"),
    [(InvalidInput("No such column.", hint="Look again."), "No such column. Look again."), (KeyError("x"), "KeyError")],
)
async def test_a_failure_is_told_by_the_job(desk: Desk, failure: Exception, text: str) -> None:
    desk.steps.failure = failure
    job = await desk.end(await desk.submit("a"))
    assert job.status is JobStatus.ERROR
    assert text in (job.error or "")
    assert desk.steps.cleaned == ["a"]


async def test_jobs_are_listed_newest_first_and_filtered(desk: Desk) -> None:
    for name in ("a", "b"):
        await desk.submit(name)
        desk.clock.advance(timedelta(minutes=1))
    names = [job.payload["name"] for job in await desk.queue.list(desk.workspace_id)]
    assert names == ["b", "a"]
    for wanted, expected in (
        (JobFilter(pipe_name="a"), ["a"]),
        (JobFilter(pipe_id="b"), ["b"]),
        (JobFilter(kind="import"), []),
        (JobFilter(status="done"), []),
        (JobFilter(created_after=desk.clock.now() - timedelta(seconds=90)), ["b"]),
        (JobFilter(created_before=desk.clock.now() - timedelta(seconds=90)), ["a"]),
    ):
        assert [job.payload["name"] for job in await desk.queue.list(desk.workspace_id, wanted)] == expected
    assert await desk.queue.list("another workspace") == []


async def test_finished_jobs_are_forgotten_after_their_time(desk: Desk) -> None:
    old = await desk.end(await desk.submit("a"))
    desk.clock.advance(timedelta(hours=49))
    await desk.end(await desk.submit("b"))
    assert [job.payload["name"] for job in await desk.queue.list(desk.workspace_id)] == ["b"]
    with pytest.raises(NotFound):
        await desk.queue.get(old.id)


async def test_a_restart_takes_up_what_was_not_finished(desk: Desk, database: Database) -> None:
    working = await desk.submit("a")
    await desk.submit("b")
    waiting = await desk.submit("c")
    await desk.begun("a", "b")
    await desk.steps.runs["a"].keep(half=1)
    await desk.queue.stop()
    desk.steps.begun.clear()
    again = desk.queue = JobQueue(database, desk.clock, {"copy": desk.steps}, workers=3)
    await again.start()
    await desk.begun("a", "b", "c")
    assert desk.steps.runs["a"].resumed and not desk.steps.runs["c"].resumed
    assert (await desk.end(working)).result == {"by": "a", "half": 1}
    assert (await desk.end(waiting)).status is JobStatus.DONE


async def test_a_job_that_was_being_cancelled_is_cancelled_by_the_next_start(desk: Desk, database: Database) -> None:
    job = await desk.submit("a")
    await desk.begun("a")
    await desk.queue.stop()
    cancelling = Job(**{**_fields(job), "status": JobStatus.CANCELLING})
    assert await database.run(lambda connection: store.save(connection, cancelling))
    again = desk.queue = JobQueue(database, desk.clock, {"copy": desk.steps}, workers=1)
    await again.start()
    assert (await again.finished(job.id)).status is JobStatus.CANCELLED
    assert desk.steps.begun == ["a"] and desk.steps.cleaned == ["a"]


async def test_a_job_that_the_version_before_has_left_is_taken_up() -> None:
    database = Database.open("sqlite://")
    migrate(database, MIGRATIONS[:1])
    with database.begin() as connection:
        connection.execute(text("INSERT INTO workspaces VALUES ('w', 'w', 'w_1', 'key', NULL, '2024-05-01 00:00:00')"))
        job = "('j', 'w', 'copy', 'waiting', :time, NULL, :time, :payload, NULL, NULL)"
        payload = '{"name": "old", "pipe_id": "p", "pipe_name": "p"}'
        connection.execute(
            text(f"INSERT INTO jobs VALUES {job}"), {"time": "2024-05-01 00:00:00.0", "payload": payload}
        )
    migrate(database)
    desk = Desk(database)
    await desk.queue.start()
    await desk.begun("old")
    desk.steps.gate("old").set()
    assert (await desk.queue.finished("j")).status is JobStatus.DONE
    await desk.queue.stop()
    database.close()


async def test_a_kind_that_no_longer_exists_fails_at_the_next_start(desk: Desk, database: Database) -> None:
    job = await desk.submit("a")
    await desk.queue.stop()
    again = desk.queue = JobQueue(database, desk.clock, {}, workers=1)
    await again.start()
    assert (await again.get(job.id)).status is JobStatus.ERROR


def _fields(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in Job.__dataclass_fields__}

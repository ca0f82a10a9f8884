"""A workspace of copies on a clock that stands still, with jobs that end as the test says: no engine, no waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from workspaces import desired

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.resources import Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import ManualClock
from birdhouse.deploy.draft import make_draft
from birdhouse.errors import BirdhouseError
from birdhouse.jobs.copy import scheduled_copy
from birdhouse.jobs.job import Job, JobKind
from birdhouse.jobs.queue import JobQueue, Run
from birdhouse.jobs.scheduler import ScheduledKind, Scheduler
from birdhouse.language.datafile.model import NodeKind
from birdhouse.metadata.database import Database

START = datetime(2024, 5, 1, 9, 30, tzinfo=UTC)
TURNS = 12
"""How often the metadata thread gets a turn before nothing more is expected to happen."""


class Runs:
    """A runner that notes what ran. A pipe in `failing` fails, one in `slow` works until its event is set."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.failing: set[str] = set()
        self.slow: dict[str, asyncio.Event] = {}

    def touches(self, job: Job) -> frozenset[str]:
        return frozenset((job.payload["pipe_id"], job.payload["datasource"]["id"]))

    async def run(self, run: Run) -> Mapping[str, Any]:
        name = run.job.payload["pipe_name"]
        time = run.job.payload["parameters"]["job_timestamp"]
        self.ran.append(f"{name} {time[11:16]}")
        if name in self.slow:
            await self.slow[name].wait()
        if name in self.failing:
            raise BirdhouseError("It broke.")
        return {}

    async def clean(self, job: Job) -> None:
        pass


def table(*columns: str) -> str:
    return "SCHEMA >\n" + ",\n".join(f"    `{name}` UInt64" for name in columns or ("a",)) + "\n"


def copy(reads: str, writes: str, schedule: str = "@on-demand", tags: str = "", mode: str = "append") -> str:
    """A copy of everything in `reads`, of several tables with blanks between, into `writes`."""
    sql = " UNION ALL ".join(f"SELECT a FROM {name}" for name in reads.split())
    text = f"NODE n\nSQL >\n    {sql}\n\nTYPE copy\nTARGET_DATASOURCE {writes}\nCOPY_MODE {mode}\n"
    return f"{text}COPY_SCHEDULE {schedule}\n" + (f'TAGS "{tags}"\n' if tags else "")


AFTER = "run_after=upstream"


def project(**pipes: str) -> dict[str, str]:
    """Files of pipes, and of the data sources `raw` and `NAME_ds` for each pipe NAME."""
    files = {f"{name}.pipe": text for name, text in pipes.items()}
    return {"raw.datasource": table(), **{f"{name}_ds.datasource": table() for name in pipes}, **files}


class Timetable:
    def __init__(self, database: Database, *, workers: int = 4, follow_schedules: bool = True) -> None:
        self.database = database
        self.clock = ManualClock(START)
        self.catalog = Catalog(database, self.clock)
        self.runs = Runs()
        self.workers = workers
        self.follow_schedules = follow_schedules
        self.workspace_id = ""
        self.queue, self.scheduler = self._parts()

    def _parts(self) -> tuple[JobQueue, Scheduler]:
        queue = JobQueue(self.database, self.clock, {JobKind.COPY: self.runs}, workers=self.workers)
        kinds = {NodeKind.COPY: ScheduledKind(JobKind.COPY, scheduled_copy)}
        return queue, Scheduler(self.database, self.clock, self.catalog, queue, kinds, is_on=self.follow_schedules)

    async def open(self) -> Timetable:
        self.workspace_id = (await self.catalog.create_workspace("w")).id
        await self.queue.start()
        return self

    @property
    def workspace(self) -> Workspace:
        return self.catalog.workspace(self.workspace_id)

    def pipe(self, name: str) -> Pipe:
        return self.workspace.pipe(name)

    async def push(self, files: dict[str, str]) -> None:
        before = self.workspace
        draft, problems = make_draft(before, desired(files), self.clock.now())
        assert problems == []
        await self.catalog.commit(before, draft.after)
        await self.settle()

    async def delete(self, name: str) -> None:
        before = self.workspace
        await self.catalog.commit(before, before.with_changes((), [before.pipe(name).id]))
        await self.settle()

    async def settle(self) -> list[str]:
        """Looks until nothing changes any more. What has run since the last time, as `name tick`."""
        before = None
        while before != (now := [(job.id, job.status) for job in await self.jobs()]):
            before = now
            await self.scheduler.look()
            for _ in range(TURNS):
                await self.database.run(lambda connection: None)
        ran = list(self.runs.ran)
        self.runs.ran.clear()
        return ran

    async def until(self, time: str) -> list[str]:
        """Lets the clock go on to the minute `HH:MM`, of the next day if need be, and settles."""
        hour, minute = map(int, time.split(":"))
        now = self.clock.now()
        to = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        self.clock.advance((to if to > now else to + timedelta(days=1)) - now)
        return await self.settle()

    async def run_now(self, name: str) -> Job:
        payload = scheduled_copy(self.workspace, self.pipe(name), self.clock.now())
        return await self.scheduler.run_now(self.workspace, self.pipe(name), payload, asked_by="ann")

    async def jobs(self) -> list[Job]:
        return await self.queue.list(self.workspace_id)

    async def waiting(self) -> dict[str, list[str]]:
        """The jobs that wait, by pipe, with whom they wait for and why."""
        return {
            job.payload["pipe_name"]: [f"{wait.name}: {wait.reason}" for wait in job.waits]
            for job in await self.jobs()
            if job.status == "waiting"
        }

    async def restart(self, *, at: str = "") -> list[str]:
        """Another process on the same database."""
        await self.queue.stop()
        if at:
            hour, minute = map(int, at.split(":"))
            now = self.clock.now()
            to = now.replace(hour=hour, minute=minute)
            self.clock.advance((to if to > now else to + timedelta(days=1)) - now)
        self.runs.slow.clear()
        self.queue, self.scheduler = self._parts()
        await self.queue.start()
        return await self.settle()

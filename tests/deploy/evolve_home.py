"""A workspace whose data sources evolve, which can be killed after any statement and opened again as a start does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from jobs.jobs_home import LIMITS, Home, open_home

from birdhouse.catalog.catalog import Catalog
from birdhouse.deploy.apply import finish_interrupted
from birdhouse.deploy.backfill import BackfillRunner, Backfills, backfill_payload
from birdhouse.deploy.deployer import Deployer
from birdhouse.deploy.evolve import Asked, Evolver
from birdhouse.deploy.evolve_job import EvolveRunner, evolve_payload
from birdhouse.deploy.reconcile import drop_scratch_databases, reconcile
from birdhouse.deploy.switch import put_back_interrupted
from birdhouse.engine.protocol import Engine
from birdhouse.jobs import store
from birdhouse.jobs.job import Job, JobKind
from birdhouse.jobs.queue import JobQueue


class Killed(BaseException):
    """As if the process had ended here."""


class EvolveHome:
    def __init__(self, home: Home) -> None:
        self.home = home
        self._register()

    def _register(self) -> None:
        home = self.home
        self.evolver = Evolver(home.gate, home.catalog, home.clock)
        self.backfills = Backfills(home.gate, home.catalog, home.deployer, LIMITS)
        home.runners[JobKind.EVOLVE] = EvolveRunner(home.gate, home.catalog, home.clock, self.evolver, LIMITS)
        home.runners[JobKind.BACKFILL] = BackfillRunner(home.gate, home.catalog, home.clock)

    async def submit(self, name: str, **asked: Any) -> Job:
        wanted = Asked(**asked)
        evolution = await self.evolver.plan(self.home.workspace_id, name, wanted)
        assert not evolution.is_in_place
        return await self.home.queue.submit(self.home.workspace_id, JobKind.EVOLVE, evolve_payload(evolution, wanted))

    async def evolve(self, name: str, **asked: Any) -> Job:
        """The job when it has ended."""
        return await self.home.queue.finished((await self.submit(name, **asked)).id)

    async def finish_backfill(self, name: str, *, fewer: bool = False) -> Job:
        backfill = await self.backfills.state(self.home.workspace_id, name)
        payload = backfill_payload(backfill, fewer=fewer)
        return await self.home.queue.submit(self.home.workspace_id, JobKind.BACKFILL, payload)

    async def killed_after(self, statements: int, job: Job) -> bool:
        """Lets that many statements pass, then none, and takes the place up again. Whether the job was still at it."""
        gate, execute = self.home.gate, type(self.home.gate).execute
        left = statements

        async def mortal(statement: str, /, **options: Any) -> Any:
            nonlocal left
            if left <= 0:
                raise Killed
            left -= 1
            return await execute(gate, statement, **options)

        gate.execute = mortal  # type: ignore[method-assign]
        running = self.home.queue._running
        tasks = [each.task for each in running.values() if each.task]
        await asyncio.gather(*tasks, return_exceptions=True)
        was_at_it = not (await self.stored(job.id)).is_finished
        del gate.execute
        await self.reopen()
        return was_at_it

    async def stored(self, job_id: str) -> Job:
        found = await self.home.database.run(lambda connection: store.get(connection, job_id))
        assert found is not None
        return found

    async def reopen(self) -> None:
        """As a start does it."""
        home = self.home
        with suppress(Killed):
            await home.queue.stop()
        home.catalog = Catalog(home.database, home.clock)
        await home.catalog.load()
        home.deployer = Deployer(home.gate, home.catalog, home.clock)
        home.gate._sides.clear()
        home.gate.layouts = type(home.gate.layouts)()
        jobs = await home.database.run(store.unfinished)
        await drop_scratch_databases(home.gate)
        await put_back_interrupted(home.gate, home.catalog, jobs)
        await finish_interrupted(home.gate, home.catalog, home.workspace)
        await reconcile(home.gate, home.workspace, [job.id for job in jobs])
        self._register()
        home.queue = JobQueue(home.database, home.clock, home.runners, workers=2)
        await home.queue.start()


async def open_evolve_home(engine: Engine) -> EvolveHome:
    return EvolveHome(await open_home(engine))

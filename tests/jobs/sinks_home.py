"""A workspace whose sinks write into a directory and into a real S3 API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from jobs_home import LIMITS, Home
from s3_server import S3Server

from birdhouse.catalog.connections.connections import Connections
from birdhouse.catalog.variables.variables import Variables
from birdhouse.jobs.bucket import Buckets
from birdhouse.jobs.job import Job, JobKind, JobStatus
from birdhouse.jobs.sink import SinkRunner, sink_payload
from birdhouse.metadata.cipher import Cipher

BUCKET = "exports"
CONNECTION = "my_s3"

EVENTS = "SCHEMA >\n    `day` Date,\n    `user` String,\n    `n` UInt32\n\nENGINE MergeTree\nENGINE_SORTING_KEY n\n"


@dataclass
class Sinks:
    home: Home
    exports: Path
    connections: Connections
    variables: Variables
    s3: S3Server | None = None

    async def push(self, sql: str = "SELECT day, user, n FROM events ORDER BY n DESC", **options: str) -> None:
        """One data source, and one sink with these options; `path` is where to."""
        await self.home.push(events=EVENTS, p=sink_pipe(sql, **options))

    async def load(self, rows: int = 10, *, first: int = 0) -> None:
        """Rows of three users and five days."""
        await self.home.load(
            "events",
            f"SELECT toDate('2024-01-30') + number % 5, ['ann', 'bob', 'cem'][1 + number % 3], number + {first} "
            f"FROM numbers({rows})",
        )

    async def submit(self, **parameters: str) -> Job:
        payload = sink_payload(self.home.workspace, "p", parameters, at=self.home.clock.now())
        return await self.home.queue.submit(self.home.workspace_id, JobKind.SINK, payload)

    async def run(self, **parameters: str) -> Job:
        return await self.home.queue.finished((await self.submit(**parameters)).id)

    async def wrote(self, **parameters: str) -> list[str]:
        job = await self.run(**parameters)
        assert job.status is JobStatus.DONE, job.error
        output: list[str] = job.result["output"]
        return output

    def files(self) -> dict[str, bytes]:
        """Everything below the directory of the workspace, what is unfinished included."""
        root = self.exports / "w"
        return {str(each.relative_to(root)): each.read_bytes() for each in sorted(root.rglob("*")) if each.is_file()}

    def stored(self) -> dict[str, bytes]:
        """Every object of the bucket."""
        assert self.s3 is not None
        return {key: self.s3.get(BUCKET, key) for key in self.s3.keys(BUCKET)}

    async def interrupted(self, moment: str, side: str, what: Callable[[str], Awaitable[Any]]) -> Job:
        """A run that stops before or after a statement with that text; then `what` is done with its id."""
        reached, never = asyncio.Event(), asyncio.Event()

        async def hang() -> None:
            reached.set()
            await never.wait()

        getattr(self.home.gate, side)[moment] = hang
        job = await self.submit()
        await reached.wait()
        await what(job.id)
        return await self.home.queue.finished(job.id)


def open_sinks(home: Home, exports: Path) -> Sinks:
    cipher = Cipher(Fernet.generate_key())
    connections = Connections(home.database, home.catalog, cipher, home.clock)
    variables = Variables(home.database, home.catalog, cipher, home.clock)
    buckets = Buckets(home.gate, connections)
    home.runners[JobKind.SINK] = SinkRunner(home.gate, home.catalog, lambda: None, LIMITS, buckets, exports)
    return Sinks(home, exports, connections, variables)


def sink_pipe(sql: str, **options: str) -> str:
    lines = {"service": "s3", "bucket_uri": "file://out", "schedule": "@on-demand", **options}
    written = "\n".join(f"EXPORT_{name.upper()} {value}" for name, value in lines.items())
    return f"NODE n\nSQL >\n    {sql}\n\nTYPE sink\n{written}\n"

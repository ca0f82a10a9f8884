"""Backups: a workspace of one moment, written into a folder by the engine itself, and read back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from birdhouse import __version__
from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import Clock, wire_time
from birdhouse.deploy import ddl
from birdhouse.deploy.check import SCRATCH_PREFIX
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Lane, Limits, Progress, TableName, quote_identifier, quote_string
from birdhouse.errors import BrokenBackup, InvalidParameter, SqlError, StorageFull
from birdhouse.ingest.missed import view_that_missed
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.job import Job
from birdhouse.jobs.queue import Run
from birdhouse.metadata.database import Database
from birdhouse.metadata.rows import Rows, applied_migrations, export_rows
from birdhouse.workspaces.archive import Archives, Backup, Damaged, StoredTable, broken
from birdhouse.workspaces.contents import contents, refuse_damage
from birdhouse.workspaces.snapshot import Snapshot, create_frozen, rows_of

DATABASE = "workspace"
"""What the database is called in every backup."""
PROGRESS_SECONDS = 0.5
FULL_BELOW_BYTES = 4_000_000
"""With less than that free, what went wrong is laid to the disk."""
ROOM_HINT = "Remove backups that nobody needs, or give a new one a base: then only what has changed is written."


def backup_payload(
    archives: Archives, workspace: Workspace, now: str, *, name: str = "", base: str = "", verify: bool = True
) -> dict[str, Any]:
    """What a backup job is asked to do. Raises Conflict for a name that is taken, NotFound for the base."""
    name = name or f"{workspace.name}-{now[:19].replace('-', '').replace(':', '').replace(' ', '-')}"
    archives.refuse_taken(name)
    if base:
        found = archives.get(base)
        if found.workspace_id != workspace.id:
            raise InvalidParameter(f"The backup '{base}' is not one of the workspace '{workspace.name}'.")
    return {"backup": name, "base": base or None, "verify": verify}


class BackupRunner:
    def __init__(
        self,
        engine: WriteGate,
        catalog: Catalog,
        database: Database,
        archives: Archives,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._database = database
        self._archives = archives
        self._clock = clock
        self._limits = limits

    def touches(self, job: Job) -> frozenset[str]:
        return frozenset((f"backup {job.payload['backup']}",))

    async def run(self, run: Run) -> Mapping[str, Any]:
        """An interrupted backup begins again: its moment is that of the last run."""
        if (made := self._made(run.job)) is not None:
            return summary(made)
        payload = run.job.payload
        folder = await asyncio.to_thread(self._archives.begin, run.job.id)
        with self._archives.in_use(payload["base"]):
            backup = await self._written(run, folder)
            if payload["verify"]:
                await self._read_back(run, folder, backup)
                backup = replace(backup, verified_at=wire_time(self._clock.now()))
        await self._drop(run.job)
        run.finalize()
        return summary(await asyncio.to_thread(self._archives.finish, folder, backup))

    def _made(self, job: Job) -> Backup | None:
        """What an earlier run of the job had finished."""
        found = next((each for each in self._archives.all() if each.name == job.payload["backup"]), None)
        return found if isinstance(found, Backup) and found.job_id == job.id else None

    async def _written(self, run: Run, folder: str) -> Backup:
        snapshot = snapshot_database(run.job)
        await self._drop(run.job)
        await self._engine.execute(ddl.create_database(snapshot))
        run.show(stage="copying")
        async with self._catalog.changing(run.job.workspace_id) as workspace:
            name_of = stored_names(workspace)
            taken = Snapshot(
                self._engine,
                workspace.database,
                lambda table: TableName(snapshot, table) if name_of(table) else None,
                make=create_frozen,
            )
            ((moment, rows, migrations), held_seconds) = await taken.take(lambda: self._moment(workspace))
        tables = tuple(
            StoredTable(table, name_of(table) or table, each.rows, each.bytes, each.checksum)
            for table, each in sorted((await contents(self._engine, snapshot)).items())
        )
        backup = Backup(
            name=run.job.payload["backup"],
            job_id=run.job.id,
            workspace_id=workspace.id,
            workspace_name=workspace.name,
            created_at=moment,
            tables=tables,
            migrations=tuple(migrations),
            metadata_sha256=await asyncio.to_thread(self._archives.keep_metadata, folder, rows),
            birdhouse=__version__,
            engine=f"{self._engine.capabilities.name} {self._engine.capabilities.version}",
            base=run.job.payload["base"],
            held_seconds=round(held_seconds, 6),
        )
        await self._write(run, folder, backup, snapshot)
        await self._engine.execute(ddl.drop_database(snapshot))
        return backup

    async def _moment(self, workspace: Workspace) -> tuple[str, Rows, list[int]]:
        moment = wire_time(self._clock.now())
        rows, migrations = await self._database.run(
            lambda connection: (export_rows(connection, workspace.id), applied_migrations(connection))
        )
        return moment, rows, migrations

    async def _write(self, run: Run, folder: str, backup: Backup, snapshot: str) -> None:
        if backup.base is None:  # one with a base needs less than its rows, nobody knows how much less
            refuse_without_room(backup.bytes, self._archives.free_bytes, "The backup was not made.")
        location = self._archives.location(folder)
        base = f" SETTINGS base_backup = {self._archives.location(backup.base)}" if backup.base else ""
        run.show(stage="writing")
        async with watched(self._engine, run, location, backup.bytes):
            await self._engine.execute(
                f"BACKUP DATABASE {quote_identifier(snapshot)} AS {quote_identifier(DATABASE)} TO {location}{base}",
                lane=Lane.JOB,
                limits=self._limits,
            )
        await self._refuse_half(folder, location)

    async def _refuse_half(self, folder: str, location: str) -> None:
        """On a full disk the engine writes empty files and reports success."""
        sql = f"SELECT compressed_size FROM system.backups WHERE name = {quote_string(location)} ORDER BY end_time DESC"
        ((written_bytes,), *_) = await rows_of(self._engine, sql)
        there_bytes = await asyncio.to_thread(self._archives.rows_size_bytes, folder)
        if there_bytes != int(written_bytes):
            raise StorageFull(
                "The disk is full. The backup was not made.",
                detail=f"Of {int(written_bytes)} bytes {there_bytes} could be written.",
                hint=ROOM_HINT,
            )

    async def _read_back(self, run: Run, folder: str, backup: Backup) -> None:
        run.show(stage="verifying")
        database = verified_database(run.job)
        await restore_rows(self._engine, self._archives, run, folder, backup, database, self._limits)
        await self._drop(run.job)

    async def clean(self, job: Job) -> None:
        await self._drop(job)
        await asyncio.to_thread(self._archives.abandon, job.id)

    async def _drop(self, job: Job) -> None:
        for database in (snapshot_database(job), verified_database(job)):
            await self._engine.execute(ddl.drop_database(database))


async def restore_rows(
    engine: Engine, archives: Archives, run: Run, folder: str, backup: Backup, database: str, limits: Limits
) -> None:
    """Makes a database of tables as they were when the backup was made, and refuses it when it is not sound.

    Raises BrokenBackup, or StorageFull.
    """
    what_failed = "Nothing was restored." if folder == backup.name else "The backup could not be read back."
    refuse_without_room(backup.bytes, archives.engine_free_bytes, what_failed)
    location = archives.location(folder)
    await engine.execute(ddl.drop_database(database))
    statement = f"RESTORE DATABASE {quote_identifier(DATABASE)} AS {quote_identifier(database)} FROM {location}"
    try:
        async with watched(engine, run, location, backup.bytes):
            await engine.execute(statement, lane=Lane.JOB, limits=limits)
        await refuse_damage(engine, backup, database, limits)
    except (SqlError, BrokenBackup) as error:
        # A disk that fills up meanwhile leaves files that cannot be read, too.
        refuse_without_room(FULL_BELOW_BYTES, archives.engine_free_bytes, what_failed)
        if isinstance(error, BrokenBackup):
            raise
        raise broken(backup.name, f"the engine cannot read its rows ({_shortened(error.message)})") from error


def refuse_without_room(needed_bytes: int, free_bytes: int, what_failed: str) -> None:
    if needed_bytes > free_bytes:
        raise StorageFull(
            f"There is not enough room on the disk. {what_failed}",
            detail=f"It needs {needed_bytes} bytes, and {free_bytes} are free.",
            hint=ROOM_HINT,
        )


def _shortened(text: str, characters_max: int = 300) -> str:
    line = text.splitlines()[0] if text else "for an unknown reason"
    return line if len(line) <= characters_max else f"{line[:characters_max]}…"


@asynccontextmanager
async def watched(engine: Engine, run: Run, location: str, bytes_total: int) -> AsyncIterator[None]:
    """Tells the job how far the engine is with a backup or restore that runs in the body."""
    sql = (
        "SELECT toUInt64(greatest(uncompressed_size, bytes_read)) FROM system.backups "
        f"WHERE name = {quote_string(location)} AND status IN ('CREATING_BACKUP', 'RESTORING') LIMIT 1"
    )

    async def watch() -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            for (done,) in await rows_of(engine, sql):
                run.progress(Progress(rows_read=int(done), bytes_read=int(done), total_rows=bytes_total))

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def snapshot_database(job: Job) -> str:
    """Its prefix has a start drop it when nobody else does."""
    return f"{SCRATCH_PREFIX}snapshot_{job.id.replace('-', '')}"


def verified_database(job: Job) -> str:
    return f"{SCRATCH_PREFIX}restored_{job.id.replace('-', '')}"


def stored_names(workspace: Workspace) -> Callable[[str], str | None]:
    """Says of a table what people call it; None when it is no part of the workspace but somebody's work."""
    names: dict[str, str] = {}
    for each in workspace.datasources():
        for table in (each.table, each.quarantine):
            names[table.table] = workspace.name_of(table)
    pipes = {pipe.view.table: pipe.name for pipe in workspace.pipes() if pipe.view is not None}

    def name_of(table: str) -> str | None:
        view = view_that_missed(table)
        return f"rows that {pipes[view]} missed" if view in pipes else names.get(table)

    return name_of


def summary(backup: Backup | Damaged) -> dict[str, Any]:
    """What an answer says of a backup."""
    if isinstance(backup, Damaged):
        return {"name": backup.name, "damaged": backup.reason}
    return {
        "name": backup.name,
        "created_at": backup.created_at,
        "workspace": {"id": backup.workspace_id, "name": backup.workspace_name},
        "base": backup.base,
        "tables": len(backup.tables),
        "rows": backup.rows,
        "bytes": backup.bytes,
        "size_bytes": backup.size_bytes,
        "held_seconds": backup.held_seconds,
        "verified_at": backup.verified_at,
        "birdhouse": backup.birdhouse,
        "engine": backup.engine,
    }

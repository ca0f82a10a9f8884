"""Builds the parts and connects them; nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx

from birdhouse.access.authenticate import Authenticator
from birdhouse.access.store import FixedTokens, TokenOrigin, TokenStore
from birdhouse.api.parts import Parts
from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.connections.connections import Connections
from birdhouse.catalog.tags import Tags
from birdhouse.catalog.variables.variables import Variables
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import Clock, SystemClock
from birdhouse.deploy.apply import finish_interrupted
from birdhouse.deploy.backfill import BackfillRunner, Backfills
from birdhouse.deploy.deployer import SERVICE_WORKSPACE, Deployer
from birdhouse.deploy.evolve import Evolver
from birdhouse.deploy.evolve_job import EvolveRunner
from birdhouse.deploy.project import deploy_project
from birdhouse.deploy.reconcile import drop_scratch_databases, reconcile
from birdhouse.deploy.releases import Releases
from birdhouse.deploy.switch import put_back_interrupted
from birdhouse.engine.chdb import ChdbConfig
from birdhouse.engine.connect import open_engine
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Limits
from birdhouse.errors import CannotStart
from birdhouse.ingest.batch import Batches
from birdhouse.ingest.delivery import Delivery, ViewFailure
from birdhouse.ingest.events import Encoders, Events
from birdhouse.ingest.files import Files
from birdhouse.ingest.record import failed_view
from birdhouse.ingest.replace import Replacements
from birdhouse.jobs import store as job_store
from birdhouse.jobs.bucket import Buckets
from birdhouse.jobs.copy import CopyRunner, scheduled_copy
from birdhouse.jobs.delete import DeleteRunner
from birdhouse.jobs.folder import drop_unfinished
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.imports import ImportRunner
from birdhouse.jobs.job import JobKind
from birdhouse.jobs.populate import PopulateRunner
from birdhouse.jobs.queue import JobQueue, Runner
from birdhouse.jobs.records import JobRecords, note_lost_ends
from birdhouse.jobs.repair import RepairRunner, submit_repairs
from birdhouse.jobs.replay import ReplayRunner
from birdhouse.jobs.scheduler import ScheduledKind, Scheduler
from birdhouse.jobs.sink import SinkRunner, scheduled_sink
from birdhouse.jobs.sql_copy import SqlCopyRunner
from birdhouse.language.datafile.model import NodeKind
from birdhouse.metadata.cipher import KEY_FILE, Cipher
from birdhouse.metadata.database import Database
from birdhouse.metadata.migrate import migrate
from birdhouse.query.run import QueryRunner
from birdhouse.settings import Settings
from birdhouse.usage.definitions import service_datafiles
from birdhouse.usage.event_appends import EventAppends
from birdhouse.usage.operations import Operation
from birdhouse.usage.recorder import Recorder
from birdhouse.usage.storage import StorageSamples
from birdhouse.usage.triggers import Triggers
from birdhouse.usage.workspaces import KnownWorkspace, known
from birdhouse.workspaces.archive import Archives
from birdhouse.workspaces.backup import BackupRunner
from birdhouse.workspaces.bring import BringRunner
from birdhouse.workspaces.clone import Cloner, CloneRunner
from birdhouse.workspaces.hosting import Hosting
from birdhouse.workspaces.regression import RegressionRunner
from birdhouse.workspaces.restore import RestoreRunner

BACKUPS = "backups"


@asynccontextmanager
async def open_parts(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Parts]:
    """Everything a server needs, opened in order and closed in reverse. Raises CannotStart."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        _make_directory(settings.data_dir / "files")
        _make_directory(settings.data_dir / BACKUPS)
        engine = _engine(settings)
        stack.push_async_callback(engine.close)
        _empty(settings.data_dir / "files")
        _archives(settings).clean()
        database = Database.open(settings.metadata_database_url)
        stack.callback(database.close)
        migrate(database)
        http = await stack.enter_async_context(httpx.AsyncClient(follow_redirects=True))
        parts = _parts(settings, clock, engine, database, http)
        await _prepare(parts)
        parts.recorder.start()
        stack.push_async_callback(parts.recorder.stop)
        parts.storage_samples.start()
        stack.push_async_callback(parts.storage_samples.stop)
        await parts.jobs.start()
        for workspace in parts.catalog.workspaces():
            await submit_repairs(engine, parts.jobs, workspace)
        stack.push_async_callback(parts.jobs.stop)
        parts.scheduler.start()
        stack.push_async_callback(parts.scheduler.stop)
        stack.push_async_callback(parts.batches.close)
        yield parts


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise CannotStart(
            "The data directory cannot be written to.",
            detail=f"({path.parent.absolute()}: {error.strerror})",
            hint="Make it a directory this user may write to, or choose another one with --data-dir.",
        ) from error


def _empty(directory: Path) -> None:
    """Of the uploads that a kill interrupted."""
    for file in directory.glob("upload-*"):
        file.unlink(missing_ok=True)


def _engine(settings: Settings) -> Engine:
    limits = Limits(
        seconds=settings.query_seconds_max,
        memory_bytes=settings.query_memory_bytes_max,
        result_rows=settings.query_result_rows_max or None,
        result_bytes=settings.query_result_bytes_max,
        rows_to_read=settings.query_rows_to_read_max or None,
    )
    config = ChdbConfig(
        memory_bytes_max=settings.engine_memory_bytes_max,
        read_workers=settings.read_workers,
        write_workers=settings.write_workers,
        job_workers=settings.job_workers,
        compiles=settings.compile_queries,
        backups_path=settings.data_dir / BACKUPS,
        read_limits=limits,
        # A stream is read as fast as its client takes it and holds no more than a few chunks.
        stream_limits=replace(limits, seconds=settings.stream_seconds_max, result_bytes=None),
    )
    return open_engine(settings.data_dir / "engine", embedded=config)


def _archives(settings: Settings) -> Archives:
    return Archives(settings.data_dir / BACKUPS, settings.data_dir / "engine")


def _parts(settings: Settings, clock: Clock, engine: Engine, database: Database, http: httpx.AsyncClient) -> Parts:
    fixed = FixedTokens(
        settings.workspace_name,
        {TokenOrigin.WORKSPACE_ADMIN: settings.workspace_admin_token, TokenOrigin.USER: settings.user_token},
    )
    tokens = TokenStore(database, clock, fixed)
    cipher = Cipher.open(settings.data_dir / KEY_FILE)
    catalog = Catalog(database, clock, on_loss=tokens.changed, cipher=cipher)

    def services() -> Workspace | None:
        return catalog.named(SERVICE_WORKSPACE)

    def workspaces() -> list[Workspace]:
        return [each for each in catalog.workspaces() if each.name != SERVICE_WORKSPACE]

    recorder = Recorder(engine, services, is_on=settings.usage_recorded)
    event_appends = EventAppends(clock)
    recorder.ask(event_appends.operations)
    recorder.follow(Operation, Triggers(engine, catalog).follow)
    storage_samples = StorageSamples(
        engine, workspaces, clock, recorder.note, interval_seconds=settings.storage_sample_seconds
    )
    connections = Connections(database, catalog, cipher, clock)
    gate = WriteGate(engine)
    buckets = Buckets(gate, connections)

    async def repair(workspace: Workspace, pipes: Collection[str]) -> None:
        await submit_repairs(engine, jobs, workspace, pipes)

    deployer = Deployer(gate, catalog, clock, recorder.note, repair)
    encoders = Encoders()

    def note_failed_view(failure: ViewFailure) -> None:
        recorder.note(failed_view(failure, clock.now()))

    delivery = Delivery(gate, catalog, note_failed_view)
    batches = Batches(
        delivery,
        batch_rows_max=settings.insert_batch_rows_max,
        batch_bytes_max=settings.insert_batch_bytes_max,
        queued_bytes_max=settings.insert_queued_bytes_max,
    )
    files = Files(gate, settings.data_dir / "files", delivery)
    archives = _archives(settings)
    evolver = Evolver(engine, catalog, clock)

    limits = Limits(seconds=settings.job_seconds_max, memory_bytes=settings.job_memory_bytes_max)
    replacements = Replacements(gate, catalog, limits)
    runners: dict[str, Runner] = {
        JobKind.COPY: CopyRunner(gate, catalog, services, limits, delivery),
        JobKind.POPULATE: PopulateRunner(gate, catalog, services, limits, deployer.unlink),
        JobKind.REPAIR: RepairRunner(gate, catalog, limits),
        JobKind.IMPORT: ImportRunner(
            gate,
            catalog,
            services,
            files,
            replacements,
            http,
            size_bytes_max=settings.upload_bytes_max,
            clock=clock,
            note=recorder.note,
        ),
        JobKind.DELETE: DeleteRunner(gate, catalog, services, limits),
        JobKind.BACKUP: BackupRunner(gate, catalog, database, archives, clock, limits),
        JobKind.RESTORE: RestoreRunner(gate, catalog, archives, clock, limits, recorder.note),
        JobKind.EVOLVE: EvolveRunner(gate, catalog, clock, evolver, limits, recorder.note),
        JobKind.BACKFILL: BackfillRunner(gate, catalog, clock),
        JobKind.CLONE: CloneRunner(Cloner(gate, catalog, database, clock, recorder.note), gate, catalog),
        JobKind.REPLAY: ReplayRunner(gate, catalog, limits, delivery, clock, recorder.note),
        JobKind.BRANCH_DATA: BringRunner(gate, catalog),
        JobKind.REGRESSION: RegressionRunner(gate, catalog, services, limits),
        JobKind.QUERY: SqlCopyRunner(gate, catalog, services, limits, delivery),
        JobKind.SINK: SinkRunner(gate, catalog, services, limits, buckets, settings.exports_directory),
    }
    jobs = JobQueue(
        database,
        clock,
        runners,
        workers=settings.job_workers,
        kept_hours=settings.jobs_kept_hours,
        observe=JobRecords(recorder.note).observe,
    )
    tags = Tags(database)
    scheduled = {
        NodeKind.COPY: ScheduledKind(JobKind.COPY, scheduled_copy),
        NodeKind.SINK: ScheduledKind(JobKind.SINK, scheduled_sink),
    }
    return Parts(
        settings=settings,
        clock=clock,
        engine=engine,
        database=database,
        catalog=catalog,
        tags=tags,
        connections=connections,
        buckets=buckets,
        variables=Variables(database, catalog, cipher, clock),
        tokens=tokens,
        authenticator=Authenticator(tokens, clock),
        runner=QueryRunner(engine, services, sql_bytes_max=settings.sql_bytes_max),
        batches=batches,
        events=Events(batches, encoders, body_bytes_max=settings.event_body_bytes_max),
        files=files,
        replacements=replacements,
        jobs=jobs,
        scheduler=Scheduler(database, clock, catalog, jobs, scheduled, is_on=settings.follow_schedules),
        deployer=deployer,
        recorder=recorder,
        event_appends=event_appends,
        storage_samples=storage_samples,
        archives=archives,
        layouts=gate.layouts,
        evolver=evolver,
        backfills=Backfills(engine, catalog, deployer, limits),
        releases=Releases(database, catalog, deployer, tokens, tags, clock),
        hosting=Hosting(gate, catalog, tokens, jobs, clock, recorder.note),
    )


async def _prepare(parts: Parts) -> None:
    """Loads what exists, puts right what an interrupted change left, and makes what a first start needs."""
    await parts.catalog.load()
    for name in (SERVICE_WORKSPACE, parts.settings.workspace_name):
        if parts.catalog.named(name) is None:
            await parts.catalog.create_workspace(name)
    await drop_scratch_databases(parts.engine)
    jobs = await parts.database.run(job_store.unfinished)
    unfinished_jobs = [job.id for job in jobs]
    drop_unfinished(parts.settings.exports_directory, unfinished_jobs)
    await put_back_interrupted(parts.engine, parts.catalog, jobs)
    for workspace in parts.catalog.workspaces():
        await finish_interrupted(parts.engine, parts.catalog, workspace)
        await reconcile(parts.engine, workspace, unfinished_jobs)
        if workspace.name != SERVICE_WORKSPACE:
            await parts.tokens.create_defaults(workspace.id)
            parts.recorder.note(await _known(parts, workspace))
    services = parts.catalog.named(SERVICE_WORKSPACE)
    assert services is not None
    services = await _services_of_today(parts, services)
    await note_lost_ends(parts.database, parts.engine, services, parts.recorder.note)


async def _services_of_today(parts: Parts, services: Workspace) -> Workspace:
    """With the datafiles of this version. Most starts find them there, and save the time to look closer."""
    files = dict(service_datafiles())
    if {each.text for each in services.resources.values()} >= set(files.values()):
        return services
    return (await deploy_project(parts.deployer, parts.tokens, parts.tags, services.id, files)).workspace


async def _known(parts: Parts, workspace: Workspace) -> KnownWorkspace:
    """A workspace is as old as the token that was made with it."""
    admin = await parts.tokens.default(workspace.id, TokenOrigin.ADMIN)
    return known(workspace, admin.created_at if admin else parts.clock.now())

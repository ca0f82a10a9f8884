"""What the routes work with. `app.py` builds it."""

from __future__ import annotations

from dataclasses import dataclass

from birdhouse.access.authenticate import Authenticator
from birdhouse.access.store import TokenStore
from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.connections.connections import Connections
from birdhouse.catalog.tags import Tags
from birdhouse.catalog.variables.variables import Variables
from birdhouse.clock import Clock
from birdhouse.deploy.backfill import Backfills
from birdhouse.deploy.deployer import Deployer
from birdhouse.deploy.evolve import Evolver
from birdhouse.deploy.releases import Releases
from birdhouse.engine.protocol import Engine
from birdhouse.ingest.batch import Batches
from birdhouse.ingest.events import Events
from birdhouse.ingest.files import Files
from birdhouse.ingest.layout import Layouts
from birdhouse.ingest.replace import Replacements
from birdhouse.jobs.bucket import Buckets
from birdhouse.jobs.queue import JobQueue
from birdhouse.jobs.scheduler import Scheduler
from birdhouse.metadata.database import Database
from birdhouse.query.run import QueryRunner
from birdhouse.settings import Settings
from birdhouse.usage.event_appends import EventAppends
from birdhouse.usage.recorder import Recorder
from birdhouse.usage.storage import StorageSamples
from birdhouse.workspaces.archive import Archives
from birdhouse.workspaces.hosting import Hosting


@dataclass(frozen=True, slots=True)
class Parts:
    settings: Settings
    clock: Clock
    engine: Engine
    database: Database
    catalog: Catalog
    tags: Tags
    connections: Connections
    buckets: Buckets
    variables: Variables
    tokens: TokenStore
    authenticator: Authenticator
    runner: QueryRunner
    batches: Batches
    events: Events
    files: Files
    replacements: Replacements
    jobs: JobQueue
    scheduler: Scheduler
    deployer: Deployer
    recorder: Recorder
    event_appends: EventAppends
    storage_samples: StorageSamples
    archives: Archives
    layouts: Layouts
    evolver: Evolver
    backfills: Backfills
    hosting: Hosting
    releases: Releases

"""Makes and removes workspaces while the server runs."""

from __future__ import annotations

from birdhouse.access.store import TokenStore
from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.shares.readers import refuse_while_read_elsewhere
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import Clock
from birdhouse.deploy import ddl
from birdhouse.errors import Conflict, NameTaken
from birdhouse.jobs.gate import WriteGate
from birdhouse.jobs.queue import JobQueue
from birdhouse.usage.row import Note, not_recorded
from birdhouse.usage.workspaces import known
from birdhouse.workspaces.names import refuse_workspace_name


class Hosting:
    def __init__(
        self,
        engine: WriteGate,
        catalog: Catalog,
        tokens: TokenStore,
        jobs: JobQueue,
        clock: Clock,
        note: Note = not_recorded,
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._tokens = tokens
        self._jobs = jobs
        self._clock = clock
        self._note = note

    async def create(self, name: str) -> Workspace:
        """An empty workspace with tokens of its own. Raises InvalidParameter, NameTaken."""
        refuse_workspace_name(name)
        if self._catalog.named(name) is not None:
            raise NameTaken(f"There is already a workspace '{name}'", hint="Choose another name.")
        workspace = await self._catalog.create_workspace(name)
        await self._engine.execute(ddl.create_database(workspace.database))
        await self._tokens.create_defaults(workspace.id)
        self._note(known(workspace, self._clock.now()))
        return workspace

    async def remove(self, workspace: Workspace) -> None:
        """The workspace with all its rows, and before it its branches. Its jobs are cancelled; its backups stay."""
        for datasource in workspace.datasources():
            refuse_while_read_elsewhere(self._catalog, datasource, "deleted")
        for branch in self._catalog.branches(workspace.id):
            await self.remove(branch)
        await self._jobs.end_all(workspace.id)
        async with self._catalog.changing(workspace.id) as now, self._engine.held(now.database):
            if self._catalog.branches(now.id):
                raise Conflict(f"A branch of '{now.name}' was made meanwhile.", hint="Delete the workspace again.")
            await self._catalog.remove(now)
            self._engine.retire(now.database)
        await self._jobs.end_all(workspace.id)
        await self._engine.execute(ddl.drop_database(workspace.database))

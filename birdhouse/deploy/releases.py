"""Releases: the commits of a project that a workspace has had, each with its datafiles, so that it can go back.

The client sets one after each `tb deploy`: it is live then, and the one before can be rolled back to.
"""

from __future__ import annotations

from birdhouse.access.store import TokenStore
from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.releases import store
from birdhouse.catalog.releases.release import Release, ReleaseStatus
from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.tags import Tags
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import Clock
from birdhouse.deploy.deployer import Deployer
from birdhouse.deploy.project import deploy_project
from birdhouse.errors import Conflict, InvalidParameter, NotFound
from birdhouse.metadata.database import Database, Transaction
from birdhouse.metadata.identifiers import new_id

FIRST = "0.0.0"
KEPT_MAX = 20
"""How many releases of a workspace are remembered; the oldest go."""
COMMIT_CHARACTERS_MAX = 100


class Releases:
    def __init__(
        self, database: Database, catalog: Catalog, deployer: Deployer, tokens: TokenStore, tags: Tags, clock: Clock
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._deployer = deployer
        self._tokens = tokens
        self._tags = tags
        self._clock = clock

    async def list(self, workspace_id: str) -> list[Release]:
        """Newest first."""
        return await self._database.run(lambda connection: store.load(connection, workspace_id))

    async def live(self, workspace_id: str) -> Release | None:
        return await self._database.run(lambda connection: store.load_live(connection, workspace_id))

    async def set(self, workspace_id: str, commit: str) -> Release:
        """What the workspace has now is that commit; releases that were rolled back go. Raises InvalidParameter."""
        if not commit or len(commit) > COMMIT_CHARACTERS_MAX:
            raise InvalidParameter(f"{commit!r} is not a commit")
        before = await self.live(workspace_id)
        release = Release(
            new_id(),
            before.semver if before else FIRST,
            commit,
            ReleaseStatus.LIVE,
            self._clock.now(),
            _datafiles(self._catalog.workspace(workspace_id)),
        )

        def save(connection: Transaction) -> None:
            found = store.load(connection, workspace_id)
            # Releases newer than the live one were rolled back: the next rollback must not lead to them.
            live = next((place for place, each in enumerate(found) if each.status is ReleaseStatus.LIVE), 0)
            for gone in [*found[:live], *found[live + KEPT_MAX - 1 :]]:
                store.delete(connection, gone.id)
            store.add(connection, workspace_id, release)
            store.make_live(connection, workspace_id, release.id)

        await self._database.run(save)
        return release

    async def rename(self, workspace_id: str, semver: str, new_semver: str) -> Release:
        release = await self._named(workspace_id, semver)
        if not new_semver:
            raise InvalidParameter("A release needs a version")
        await self._database.run(lambda connection: store.rename(connection, release.id, new_semver))
        return await self._named(workspace_id, new_semver)

    async def roll_back(self, workspace_id: str) -> Release:
        """Deploys the datafiles of the release before the live one, which is live then.

        Resources that have come since stay. Raises Conflict without such a release, and DeploymentRefused when a data
        source cannot go back in place; nothing is changed then.
        """
        found = await self.list(workspace_id)
        live = next((place for place, each in enumerate(found) if each.status is ReleaseStatus.LIVE), -1)
        if live < 0 or live + 1 == len(found):
            raise Conflict("There is no release to roll back to", hint="Deploy the commit of before.")
        target = found[live + 1]
        await deploy_project(self._deployer, self._tokens, self._tags, workspace_id, target.datafiles)
        await self._database.run(lambda connection: store.make_live(connection, workspace_id, target.id))
        return await self._named(workspace_id, target.semver)

    async def remove(self, workspace_id: str, semver: str, *, dry_run: bool = False) -> Release:
        """Forgets one that is not live, of several of that version the oldest. Raises NotFound, or Conflict."""
        await self._named(workspace_id, semver)
        named = [each for each in await self.list(workspace_id) if each.semver == semver]
        release = next((each for each in reversed(named) if each.status is not ReleaseStatus.LIVE), None)
        if release is None:
            raise Conflict(f"The release '{semver}' is live", hint="Roll back first, or keep it.")
        if not dry_run:
            await self._database.run(lambda connection: store.delete(connection, release.id))
        return release

    async def _named(self, workspace_id: str, semver: str) -> Release:
        for each in await self.list(workspace_id):
            if each.semver == semver:
                return each
        raise NotFound(f"Release '{semver}' not found", hint="`tb release ls` lists those of the workspace.")


def _datafiles(workspace: Workspace) -> dict[str, str]:
    return {
        f"datasources/{each.definition.name}.datasource"
        if isinstance(each, DataSource)
        else f"pipes/{each.definition.name}.pipe": each.text
        for each in workspace.resources.values()
    }

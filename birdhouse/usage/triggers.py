"""Which views an insert triggers, as the engine knows it."""

from __future__ import annotations

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.resources import DataSource, Pipe
from birdhouse.catalog.views import load_views
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.protocol import Engine
from birdhouse.errors import NotFound
from birdhouse.usage.operations import Operation, triggered

_Views = dict[str, list[tuple[Pipe, DataSource]]]
"""Id of a data source to the views that run when rows come into it, with their targets."""


class Triggers:
    """The engine is asked once for each version of a workspace."""

    def __init__(self, engine: Engine, catalog: Catalog) -> None:
        self._engine = engine
        self._catalog = catalog
        self._known: dict[str, tuple[int, _Views]] = {}

    async def follow(self, operation: Operation) -> list[Operation]:
        """An insert as each of the views saw it that it triggered, directly or through the target of another."""
        if not operation.triggers_views:
            return []
        try:
            workspace = self._catalog.workspace(operation.workspace_id)
        except NotFound:
            return []
        views = _reached(await self._views(workspace), operation.datasource_id)
        # A view that was made since has not seen the rows.
        return triggered(operation, [each for each in views if each[0].created_at <= operation.timestamp])

    async def _views(self, workspace: Workspace) -> _Views:
        version, views = self._known.get(workspace.id, (-1, {}))
        if version != workspace.version:
            views = await self._asked(workspace)
            self._known[workspace.id] = (workspace.version, views)
        return views

    async def _asked(self, workspace: Workspace) -> _Views:
        found: _Views = {}
        if any(pipe.view is not None for pipe in workspace.pipes()):
            for view in await load_views(self._engine, workspace):
                both = workspace.pipe(view.pipe), workspace.datasource(view.target.table)
                found.setdefault(view.source.table, []).append(both)
        return found


def _reached(views: _Views, datasource_id: str) -> list[tuple[Pipe, DataSource]]:
    found: dict[str, tuple[Pipe, DataSource]] = {}
    waiting = [datasource_id]
    while waiting:
        for pipe, target in views.get(waiting.pop(0), []):
            if pipe.id not in found:
                found[pipe.id] = (pipe, target)
                waiting.append(target.id)
    return list(found.values())

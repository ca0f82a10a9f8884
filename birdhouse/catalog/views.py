"""The materialized views of a workspace as the engine has them: which table's inserts trigger which view."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from birdhouse.catalog.resources import Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query, TableName, quote_string


@dataclass(frozen=True, slots=True)
class View:
    """Each block that is inserted into `source` goes through `select`, and the result into `target`."""

    pipe: str
    """The name of the pipe it belongs to."""
    name: TableName
    source: TableName
    target: TableName
    select: str
    """Over physical tables."""


async def load_views(engine: Engine, workspace: Workspace) -> tuple[View, ...]:
    """In the order of the names of their pipes. Only the engine knows for sure which of the tables is the leftmost."""
    sources = await trigger_sources(engine, workspace.database)
    found = []
    for pipe in sorted(workspace.pipes(), key=lambda each: each.name):
        target = workspace.resources.get(pipe.target or "")
        if pipe.view is not None and target is not None and (source := sources.get(pipe.view.table)):
            found.append(_view(workspace, pipe, source))
    return tuple(found)


def _view(workspace: Workspace, pipe: Pipe, source: TableName) -> View:
    assert pipe.view is not None and pipe.target is not None
    return View(pipe.name, pipe.view, source, workspace.datasource(pipe.target).table, pipe.view_select)


async def trigger_sources(engine: Engine, database: str) -> dict[str, TableName]:
    """Of each view of the database, by the view's name in the engine."""
    sql = (
        "SELECT dependencies_table, database, name FROM system.tables "
        f"WHERE database = {quote_string(database)} AND notEmpty(dependencies_table)"
    )
    result = await engine.select(Query(sql, "JSONCompactEachRow"))
    rows = [orjson.loads(line) for line in result.body.splitlines()]
    return {view: TableName(of, name) for views, of, name in rows for view in views}


def triggered_by(views: Iterable[View], source: TableName) -> list[View]:
    return [view for view in views if view.source == source]


def downstream(views: Iterable[View], root: TableName) -> list[View]:
    """The views that an insert into the table triggers, directly or through the targets of others; nearest first."""
    views = tuple(views)
    found: list[View] = []
    waiting = [root]
    seen = {root}
    while waiting:
        for view in triggered_by(views, waiting.pop(0)):
            found.append(view)
            if view.target not in seen:
                seen.add(view.target)
                waiting.append(view.target)
    return found

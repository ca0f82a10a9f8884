"""`/v0/datasources/NAME/share`: lets other workspaces read a data source, and ends that."""

from __future__ import annotations

from starlette.responses import Response

from birdhouse.api.call import Call, required
from birdhouse.api.responses import json_response
from birdhouse.api.workspaces import require_user, visible
from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.shares.readers import refuse_while_read_elsewhere
from birdhouse.catalog.workspace import Workspace
from birdhouse.errors import InvalidInput, NotFound


async def create(call: Call) -> Response:
    """The workspace `destination_workspace_id` may read it as `origin.NAME` from now on. Only the user token may."""
    origin, datasource, reader = await _asked(call)
    await call.parts.catalog.share(origin.id, datasource.id, reader.id)
    return json_response(_share_json(origin, datasource, reader))


async def delete(call: Call) -> Response:
    """Raises InUse while pipes of that workspace read it."""
    origin, datasource, reader = await _asked(call)
    refuse_while_read_elsewhere(call.parts.catalog, datasource, "unshared", [reader])
    await call.parts.catalog.unshare(origin.id, datasource.id, reader.id)
    return json_response(_share_json(origin, datasource, reader))


async def settle_shares(call: Call, workspace: Workspace) -> list[str]:
    """Shares what SHARED_WITH says, if the caller may; answers what is not shared as written, with the way to do it."""
    notes: list[str] = []
    if workspace.main_id is not None:
        return notes
    for datasource in workspace.datasources():
        there = {each.name for each in call.parts.catalog.readers_of(datasource)}
        for name in datasource.definition.shared_with:
            reader = next((each for each in visible(call) if name == each.name and each.main_id is None), None)
            if name in there or name == workspace.name:
                continue
            if reader is not None and call.grants.is_user:
                await call.parts.catalog.share(workspace.id, datasource.id, reader.id)
                continue
            notes.append(
                f"'{datasource.name}' is not shared with '{name}' yet: that takes the user token and a workspace of "
                f"that name. tb datasource share {datasource.name} {name} --user_token …"
            )
    return notes


async def _asked(call: Call) -> tuple[Workspace, DataSource, Workspace]:
    """The workspace of the data source, the data source, and who is to read it. Raises Forbidden, NotFound."""
    require_user(call, "share data sources")
    values = await call.form()
    origin = _named(call, values.get("origin_workspace_id") or call.workspace.id)
    reader = _named(call, required(values.get("destination_workspace_id"), "destination_workspace_id"))
    datasource = origin.datasource(call.name)
    if reader.id == origin.id:
        raise InvalidInput(f"The Data Source '{datasource.name}' is in the workspace '{origin.name}' already")
    for each in (origin, reader):
        if each.main_id is not None:
            raise InvalidInput(
                f"'{each.name}' is a branch: data sources are shared between workspaces",
                hint="A branch reads what is shared with its main workspace.",
            )
    return origin, datasource, reader


def _named(call: Call, name_or_id: str) -> Workspace:
    found = next((each for each in visible(call) if name_or_id in (each.id, each.name)), None)
    if found is None:
        raise NotFound(f"Workspace '{name_or_id}' not found")
    return found


def _share_json(origin: Workspace, datasource: DataSource, reader: Workspace) -> dict[str, str]:
    return {
        "datasource_id": datasource.id,
        "name": f"{origin.name}.{datasource.name}",
        "origin_workspace_id": origin.id,
        "destination_workspace_id": reader.id,
    }

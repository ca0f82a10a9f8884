"""`/v0/deployments`: a whole project at once."""

from __future__ import annotations

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call
from birdhouse.api.responses import json_response
from birdhouse.api.shares import settle_shares
from birdhouse.deploy.project import deploy_project
from birdhouse.errors import BirdhouseError, InvalidInput
from birdhouse.usage.releases import Release


async def create(call: Call) -> Response:
    """Deploys a project, `{"files": {"datasources/events.datasource": text, …}}`: all of it or nothing.

    Includes are expanded already. Answers the steps in words; with `dry_run=true` those that would be taken. `commit`
    is kept with the deployment in `tinybird.releases_log`.
    """
    require(call.grants.may_create_datasource())
    require(call.grants.may_create_pipe())
    require(call.grants.may_manage_tokens())
    content = await call.json()
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        raise InvalidInput('The body must be {"files": {"path": "text of the datafile"}}')
    dry_run = call.flag("dry_run")
    parts = call.parts
    try:
        deployment = await deploy_project(
            parts.deployer,
            parts.tokens,
            parts.tags,
            call.workspace.id,
            files,
            grants=call.grants,
            connections=parts.connections,
            dry_run=dry_run,
        )
    except BirdhouseError as error:
        if not dry_run:
            _note(call, str(error))
        raise
    if not dry_run:
        _note(call)
    shares = [] if dry_run else await settle_shares(call, parts.catalog.workspace(call.workspace.id))
    notes = [*deployment.pending, *map(str, deployment.notes), *shares]
    return json_response({"steps": deployment.steps, "notes": notes, "dry_run": dry_run, "files": len(files)})


def _note(call: Call, error: str = "") -> None:
    call.parts.recorder.note(
        Release(
            workspace_id=call.workspace.id,
            timestamp=call.parts.clock.now(),
            event_type="deploy",
            commit=call.text("commit"),
            token=call.grants.token_id,
            token_name=call.grants.token_name,
            error=error,
        )
    )

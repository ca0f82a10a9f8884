"""`/v0/workspaces/NAME/releases`: which commit of a project the workspace has, and back to the one before."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call, required
from birdhouse.api.responses import json_response
from birdhouse.catalog.releases.release import Release, ReleaseStatus
from birdhouse.clock import wire_time
from birdhouse.errors import InvalidInput, NotFound
from birdhouse.usage.releases import Release as ReleaseRow

NO_PREVIEW = "Make a branch to try a change, and deploy the change to the workspace then."


async def index(call: Call) -> Response:
    """The releases, newest first."""
    workspace_id = _own(call)
    return json_response({"releases": [_release_json(each) for each in await call.parts.releases.list(workspace_id)]})


async def create(call: Call) -> Response:
    """What the workspace has now is the `commit`: its datafiles are kept, to come back to. Refused with a `semver`."""
    require(call.grants.may_administer())
    workspace_id = _own(call)
    values = await call.form()
    if values.get("semver"):
        raise InvalidInput("There is one live release: no other one can be created beside it", hint=NO_PREVIEW)
    release = await call.parts.releases.set(workspace_id, required(values.get("commit"), "commit"))
    _note(call, "deploy", release)
    return json_response(_release_json(release))


async def oldest_rollback(call: Call) -> Response:
    """The release that has been kept longest, or an empty object while the live one is all there is."""
    found = await call.parts.releases.list(_own(call))
    oldest = next((each for each in reversed(found) if each.status is not ReleaseStatus.LIVE), None)
    return json_response(_release_json(oldest) if oldest else {})


async def change(call: Call) -> Response:
    """With `new_semver` another version, with `status=rollback` the release before becomes live."""
    require(call.grants.may_administer())
    workspace_id, values = _own(call), await call.form()
    semver = call.request.path_params["release"]
    if new_semver := values.get("new_semver", ""):
        return json_response(_release_json(await call.parts.releases.rename(workspace_id, semver, new_semver)))
    status = required(values.get("status"), "status")
    if status != "rollback":
        raise InvalidInput(f"A release cannot be made {status!r}: every push takes effect at once", hint=NO_PREVIEW)
    release = await call.parts.releases.roll_back(workspace_id)
    _note(call, "rollback", release)
    return json_response(_release_json(release))


async def delete(call: Call) -> Response:
    """Forgets a release that is not live; with `dry_run=true` it stays."""
    require(call.grants.may_administer())
    semver = call.request.path_params["release"]
    release = await call.parts.releases.remove(_own(call), semver, dry_run=call.flag("dry_run"))
    return json_response({"semver": release.semver, "datasources": {}, "pipes": {}, "notes": {}})


def _own(call: Call) -> str:
    if call.name not in (call.workspace.id, call.workspace.name):
        raise NotFound(f"Workspace '{call.name}' not found", hint="The token belongs to another workspace.")
    return call.workspace.id


def _release_json(release: Release) -> dict[str, Any]:
    return {
        "id": release.id,
        "semver": release.semver,
        "commit": release.commit,
        "status": str(release.status),
        "created_at": wire_time(release.created_at),
        "rollback": None,
    }


def _note(call: Call, event: str, release: Release) -> None:
    call.parts.recorder.note(
        ReleaseRow(
            workspace_id=call.workspace.id,
            timestamp=call.parts.clock.now(),
            event_type=event,
            commit=release.commit,
            token=call.grants.token_id,
            token_name=call.grants.token_name,
        )
    )

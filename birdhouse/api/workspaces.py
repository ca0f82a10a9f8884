"""`/v0/workspace` and `/v0/user/workspaces`: which workspace a token belongs to, and who asks."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from starlette.responses import Response

from birdhouse.access.members import members_of
from birdhouse.access.store import LOCAL_EMAIL, TokenOrigin
from birdhouse.api.auth import token_of
from birdhouse.api.call import Call, required
from birdhouse.api.responses import json_response
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import wire_time
from birdhouse.deploy.deployer import SERVICE_WORKSPACE
from birdhouse.errors import Conflict, Forbidden, InvalidInput, NotFound
from birdhouse.usage.workspaces import PLAN

USER_ID = str(uuid5(NAMESPACE_URL, f"mailto:{LOCAL_EMAIL}"))
"""Clients need one person to name as owner: the one who runs the server."""


async def current(call: Call) -> Response:
    """What sign-in reads. Clients warn about a token whose `scope` is empty."""
    _refuse_jwt(call)
    scope = "user" if call.grants.is_user else "admin" if call.grants.is_admin else ""
    workspace = call.workspace
    return json_response(
        {
            "id": workspace.id,
            "name": workspace.name,
            "user_id": USER_ID,
            "user_email": LOCAL_EMAIL,
            "scope": scope,
            "main": workspace.main_id,
            "plan": PLAN,
        }
    )


async def of_user(call: Call) -> Response:
    """The workspaces that the token may go on to, its own first, each with a token for it.

    To the user token all of the server. To an admin token its own and the branches of it; in a branch the admin of a
    person also sees the main workspace and the other branches. `with_environments=false` leaves branches out,
    `only_environments` leaves others out; the other flags say which keys a workspace has.
    """
    _refuse_jwt(call)
    found = visible(call)
    if call.flag("only_environments"):
        found = [each for each in found if each.main_id is not None]
    elif not call.flag("with_environments", default=True):
        found = [each for each in found if each.main_id is None]
    listed = [await workspace_json(call, each) for each in found]
    return json_response({"id": USER_ID, "email": LOCAL_EMAIL, "organization_id": None, "workspaces": listed})


def visible(call: Call) -> list[Workspace]:
    """What `of_user` lists, branches included."""
    own = call.workspace
    others = [each for each in call.parts.catalog.workspaces() if each.name != SERVICE_WORKSPACE and each.id != own.id]
    if not call.grants.is_user:
        main_id = own.id
        if call.grants.is_persons_admin and own.main_id is not None:
            main_id = own.main_id
        is_admin = call.grants.is_admin
        others = [each for each in others if is_admin and main_id in (each.id, each.main_id)]
    return [own, *others]


async def show(call: Call) -> Response:
    """The caller's own workspace by id or name; its `token` only with `with_token`."""
    _refuse_jwt(call)
    _require_own(call)
    content = await workspace_json(call, call.workspace)
    if not call.flag("with_token"):
        del content["token"]
    return json_response(content)


async def create(call: Call) -> Response:
    """An empty workspace, `name`. Only the user token may make one."""
    require_user(call, "create workspaces")
    values = await call.form()
    kit = values.get("starter_kit", "")
    if kit not in ("", "blank"):
        raise InvalidInput(
            f"There is no starter kit '{kit}'", hint="Create an empty workspace and push a project into it."
        )
    workspace = await call.parts.hosting.create(required(values.get("name"), "name"))
    return json_response(await workspace_json(call, workspace))


async def delete(call: Call) -> Response:
    """The workspace with all it has, its branches included. Backups of it stay.

    Only the user token may do so; with `confirmation` only when that is the name. The workspace of the settings stays.
    """
    require_user(call, "delete workspaces")
    workspace = next((each for each in visible(call) if call.name in (each.id, each.name)), None)
    if workspace is None:
        raise NotFound(f"Workspace '{call.name}' not found")
    if workspace.name == call.parts.settings.workspace_name:
        raise Conflict(
            f"The workspace '{workspace.name}' is the one that the server starts with, and cannot be deleted",
            hint="Empty it with `tb workspace clear`, or start the server with another `workspace_name`.",
        )
    confirmation = (await call.form()).get("confirmation", "")
    if confirmation not in ("", workspace.name):
        raise InvalidInput(f"'{confirmation}' is not the name of the workspace '{workspace.name}'")
    await call.parts.hosting.remove(workspace)
    return json_response({"id": workspace.id, "name": workspace.name})


def require_user(call: Call, what: str) -> None:
    """Raises Forbidden."""
    if not call.grants.is_user:
        raise Forbidden(
            f"The token may not {what}: that takes the user token",
            hint="It is the 'user_token' of GET /tokens; clients take it as --user_token.",
        )


async def identify(call: Call) -> Response:
    """Whether the token is valid, and whether it is that of a person."""
    return json_response({"is_valid": True, "is_user": call.grants.is_user})


async def regions(call: Call) -> Response:
    """Clients sign in to any host of the list; this server is the only one."""
    here = {"name": "local", "provider": PLAN, "api_host": call.base_url, "host": call.base_url}
    return json_response({"regions": [here]})


async def templates(call: Call) -> Response:
    """An empty list."""
    return json_response({"templates": []})


async def workspace_json(call: Call, workspace: Workspace) -> dict[str, Any]:
    """`token` is what the caller may go on working with: never more than the token it already has."""
    grants = call.grants
    text, created_at = await _token_for(call, workspace)
    role = "admin" if grants.is_admin else "guest"
    live = await call.parts.releases.live(workspace.id)
    content = {
        "id": workspace.id,
        "name": workspace.name,
        "token": text,
        "role": role,
        "plan": PLAN,
        "created_at": wire_time(created_at),
        "is_branch": workspace.main_id is not None,
        "main": workspace.main_id,
        "release": {"semver": live.semver, "commit": live.commit} if live else None,
        "rate_limits": {},
    }
    if call.flag("with_members_and_owner", default=True):
        content["owner"] = USER_ID
        content["members"] = await _members_json(call, workspace, role)
    if call.flag("with_organization"):
        content["organization"] = None
    return content


async def _members_json(call: Call, workspace: Workspace, role: str) -> list[dict[str, Any]]:
    """Only an admin sees others than the one who runs the server."""
    others = await members_of(call.parts.tokens, workspace.id) if call.grants.is_admin else []
    listed = [{"id": each.token_id, "email": each.email, "role": str(each.role), "active": True} for each in others]
    return [{"id": USER_ID, "email": LOCAL_EMAIL, "role": role, "active": True}, *listed]


async def _token_for(call: Call, workspace: Workspace) -> tuple[str, datetime]:
    """The token of the workspace that is like the caller's, and the age of the workspace.

    With a user token of one workspace a person goes on to the user token of the next.
    """
    grants = call.grants
    kind = TokenOrigin.USER if grants.is_user else TokenOrigin.ADMIN
    if not grants.is_user and not grants.is_persons_admin:
        kind = TokenOrigin.WORKSPACE_ADMIN
    default = await call.parts.tokens.default(workspace.id, kind)
    if default is None:
        raise NotFound(f"Workspace '{workspace.name}' not found")
    is_own = workspace.id == call.workspace.id
    return (token_of(call.request) if is_own else default.text), default.created_at


def _require_own(call: Call) -> None:
    if call.name not in (call.workspace.id, call.workspace.name):
        raise NotFound(f"Workspace '{call.name}' not found", hint="The token belongs to another workspace.")


def _refuse_jwt(call: Call) -> None:
    if call.grants.is_jwt:
        raise Forbidden("A JWT can only read endpoints and data sources", hint="Sign in with a static token.")

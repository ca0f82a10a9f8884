"""`/v0/workspace` and `/v0/user/workspaces`: which workspace a token belongs to, and who asks."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.access.store import LOCAL_EMAIL, TokenOrigin
from birdhouse.api.auth import token_of
from birdhouse.api.call import Call
from birdhouse.api.responses import json_response
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import wire_time
from birdhouse.deploy.deployer import SERVICE_WORKSPACE
from birdhouse.errors import Forbidden, InvalidInput, NotFound
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
            "main": None,
            "plan": PLAN,
        }
    )


async def of_user(call: Call) -> Response:
    """The workspace of the token; to the user token all of them, its own first.

    `only_environments` asks for branches only; the other flags say which keys a workspace has.
    """
    _refuse_jwt(call)
    workspaces = [call.workspace]
    if call.grants.is_user:
        others = (each for each in call.parts.catalog.workspaces() if each.name != SERVICE_WORKSPACE)
        workspaces += [each for each in others if each.id != call.workspace.id]
    found = [] if call.flag("only_environments") else [await _workspace_json(call, each) for each in workspaces]
    return json_response({"id": USER_ID, "email": LOCAL_EMAIL, "organization_id": None, "workspaces": found})


async def show(call: Call) -> Response:
    """The caller's own workspace by id or name; its `token` only with `with_token`."""
    _refuse_jwt(call)
    _require_own(call)
    content = await _workspace_json(call, call.workspace)
    if not call.flag("with_token"):
        del content["token"]
    return json_response(content)


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


async def releases(call: Call) -> Response:
    """An empty list."""
    _require_own(call)
    return json_response({"releases": []})


async def branches(call: Call) -> Response:
    """An empty list."""
    return json_response({"environments": []})


async def refuse_branch(call: Call) -> Response:
    """Refused: there are no branches."""
    require(call.grants.may_administer())
    raise InvalidInput(
        "This server has one workspace; branches are not available",
        hint="Start a second server with its own --data-dir to try a change.",
    )


async def refuse_workspace(call: Call) -> Response:
    """Refused: there is one workspace."""
    require(call.grants.may_administer())
    raise InvalidInput(
        "This server has one workspace; it cannot create or delete workspaces",
        hint="Start a server with its own --data-dir for each workspace.",
    )


async def refuse_members(call: Call) -> Response:
    """Refused: there are no user accounts."""
    require(call.grants.may_administer())
    raise InvalidInput(
        "This server has no user accounts; a workspace has no members to add or remove",
        hint="Make a token for each person with `tb token create static`.",
    )


async def refuse_release(call: Call) -> Response:
    """Refused: there are no releases."""
    require(call.grants.may_administer())
    raise InvalidInput(
        "This server keeps no releases of a workspace",
        hint="Deploy the project with `tb push --force` or `birdhouse deploy`; every push takes effect at once.",
    )


async def _workspace_json(call: Call, workspace: Workspace) -> dict[str, Any]:
    """`token` is what the caller may go on working with: never more than the token it already has."""
    grants = call.grants
    admin = await call.parts.tokens.default(workspace.id, TokenOrigin.ADMIN)
    if admin is None:
        raise NotFound(f"Workspace '{workspace.name}' not found")
    role = "admin" if grants.is_admin else "guest"
    content = {
        "id": workspace.id,
        "name": workspace.name,
        "token": admin.text if grants.is_admin else token_of(call.request),
        "role": role,
        "plan": PLAN,
        "created_at": wire_time(admin.created_at),
        "is_branch": False,
        "main": None,
        "release": None,
        "rate_limits": {},
    }
    if call.flag("with_members_and_owner", default=True):
        content["owner"] = USER_ID
        content["members"] = [{"id": USER_ID, "email": LOCAL_EMAIL, "role": role, "active": True}]
    if call.flag("with_organization"):
        content["organization"] = None
    return content


def _require_own(call: Call) -> None:
    if call.name not in (call.workspace.id, call.workspace.name):
        raise NotFound(f"Workspace '{call.name}' not found", hint="The token belongs to another workspace.")


def _refuse_jwt(call: Call) -> None:
    if call.grants.is_jwt:
        raise Forbidden("A JWT can only read endpoints and data sources", hint="Sign in with a static token.")

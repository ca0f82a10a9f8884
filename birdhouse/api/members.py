"""`/v0/workspaces/NAME/users`: who works in a workspace."""

from __future__ import annotations

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.access.members import Role, add_member, checked_role, remove_member, set_role
from birdhouse.api.call import Call, required
from birdhouse.api.responses import json_response
from birdhouse.api.workspaces import visible, workspace_json
from birdhouse.errors import InvalidParameter, NotFound


async def change(call: Call) -> Response:
    """Adds, removes or changes members, `users`, by the `operation`. Each has a static token, `member EMAIL`."""
    require(call.grants.may_administer())
    workspace = next((each for each in visible(call) if call.name in (each.id, each.name)), None)
    if workspace is None:
        raise NotFound(f"Workspace '{call.name}' not found", hint="The token belongs to another workspace.")
    values = await call.form()
    emails = [each.strip() for each in required(values.get("users"), "users").split(",") if each.strip()]
    operation = required(values.get("operation"), "operation")
    role = checked_role(values.get("new_role") or values.get("role") or Role.GUEST)
    for email in emails:
        if operation == "add":
            await add_member(call.parts.tokens, workspace.id, email, role)
        elif operation == "remove":
            await remove_member(call.parts.tokens, workspace.id, email)
        elif operation == "change_role":
            await set_role(call.parts.tokens, workspace.id, email, role)
        else:
            raise InvalidParameter(f"There is no operation {operation!r}.", hint="Use add, remove or change_role.")
    return json_response(await workspace_json(call, workspace))

"""`/v0/variables`: secrets of the workspace. They can be set and used, and are never given back."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call, required
from birdhouse.api.responses import json_response
from birdhouse.catalog.variables.store import Variable
from birdhouse.clock import wire_time
from birdhouse.errors import InvalidParameter


async def index(call: Call) -> Response:
    """The names, and when each was set; no values."""
    require(call.grants.may_administer())
    found = await call.parts.variables.list(call.workspace.id)
    return json_response({"variables": [variable_json(each) for each in found]})


async def create(call: Call) -> Response:
    """Sets a new secret: `name` and `value`, as a form or JSON."""
    require(call.grants.may_administer())
    values = await call.parameters()
    if values.get("type", "secret") != "secret":
        raise InvalidParameter(
            f"There is no type of variable '{values['type']}'", hint="Leave it out, or write secret."
        )
    name, value = required(values.get("name"), "name"), _value(values)
    made = await call.parts.variables.create(call.workspace.id, name, value, edited_by=call.grants.token_name)
    return json_response(variable_json(made))


async def show(call: Call) -> Response:
    """When it was set, and by whom; not its value."""
    require(call.grants.may_administer())
    return json_response(variable_json(await call.parts.variables.get(call.workspace.id, call.name)))


async def change(call: Call) -> Response:
    """Gives it another `value`. What uses it has the new one from the next request on."""
    require(call.grants.may_administer())
    values = await call.parameters()
    changed = await call.parts.variables.change(
        call.workspace.id, call.name, _value(values), edited_by=call.grants.token_name
    )
    return json_response(variable_json(changed))


async def delete(call: Call) -> Response:
    """Removes it; what uses it fails from then on and says so."""
    require(call.grants.may_administer())
    await call.parts.variables.delete(call.workspace.id, call.name)
    return json_response({"ok": True})


def variable_json(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "type": variable.type,
        "created_at": wire_time(variable.created_at),
        "updated_at": wire_time(variable.updated_at),
        "edited_by": variable.edited_by,
    }


def _value(values: dict[str, str]) -> str:
    if "value" not in values:
        raise InvalidParameter("The parameter 'value' is required", hint="Send it in the body, not in the URL.")
    return values["value"]

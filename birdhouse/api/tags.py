"""`/v0/tags`: names that group data sources and pipes."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from birdhouse.access.check import Allowed, require
from birdhouse.api.call import Call, required
from birdhouse.api.responses import json_response, no_content
from birdhouse.catalog.tags import Tag
from birdhouse.errors import InvalidInput


async def index(call: Call) -> Response:
    """The tags and what they are on."""
    _require_author(call)
    found = await call.parts.tags.list(call.workspace.id)
    return json_response({"tags": [tag_json(tag) for tag in found]})


async def create(call: Call) -> Response:
    """Makes a tag: `{"name": …, "resources": [{"id": …, "name": …}]}`; `resources` may be left out."""
    _require_author(call)
    content = await _content(call)
    name = required(str(content.get("name") or ""), "name")
    tag = await call.parts.tags.create(call.workspace.id, name, _resources(content))
    return json_response(tag_json(tag))


async def change(call: Call) -> Response:
    """Puts a tag on other resources: `{"resources": […]}`, the full list."""
    _require_author(call)
    content = await _content(call)
    if "resources" not in content:
        raise InvalidInput("The body has no 'resources'", hint="Send the full list of what the tag is on.")
    tag = await call.parts.tags.change(call.workspace.id, call.name, _resources(content))
    return json_response(tag_json(tag))


async def delete(call: Call) -> Response:
    """Removes the tag; what it was on stays."""
    _require_author(call)
    await call.parts.tags.delete(call.workspace.id, call.name)
    return no_content()


def tag_json(tag: Tag) -> dict[str, Any]:
    resources = [{"id": each.id, "name": each.name, "type": each.kind} for each in tag.resources]
    return {"id": tag.id, "name": tag.name, "resources": resources}


def _require_author(call: Call) -> None:
    """Who writes data sources or pipes may also tag them."""
    if not isinstance(call.grants.may_create_datasource(), Allowed):
        require(call.grants.may_create_pipe())


async def _content(call: Call) -> dict[str, Any]:
    content = await call.json()
    if not isinstance(content, dict):
        raise InvalidInput("The body must be a JSON object")
    return content


def _resources(content: dict[str, Any]) -> list[str]:
    """An entry is found by its id, or by its name when it has none."""
    given = content.get("resources") or []
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise InvalidInput("'resources' must be a list of objects", hint='Write [{"id": …, "name": …, "type": …}].')
    found = [str(each.get("id") or each.get("name") or "") for each in given]
    if not all(found):
        raise InvalidInput("A resource of a tag needs an 'id' or a 'name'")
    return found

"""`/tokens`: how tools on this machine get in, as with the hosted product's local container."""

from __future__ import annotations

from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import Response

from birdhouse.access.store import TokenOrigin
from birdhouse.api.parts import Parts
from birdhouse.api.responses import json_response
from birdhouse.errors import Forbidden, NotFound

LOCAL_HOST_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


async def tokens(request: Request) -> Response:
    """The tokens of the local workspace. Only callers on this machine get them.

    The Host header is checked as well: a page of another site that resolves its name to 127.0.0.1 must not get in.
    """
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    if request.client is None or not ip_address(request.client.host).is_loopback or host not in LOCAL_HOST_NAMES:
        raise Forbidden("The local tokens are only told to callers on the same machine")
    parts: Parts = request.app.state.parts
    workspace = parts.catalog.named(parts.settings.workspace_name)
    if workspace is None:
        raise NotFound("The local workspace does not exist")
    found = {}
    for key, origin in (
        ("user_token", TokenOrigin.USER),
        ("admin_token", TokenOrigin.ADMIN),
        ("workspace_admin_token", TokenOrigin.WORKSPACE_ADMIN),
    ):
        token = await parts.tokens.default(workspace.id, origin)
        found[key] = token.text if token else None
    return json_response(found)

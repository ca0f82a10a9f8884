"""Finds the token of a request: `token=` in the query, or `Authorization: Bearer`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from birdhouse.api.call import Call, Route
from birdhouse.api.parts import Parts
from birdhouse.api.rate_limit import Rates


def token_of(request: Request) -> str:
    """The text of the token, or an empty text. The query wins: the client sends both on some calls."""
    query = request.scope["query_string"]
    if (b"token" in query or b"%" in query) and (token := request.query_params.get("token")):
        return token
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def authenticated(route: Route) -> Callable[[Request], Awaitable[Response]]:
    """Wraps a route so that it is only reached with a valid token, and as often as the token may."""

    async def endpoint(request: Request) -> Response:
        parts: Parts = request.app.state.parts
        grants = await parts.authenticator.authenticate(token_of(request))
        if grants.requests_per_second is None:
            return await route(Call(request, parts, grants))
        rates: Rates = request.app.state.rates
        headers = rates.take(grants)
        response = await route(Call(request, parts, grants))
        response.headers.update(headers)
        return response

    return endpoint

"""The ASGI application: routes, error answers, and the few things that hold for every request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from secrets import token_hex

from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from birdhouse.api.errors import answer_crash, answer_error, answer_unknown_route
from birdhouse.api.parts import Parts
from birdhouse.api.rate_limit import Rates
from birdhouse.api.routes import ROUTES
from birdhouse.errors import BirdhouseError
from birdhouse.usage.request import begin_request


def build(parts: Parts) -> ASGIApp:
    return Application(parts)


class Application:
    """What Starlette's own application does in five layers is done in one here: every layer costs each request.

    `state` is where the routes find the parts, as with Starlette's application.
    """

    def __init__(self, parts: Parts) -> None:
        self.state = State({"parts": parts, "rates": Rates(parts.clock)})
        self._routers = _by_noun(ROUTES)
        self._router = Router(ROUTES, redirect_slashes=False)
        # Browsers post events and call endpoints from any page; the token in the request is what lets them.
        self._for_browsers = CORSMiddleware(
            self._answer, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"], expose_headers=["*"]
        )
        # A random text for the process and a number: cheaper than a random text each, and none is given twice.
        self._process = token_hex(8)
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request_id = f"{self._process}{next(self._numbers):016x}"
        begin_request(request_id)
        scope["app"] = self
        scope["state"] = state = {"request_id": request_id, "has_begun": False}
        _without_trailing_slash(scope)

        async def send_named(message: Message) -> None:
            """Every answer has an `X-Request-Id`, so that a caller's report and the server's records meet."""
            if message["type"] == "http.response.start":
                state["has_begun"] = True
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        from_browser = any(name == b"origin" for name, _ in scope["headers"])
        await (self._for_browsers if from_browser else self._answer)(scope, receive, send_named)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._routers.get(_noun(scope["path"]), self._router)(scope, receive, send)
        except Exception as error:
            if scope["state"]["has_begun"]:
                raise
            answer = await _error_answer(Request(scope, receive), error)
            await answer(scope, receive, send)


def _by_noun(routes: Sequence[Route]) -> Mapping[str, Router]:
    """The routes by the noun of their path, in their order: so a request is compared with few of them."""
    nouns: dict[str, list[Route]] = {}
    for route in routes:
        nouns.setdefault(_noun(route.path), []).append(route)
    return {noun: Router(found, redirect_slashes=False) for noun, found in nouns.items()}


def _noun(path: str) -> str:
    """`pipes` of `/v0/pipes/name.json`, whatever the version; an empty text for a path of one segment."""
    _, _, noun = path[1:].partition("/")
    return noun.partition("/")[0]


async def _error_answer(request: Request, error: Exception) -> Response:
    if isinstance(error, BirdhouseError):
        return await answer_error(request, error)
    if isinstance(error, HTTPException):
        return await answer_unknown_route(request, error)
    return await answer_crash(request, error)


def _without_trailing_slash(scope: Scope) -> None:
    """Clients write `/v0/x` and `/v0/x/` and follow no redirect: both are the same route."""
    path = scope["path"]
    if len(path) > 1 and path.endswith("/"):
        scope["path"] = path.rstrip("/") or "/"
        scope["raw_path"] = scope["path"].encode()

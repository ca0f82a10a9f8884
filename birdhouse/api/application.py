"""The ASGI application: routes, error answers, and the few things that hold for every request."""

from __future__ import annotations

from itertools import count
from secrets import token_hex

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from birdhouse.api.errors import answer_crash, answer_error, answer_unknown_route
from birdhouse.api.parts import Parts
from birdhouse.api.rate_limit import Rates
from birdhouse.api.routes import ROUTES
from birdhouse.errors import BirdhouseError


def build(parts: Parts) -> ASGIApp:
    # Browsers post events and call endpoints from any page; the token in the request is what lets them.
    cors = Middleware(
        CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"], expose_headers=["*"]
    )
    app = Starlette(
        routes=ROUTES,
        middleware=[cors],
        exception_handlers={
            BirdhouseError: answer_error,
            HTTPException: answer_unknown_route,
            Exception: answer_crash,
        },
    )
    app.router.redirect_slashes = False
    app.state.parts = parts
    app.state.rates = Rates(parts.clock)
    return WithRequestId(WithoutTrailingSlash(app))


class WithRequestId:
    """Names every answer in `X-Request-Id`, so that a caller's report and the server's records meet.

    A random text for the process and a number: cheaper than a random text each, and none is given twice.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._process = token_hex(8)
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = f"{self._process}{next(self._numbers):016x}"
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        await self._app(scope, receive, send_named)


class WithoutTrailingSlash:
    """Clients write `/v0/x` and `/v0/x/` and follow no redirect: both are the same route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if len(path) > 1 and path.endswith("/"):
            scope["path"] = path.rstrip("/") or "/"
            scope["raw_path"] = scope["path"].encode()
        await self._app(scope, receive, send)

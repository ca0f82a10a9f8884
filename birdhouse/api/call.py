"""One request as the routes see it: who asks, for which workspace, with which parameters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message

from birdhouse.access.check import Grants
from birdhouse.api.parts import Parts
from birdhouse.catalog.workspace import Workspace
from birdhouse.errors import Cancelled, InvalidInput, InvalidParameter, TooLarge

FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
SMALL_BODY_BYTES_MAX = 8_000_000
"""The most a body of options, SQL or JSON may have. Data has limits of its own."""

TRUE_WORDS = frozenset({"true", "1", "yes", "on"})


class Call:
    def __init__(self, request: Request, parts: Parts, grants: Grants) -> None:
        self.request = request
        self.parts = parts
        self.grants = grants
        self._body: bytes | None = None

    @property
    def workspace(self) -> Workspace:
        return self.parts.catalog.workspace(self.grants.workspace_id)

    @property
    def name(self) -> str:
        """The resource in the path: a name or an id."""
        return str(self.request.path_params["name"])

    @cached_property
    def base_url(self) -> str:
        return str(self.request.base_url).rstrip("/")

    def text(self, name: str, default: str = "") -> str:
        """A parameter of the query string."""
        return self.request.query_params.get(name, default)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.request.query_params.get(name)
        return default if value is None else value.lower() in TRUE_WORDS

    async def body(self, bytes_max: int = SMALL_BODY_BYTES_MAX) -> bytes:
        """The whole body. Raises TooLarge as soon as it is longer than `bytes_max`."""
        if self._body is None:
            self._body = await read_body(self.request, bytes_max)
        return self._body

    async def form(self) -> dict[str, str]:
        """The parameters of query and form together; the form wins. A repeated one is joined with commas."""
        return joined(self._query()) | joined(await self._form())

    async def parameters(self) -> dict[str, str]:
        """What a query is asked with: the query string, and a form or a JSON object that wins over it."""
        if self.request.method in ("POST", "PUT") and self.has_json:
            return joined(self._query()) | json_parameters(await self.body())
        return await self.form()

    @property
    def has_json(self) -> bool:
        return self.request.headers.get("content-type", "").startswith("application/json")

    async def form_lists(self) -> dict[str, list[str]]:
        lists: dict[str, list[str]] = {}
        for name, value in (*self._query(), *await self._form()):
            if isinstance(value, str):
                lists.setdefault(name, []).append(value)
        return lists

    def _query(self) -> list[tuple[str, str]]:
        """As the library reads it, without the structure that it builds around it: each endpoint call comes by here."""
        return parse_qsl(self.request.scope["query_string"].decode("latin-1"), keep_blank_values=True)

    async def _form(self) -> list[tuple[str, Any]]:
        if not self.request.headers.get("content-type", "").startswith(FORM_TYPES):
            return []
        # Read by us, as the library would take a form of any size when its length is not declared.
        body = await self.body()

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        return (await Request(self.request.scope, receive).form()).multi_items()

    async def json(self) -> Any:
        """The body as JSON. Raises InvalidInput with the place where it stops being JSON."""
        body = await self.body()
        try:
            return orjson.loads(body) if body.strip() else {}
        except orjson.JSONDecodeError as error:
            raise InvalidInput("The body is not valid JSON", detail=f"({error})") from error


Route = Callable[[Call], Awaitable[Response]]


def joined(items: Iterable[tuple[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in items:
        if isinstance(value, str):
            found[name] = f"{found[name]},{value}" if name in found else value
    return found


def json_parameters(body: bytes) -> dict[str, str]:
    """A JSON object as request parameters: lists joined with commas, null left out."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput("The body is not valid JSON", detail=f"({error})") from error
    if not isinstance(content, dict):
        raise InvalidInput("The body must be a JSON object")
    return {name: _json_text(value) for name, value in content.items() if value is not None}


def _json_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join(_json_text(each) for each in value)
    return orjson.dumps(value).decode()


async def read_body(request: Request, bytes_max: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > bytes_max:
        raise _too_large(int(declared), bytes_max)
    chunks: list[bytes] = []
    size_bytes = 0
    try:
        async for chunk in request.stream():
            size_bytes += len(chunk)
            if size_bytes > bytes_max:
                raise _too_large(size_bytes, bytes_max)
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise Cancelled("The client went away before its request was complete") from error
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(size_bytes: int, bytes_max: int) -> TooLarge:
    return TooLarge(
        f"The body has more than {bytes_max} bytes",
        detail=f"({size_bytes} or more)",
        hint="Send it in parts.",
    )


def required(value: str | None, name: str) -> str:
    if not value:
        raise InvalidParameter(f"The parameter '{name}' is required")
    return value

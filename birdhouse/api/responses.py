"""The forms of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from birdhouse.api.disconnect import while_connected
from birdhouse.engine.types import Statistics
from birdhouse.errors import BirdhouseError, Cancelled
from birdhouse.query.answer import Answer, StreamedAnswer

CHUNK_SECONDS_MAX = 20
"""How long a client may take for one chunk of a stream, which has some megabytes at most."""

OnEnd = Callable[[BirdhouseError | None], None]

_NO_HEADERS: Mapping[str, str] = {}


def json_response(content: object, status: int = 200, headers: Mapping[str, str] = _NO_HEADERS) -> Response:
    body = orjson.dumps(content, default=str)
    return Response(body, status, {"content-type": "application/json", **headers})


def text_response(text: str) -> Response:
    """A datafile. The client compares the type for equality: no charset may follow."""
    return Response(text.encode(), 200, {"content-type": "text/plain"})


def no_content() -> Response:
    return Response(status_code=204)


def query_response(answer: Answer | StreamedAnswer, on_end: OnEnd) -> Response:
    """`on_end` is told how a stream ended, once it did."""
    if isinstance(answer, StreamedAnswer):
        return StreamedQuery(answer, on_end)
    headers = {"content-type": answer.format.content_type, "x-db-statistics": _summary(answer.statistics)}
    return Response(answer.body, 200, headers)


def _summary(statistics: Statistics) -> str:
    return orjson.dumps(
        {
            "elapsed": statistics.elapsed_seconds,
            "rows_read": statistics.rows_read,
            "bytes_read": statistics.bytes_read,
            "result_rows": statistics.result_rows,
        }
    ).decode()


class StreamedQuery(Response):
    """Sends a streamed answer. Whatever fails before the first chunk is still answered as an error.

    A failure after that ends the connection without the closing chunk, so that no client takes half for whole.
    """

    def __init__(self, answer: StreamedAnswer, on_end: OnEnd) -> None:
        super().__init__(headers={"content-type": answer.format.content_type})
        del self.headers["content-length"]
        self._answer = answer
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error: BirdhouseError | None = Cancelled("The client went away; its query was ended")
        try:
            async with AsyncExitStack() as opened:
                chunks = await while_connected(Request(scope, receive), self._begin(opened))
                answer = StreamingResponse(chunks, headers=self.headers)
                await answer(scope, receive, _in_time(send))
            error = None
        except BirdhouseError as failure:
            error = failure
            raise
        finally:
            self._on_end(error)

    async def _begin(self, opened: AsyncExitStack) -> AsyncIterator[bytes]:
        """The chunks, once the first one is there."""
        chunks = await opened.enter_async_context(self._answer.chunks)
        return _all(await anext(chunks, b""), chunks)


def _in_time(send: Send) -> Send:
    """A client that stops reading holds one of the engine's few streams: it is left after a while."""

    async def send_in_time(message: Message) -> None:
        try:
            async with asyncio.timeout(CHUNK_SECONDS_MAX):
                await send(message)
        except TimeoutError:
            raise Cancelled(f"The client took no rows for {CHUNK_SECONDS_MAX} seconds; its query was ended") from None

    return send_in_time


async def _all(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk

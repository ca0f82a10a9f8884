"""A client that stops reading does not keep one of the engine's few streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Message

from birdhouse.api import responses
from birdhouse.errors import BirdhouseError, Cancelled
from birdhouse.query.answer import StreamedAnswer
from birdhouse.query.formats import sql_format


async def test_a_stream_that_nobody_reads_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "CHUNK_SECONDS_MAX", 0.05)
    ended: list[str | BirdhouseError | None] = []

    async def rows() -> AsyncIterator[bytes]:
        while True:
            yield b"1\n"

    @asynccontextmanager
    async def chunks() -> AsyncIterator[AsyncIterator[bytes]]:
        try:
            yield rows()
        finally:
            ended.append("stream")

    async def receive() -> Message:
        return await asyncio.Future()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Future()

    answer = responses.query_response(StreamedAnswer(sql_format("CSV"), chunks()), ended.append)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "asgi": {"spec_version": "2.4"}}
    with pytest.raises(Cancelled):
        await asyncio.wait_for(answer(scope, receive, send), 5)
    assert ended[0] == "stream"
    assert isinstance(ended[1], Cancelled)

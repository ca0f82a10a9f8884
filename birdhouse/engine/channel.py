"""The bounded way of chunks from a worker thread to one async reader."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

CHUNKS_BUFFERED_MAX = 4


class Channel:
    """`send` is called in the worker's thread, `abandon` in any, the rest in the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = threading.Semaphore(CHUNKS_BUFFERED_MAX)
        self._abandoned = False

    def send(self, chunk: bytes) -> bool:
        """Blocks while the buffer is full; False when the reader is gone."""
        self._room.acquire()
        if self._abandoned:
            return False
        with suppress(RuntimeError):  # a closed loop has no reader either; the engine ends the stream when it closes
            self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
        return True

    def end(self) -> None:
        """Tells the reader that no more chunks come."""
        self._chunks.put_nowait(None)

    async def receive(self) -> bytes | None:
        """The next chunk, None at the end."""
        chunk = await self._chunks.get()
        if chunk is not None:
            self._room.release()
        return chunk

    def abandon(self) -> None:
        self._abandoned = True
        self._room.release()

"""Ends work whose client went away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from birdhouse.errors import Cancelled

Result = TypeVar("Result")

QUIET_SECONDS = 0.25
"""Work that is done within this time is not watched: nearly all requests, and watching costs more than they do."""


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, which is cancelled when the client disconnects. The body must have been read."""
    watch = _Watch(request)
    timer = asyncio.get_running_loop().call_later(QUIET_SECONDS, watch.start)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.has_cancelled and watch.task.uncancel() == 0:
            raise Cancelled("The client went away; its query was ended") from None
        raise
    finally:
        timer.cancel()
        watch.stop()


class _Watch:
    """Cancels the task that made it when the client disconnects."""

    def __init__(self, request: Request) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self.has_cancelled = False
        self._request = request
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self.has_cancelled = True
        self.task.cancel()

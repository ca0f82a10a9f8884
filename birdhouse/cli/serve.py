"""The server process: a socket, an event loop, the parts, and an orderly end."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Self

import structlog
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.loops.auto import auto_loop_factory

from birdhouse.api.application import build
from birdhouse.api.responses import json_response
from birdhouse.app import open_parts
from birdhouse.errors import CannotStart, PortInUse
from birdhouse.settings import Settings

BACKLOG_CONNECTIONS = 2048
SIGNALLED = 128
"""What a shell adds to the number of the signal for the exit code of a process that it ended."""
PARENT_LOOK_SECONDS = 1.0
BIND_ERRORS = {errno.EACCES: "needs more rights", errno.EADDRNOTAVAIL: "is not an address of this machine"}


def run(main: Coroutine[Any, Any, object]) -> None:
    """`asyncio.run` on uvloop, where there is one: a request costs half as much in it."""
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(main)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers. `stop` asks it to end."""

    url: str
    stop: Callable[[], None]


async def serve(settings: Settings, started: Callable[[Running], None]) -> int | None:
    """Serves until a signal, whose number it answers, or `Running.stop` asks it to stop.

    `started` is called once requests are answered.
    """
    set_up_logging(settings.log_level)
    task = asyncio.current_task()
    assert task is not None
    listener = listen(settings.host, settings.port)
    with StopSignals(task.cancel) as signals:
        try:
            async with open_parts(settings) as parts:
                server = Server(settings, answering_at_the_end(build(parts)), _url(settings.host, listener), started)
                signals.stop = server.stop
                # Modules and parts stay for good: the collector need not go through them again and again.
                gc.freeze()
                gc.enable()
                with stopping_with_parent(settings.parent_process, server.stop):
                    await server.serve(sockets=[listener])
                await parts.jobs.stop(seconds=server.seconds_left)
        except asyncio.CancelledError:
            if signals.received is None:
                raise
            sys.exit(SIGNALLED + signals.received)
        finally:
            listener.close()
        return signals.received


@contextmanager
def stopping_with_parent(parent: int, stop: Callable[[], None]) -> Generator[None, None, None]:
    """Calls `stop` once the process is no longer the parent of this one. It cannot tell us itself when it is killed."""
    watching = asyncio.create_task(_until_orphaned(parent, stop)) if parent else None
    try:
        yield
    finally:
        if watching is not None:
            watching.cancel()


async def _until_orphaned(parent: int, stop: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(PARENT_LOOK_SECONDS)
        if os.getppid() != parent:
            return stop()


def answering_at_the_end(app: ASGIApp) -> ASGIApp:
    """A request that is still running when the stop has waited long enough is told so."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await app(scope, receive, noting)
        except asyncio.CancelledError:
            if not has_begun:
                content = {"error": "The server is stopping; the request was ended", "documentation": "docs/errors.md"}
                await json_response(content, 503, {"Retry-After": "5"})(scope, receive, send)

    return call


class StopSignals:
    """The first signal calls `stop` in the event loop; a second one ends the process at once.

    That costs nothing that was acknowledged: it is what a crash does, and the next start puts it right.
    """

    def __init__(self, stop: Callable[[], object]) -> None:
        self.stop = stop
        self.received: int | None = None
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *failure: object) -> None:
        for number, what in self._before.items():
            signal.signal(number, what)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            os._exit(SIGNALLED + number)
        self.received = number
        self._loop.call_soon_threadsafe(lambda: self.stop())


class Server(uvicorn.Server):
    def __init__(self, settings: Settings, app: ASGIApp, url: str, started: Callable[[Running], None]) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=max(1, int(settings.shutdown_seconds)),
        )
        super().__init__(config)
        self._shutdown_seconds = settings.shutdown_seconds
        self._url = url
        self._started = started
        self._deadline = 0.0

    @property
    def seconds_left(self) -> float:
        """Of the time that a stop waits, once it was asked for."""
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._started(Running(self._url, self.stop))

    def stop(self) -> None:
        if not self.should_exit:
            self._deadline = asyncio.get_running_loop().time() + self._shutdown_seconds
            self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are ours: the base class would raise them again after the stop, and the exit code would not be 0."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises PortInUse, or CannotStart with the reason."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Only where the protocol is named does asyncio turn Nagle's algorithm off: answers would wait 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG_CONNECTIONS)
        listener.setblocking(False)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"Port {port} is in use by another process",
                hint="Stop it, or choose another one with --port (0 picks a free one).",
            ) from error
        reason = BIND_ERRORS.get(error.errno or 0, error.strerror or str(error))
        raise CannotStart(f"Cannot listen on {host}:{port}: it {reason}") from error
    return listener


def _url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def set_up_logging(level: str) -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(),
    )

"""The client side: keep-alive connections in a process of their own, whose CPU does not count."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from multiprocessing import get_context

READ_BYTES = 1 << 20
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    body: bytes | None = None


def alone() -> ProcessPoolExecutor:
    """One further process, started afresh: the engine must not be forked."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def send(port: int, token: str, requests: Sequence[Request], connections: int) -> float:
    """Sends all of them and reads every answer; the seconds it took. The requests are shared out evenly."""

    def sender(first: int) -> Callable[[], None]:
        return lambda: _send_on_one(port, token, requests[first::connections])

    started = time.perf_counter()
    with ThreadPoolExecutor(connections) as threads:
        for done in [threads.submit(sender(number)) for number in range(connections)]:
            done.result()
    return time.perf_counter() - started


def _send_on_one(port: int, token: str, requests: Sequence[Request]) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            connection.sendall(_head(request, token))
            if request.body:
                connection.sendall(request.body)
            _read_answer(connection, request)


def _head(request: Request, token: str) -> bytes:
    method = "POST" if request.body else "GET"
    length = f"Content-Length: {len(request.body)}\r\n" if request.body else ""
    return f"{method} {request.path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n{length}\r\n".encode()


def _read_answer(connection: socket.socket, request: Request) -> None:
    """By hand: a client that works harder takes the caches away from what is measured."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += connection.recv(READ_BYTES)
    length = _LENGTH.search(received, 0, end)
    if length is None or not received.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(f"{request.path}: {received.decode()}")
    missing = end + 4 + int(length[1]) - len(received)
    while missing > 0:
        missing -= len(connection.recv(READ_BYTES))


@dataclass(frozen=True, slots=True)
class Download:
    status: int
    size_bytes: int
    seconds: float


def download(port: int, token: str, path: str, post: bytes | None = None) -> Download:
    """Reads an answer of any size and keeps nothing of it."""
    started = time.perf_counter()
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("POST" if post else "GET", path, post, {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    size_bytes = 0
    while chunk := answer.read(READ_BYTES):
        size_bytes += len(chunk)
    connection.close()
    return Download(answer.status, size_bytes, time.perf_counter() - started)

"""The request that the running code works for, so that records made deep down can name it."""

from __future__ import annotations

from contextvars import ContextVar

_REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")


def begin_request(request_id: str) -> None:
    """From here on, in this task and those it starts."""
    _REQUEST_ID.set(request_id)


def current_request_id() -> str:
    """Empty outside a request. A job runs in whatever request happened to start it: it must not ask."""
    return _REQUEST_ID.get()

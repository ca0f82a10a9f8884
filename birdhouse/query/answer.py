"""What a query answers: a body or a stream of chunks, and what it cost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from birdhouse.engine.types import Statistics
from birdhouse.query.formats import Format


@dataclass(frozen=True, slots=True)
class Answer:
    format: Format
    body: bytes
    statistics: Statistics = field(default_factory=Statistics)


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """`chunks` must be entered and read to its end or left early; leaving it ends the query."""

    format: Format
    chunks: AbstractAsyncContextManager[AsyncIterator[bytes]]

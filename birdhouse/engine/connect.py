"""Chooses the engine for an address."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from birdhouse.engine.chdb import ChdbConfig, ChdbEngine
from birdhouse.engine.protocol import Engine
from birdhouse.errors import CannotStart


def open_engine(address: str | os.PathLike[str], *, embedded: ChdbConfig) -> Engine:
    """`address` is a directory, or `chdb:///absolute/path`, for the embedded engine."""
    text = os.fspath(address)
    if "://" not in text:
        return ChdbEngine.open(text, config=embedded)
    scheme, _, path, *_ = urlsplit(text)
    if scheme == "chdb":
        return ChdbEngine.open(path, config=embedded)
    raise CannotStart(
        f"There is no engine for {scheme}:// addresses.",
        detail=f"({text})",
        hint="Give a directory for the embedded engine, such as .birdhouse/engine.",
    )

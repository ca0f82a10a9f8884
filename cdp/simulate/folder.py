"""A sink that writes files: one NDJSON file per data source."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Self

from cdp.simulate.errors import FolderUnusable
from cdp.sink import Receipt


class FolderSink:
    def __init__(self, folder: Path) -> None:
        """Files of an earlier simulation in the folder are replaced, one data source at a time."""
        self._folder = folder
        self._files: dict[str, IO[bytes]] = {}

    @property
    def destination(self) -> str:
        return str(self._folder)

    async def __aenter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    async def send(self, datasource: str, rows: Iterable[bytes]) -> Receipt:
        lines = list(rows)
        try:
            await asyncio.to_thread(self._append, datasource, lines)
        except OSError as error:
            raise self._unusable(error) from error
        return Receipt(len(lines))

    def _append(self, datasource: str, lines: list[bytes]) -> None:
        file = self._files.get(datasource)
        if file is None:
            file = self._files[datasource] = (self._folder / f"{datasource}.ndjson").open("wb")
        file.writelines(line + b"\n" for line in lines)
        file.flush()

    def _unusable(self, error: OSError) -> FolderUnusable:
        return FolderUnusable(detail=f"({self._folder}: {error.strerror})", hint="Give a folder you may write to.")

"""The server's own directory for exports, as the destination of one sink job.

Files are written below `.unfinished` and get their names at the end, all at once and each in one step: nobody sees
half a file, nor a file of a job that failed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Lane, Limits, Statistics, quote_string
from birdhouse.errors import Conflict, StorageFull
from birdhouse.jobs.destination import FileForm, free_names
from birdhouse.jobs.queue import Run
from birdhouse.query.compose import Composed

UNFINISHED = ".unfinished"
_GLOB = frozenset("*?{}[]")


class Folder:
    """`root` is the directory of the workspace; what a job names stays below it."""

    def __init__(self, engine: Engine, limits: Limits, root: Path, job_id: str, *, replaces: bool) -> None:
        self._engine = engine
        self._limits = limits
        self._root = root
        self._work = root / UNFINISHED / job_id
        self._replaces = replaces

    def shown(self, name: str) -> str:
        return f"file://{name}"

    async def choose(self, names: Sequence[str]) -> list[str]:
        if self._replaces:
            return list(names)
        return await asyncio.to_thread(self._free, names)

    def _free(self, names: Sequence[str]) -> list[str]:
        return free_names(names, lambda name: (self._root / name).exists())

    async def write(self, run: Run, number: int, name: str, rows: Composed, form: FileForm) -> Statistics:
        await asyncio.to_thread(self._make, self._work)
        path = self._work / str(number)
        if _GLOB & set(str(path)):
            raise Conflict("The directory for exports has a character that the engine takes for a pattern.")
        settings = ", ".join(("engine_file_truncate_on_insert = 1", *form.settings))
        done = await self._engine.execute(
            f"INSERT INTO FUNCTION file({quote_string(str(path))}, {form.arguments}) SETTINGS {settings}\n{rows.sql}",
            lane=Lane.JOB,
            limits=self._limits,
            on_progress=run.progress,
            parameters=rows.query_parameters,
        )
        await asyncio.to_thread(_flush, path)
        return done

    async def publish(self, names: Sequence[str]) -> Mapping[str, int]:
        """Gives the files their names, and answers their sizes. Does what is left of it when it runs again."""
        sizes = await asyncio.to_thread(self._publish, names)
        await self.clean(names)
        return sizes

    def _publish(self, names: Sequence[str]) -> dict[str, int]:
        places = [self._root / name for name in names]
        for place in places:  # before the first file is there, so that a folder that cannot be made leaves nothing
            self._make(place.parent)
            if place.is_dir():
                raise Conflict(f"'{place.name}' is a folder in the directory for exports, not a file.")
        sizes = {}
        for number, place in enumerate(places):
            file = self._work / str(number)
            if file.exists():
                place = self._named(file, place)
            sizes[str(place.relative_to(self._root))] = place.stat().st_size
        return sizes

    def _named(self, file: Path, place: Path) -> Path:
        if self._replaces:
            file.replace(place)
        else:
            place = self._linked(file, place)
            file.unlink()
        _flush(place.parent)
        return place

    def _linked(self, file: Path, place: Path) -> Path:
        """Under a name that nobody has: a link, unlike a rename, is refused where a file is."""
        while True:
            try:
                place.hardlink_to(file)
            except FileExistsError:
                if place.samefile(file):  # linked before an interruption
                    return place
                place = self._root / self._free([str(place.relative_to(self._root))])[0]
            else:
                return place

    async def clean(self, names: Sequence[str]) -> None:
        await asyncio.to_thread(shutil.rmtree, self._work, ignore_errors=True)

    def _make(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise Conflict(
                f"The folder '{directory.relative_to(self._root)}' cannot be made: a file is there."
            ) from error
        except OSError as error:
            raise StorageFull("The directory for exports cannot be written to.", detail=f"({error})") from error


def drop_unfinished(exports: Path, unfinished_jobs: Collection[str]) -> None:
    """At start: what jobs that are gone have left."""
    for work in exports.glob(f"*/{UNFINISHED}/*"):
        if work.name not in unfinished_jobs:
            shutil.rmtree(work, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

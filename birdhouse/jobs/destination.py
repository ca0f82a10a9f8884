"""Where the files of a sink go: what every such place can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from birdhouse.engine.types import Statistics, quote_string
from birdhouse.jobs.queue import Run
from birdhouse.language.datafile.export import Compression, Export, Format, numbered
from birdhouse.query.compose import Composed

_ENGINE_FORMATS = {Format.CSV: "CSVWithNames", Format.NDJSON: "JSONEachRow", Format.PARQUET: "Parquet"}
_METHODS = {Compression.GZIP: "gzip", Compression.BROTLI: "br"}
_PARQUET_METHODS = {Compression.GZIP: "gzip", Compression.BROTLI: "brotli"}


@dataclass(frozen=True, slots=True)
class FileForm:
    """How the engine is told the form of a file."""

    arguments: str
    """Of its table functions: format, structure, compression."""
    settings: tuple[str, ...] = ()


def form_of(export: Export) -> FileForm:
    name = quote_string(_ENGINE_FORMATS[export.format])
    if export.format is not Format.PARQUET:
        method = _METHODS.get(export.compression, str(export.compression))
        return FileForm(f"{name}, 'auto', {quote_string(method)}")
    method = _PARQUET_METHODS.get(export.compression, str(export.compression))
    return FileForm(f"{name}, 'auto', 'none'", (f"output_format_parquet_compression_method = {quote_string(method)}",))


class Destination(Protocol):
    """One job writes its files to it. A name is a path below the place."""

    def shown(self, name: str) -> str:
        """The name as users know it, with the place."""
        ...

    async def choose(self, names: Sequence[str]) -> list[str]:
        """The names that the files get: others where files are that must stay."""
        ...

    async def write(self, run: Run, number: int, name: str, rows: Composed, form: FileForm) -> Statistics:
        """Writes one file whole, over what an earlier run of the job may have written of it."""
        ...

    async def publish(self, names: Sequence[str]) -> Mapping[str, int]:
        """Lets everybody see the files that were written, by number, and answers their names and sizes in bytes."""
        ...

    async def clean(self, names: Sequence[str]) -> None:
        """Removes what was written and shall not stay."""
        ...


def free_names(names: Sequence[str], is_taken: Callable[[str], bool]) -> list[str]:
    """Each name, or its first numbered form that is neither taken nor given to another file of the job."""
    given: dict[str, None] = {}
    for name in names:
        candidates = (name if number == 0 else numbered(name, number) for number in count())
        given[next(each for each in candidates if each not in given and not is_taken(each))] = None
    return list(given)

"""The datafiles that paths on the command line stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from birdhouse.errors import InvalidInput, NotFound

SUFFIXES = (".datasource", ".pipe", ".incl", ".token")
FILES_MAX = 20_000


def datafiles(paths: Sequence[Path]) -> list[Path]:
    """Each file once, in the order of the paths; a folder stands for all datafiles below it, hidden folders left out.

    Raises NotFound, or InvalidInput for a file of another kind.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found.update(dict.fromkeys(sorted(_below(path))))
        elif not path.exists():
            raise NotFound(f"'{path}' does not exist")
        elif path.suffix not in SUFFIXES:
            raise InvalidInput(f"'{path}' is not a datafile", hint=f"Datafiles end in {', '.join(SUFFIXES)}.")
        else:
            found[path] = None
        if len(found) > FILES_MAX:
            raise InvalidInput(f"There are more than {FILES_MAX} datafiles", hint="Name a folder with fewer.")
    if not found:
        raise NotFound(
            f"There are no datafiles in {', '.join(map(str, paths))}",
            hint=f"Datafiles end in {', '.join(SUFFIXES)}.",
        )
    return list(found)


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name == "node_modules":
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)
        elif path.suffix in SUFFIXES and path.is_file():
            yield path

"""Finds and reads the datafiles of a project folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from birdhouse.errors import BirdhouseError, DatafileError, DeploymentRefused, NotFound
from birdhouse.language.datafile.format import format_datafile
from birdhouse.language.datafile.include import unroll
from birdhouse.language.datafile.lines import Place, SourceLine, UnrolledText
from birdhouse.language.datafile.model import Definition
from birdhouse.language.datafile.parse import examine, parse_datafile

SUFFIXES = (".datasource", ".pipe", ".token")
FOLDERS = ("", "datasources", "pipes", "endpoints", "tokens")
"""Where datafiles are looked for: the same folders as the official client."""


@dataclass(frozen=True, slots=True)
class ProjectText:
    """Path, relative to the folder, to text with its includes unrolled; and why other files have none."""

    files: Mapping[str, UnrolledText]
    unreadable: Mapping[str, BirdhouseError]


def load_project(folder: Path) -> ProjectText:
    """Raises NotFound when there is no datafile. What the texts say is not looked at."""
    files: dict[str, UnrolledText] = {}
    unreadable: dict[str, BirdhouseError] = {}
    for path in project_paths(folder):
        name = str(path.relative_to(folder))
        try:
            files[name] = unrolled_file(path, name)
        except BirdhouseError as error:
            unreadable[name] = error
    return ProjectText(files, unreadable)


def project_paths(folder: Path) -> list[Path]:
    """The datafiles of a project. Raises NotFound when there are none."""
    if not folder.is_dir():
        raise NotFound(f"'{folder}' is not a folder")
    paths = [
        path
        for name in FOLDERS
        for path in sorted((folder / name).glob("*"))
        if path.suffix in SUFFIXES and path.is_file()
    ]
    if not paths:
        raise NotFound(
            f"There are no datafiles in '{folder}'",
            hint=f"Expected {', '.join(SUFFIXES)} there or in {', '.join(name for name in FOLDERS if name)}.",
        )
    return paths


def read_project(folder: Path) -> dict[str, str]:
    """What to send of a project, by path. Raises NotFound when there is no datafile.

    Raises DeploymentRefused with everything that is wrong with how the files are written.
    """
    project = load_project(folder)
    found: dict[str, str] = {}
    wrong: list[BirdhouseError] = list(project.unreadable.values())
    for name, text in project.files.items():
        definition, mistakes = examine(text, name, env=os.environ)
        wrong += mistakes
        if definition is not None:
            found[name] = _to_send(text, name, definition)
    if wrong:
        raise DeploymentRefused(sorted(wrong, key=lambda error: (error.file, error.line)))
    return found


def read_file(path: Path) -> str:
    """What to send of one datafile. Raises NotFound, or DeploymentRefused with everything that is wrong with it."""
    if not path.is_file():
        raise NotFound(f"'{path}' is not a file")
    text = unrolled_file(path, str(path))
    definition, wrong = examine(text, str(path), env=os.environ)
    if definition is None or wrong:
        raise DeploymentRefused(wrong)
    return _to_send(text, str(path), definition)


def unrolled_file(path: Path, name: str) -> UnrolledText:
    """The text of a datafile with its includes; lines of those are known by their path from the project folder."""
    text = unroll(_read(path, name), read=lambda other: _read(path.parent / other, other), file=name, env=os.environ)
    folder = os.path.dirname(name)
    lines = zip(text.split("\n"), text.places, strict=False)
    return UnrolledText.of([SourceLine(line, _from_folder(place, name, folder)) for line, place in lines])


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DatafileError("The file is not UTF-8", file=name, line=line) from error


def _from_folder(place: Place, name: str, folder: str) -> Place:
    return place if place.file == name else Place(os.path.normpath(os.path.join(folder, place.file)), place.line)


def _to_send(text: UnrolledText, name: str, definition: Definition) -> str:
    """The text, or one with the variables of the environment filled in: here is where they are known."""
    is_same = "$" not in text or definition == parse_datafile(text, file=name)
    return str(text) if is_same else format_datafile(definition)


def bundled_insights() -> Path:
    """The data project `insights`: in the checkout beside the package, or inside an installed wheel."""
    checkout = Path(__file__).parent.parent.parent / "insights"
    if checkout.is_dir():
        return checkout
    return Path(str(files("birdhouse").joinpath("bundled", "insights")))

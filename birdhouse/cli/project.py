"""Finds and reads the datafiles of a project folder."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from birdhouse.errors import BirdhouseError, DeploymentRefused, NotFound
from birdhouse.language.datafile.format import format_datafile
from birdhouse.language.datafile.include import unroll
from birdhouse.language.datafile.parse import parse_datafile, problems

SUFFIXES = (".datasource", ".pipe", ".token")
FOLDERS = ("", "datasources", "pipes", "endpoints", "tokens")
"""Where datafiles are looked for: the same folders as the official client."""


def read_project(folder: Path) -> dict[str, str]:
    """Path, relative to the folder, to text with its includes expanded. Raises NotFound when there is no datafile.

    Raises DeploymentRefused with everything that is wrong with how the files are written.
    """
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
    found: dict[str, str] = {}
    wrong: list[BirdhouseError] = []
    for path in paths:
        name = str(path.relative_to(folder))
        try:
            found[name] = read_datafile(path, name)
        except DeploymentRefused as refused:
            wrong += refused.problems
        except BirdhouseError as error:
            wrong.append(error)
    if wrong:
        raise DeploymentRefused(wrong)
    return found


def read_datafile(path: Path, name: str) -> str:
    """The text to send. Variables of the environment are filled in here, where they are known."""
    text = unroll(
        path.read_text("utf-8"), read=lambda other: (path.parent / other).read_text("utf-8"), file=name, env=os.environ
    )
    wrong = problems(text, name, env=os.environ)
    if wrong:
        raise DeploymentRefused(wrong)
    definition = parse_datafile(text, file=name, env=os.environ)
    return str(text) if definition == parse_datafile(text, file=name) else format_datafile(definition)


def bundled_insights() -> Path:
    """The data project `insights`: in the checkout beside the package, or inside an installed wheel."""
    checkout = Path(__file__).parent.parent.parent / "insights"
    if checkout.is_dir():
        return checkout
    return Path(str(files("birdhouse").joinpath("bundled", "insights")))

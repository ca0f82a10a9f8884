"""The datafiles of the service data sources, which are deployed at start like anybody's."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

FOLDERS = ("datasources", "pipes")


def service_datafiles() -> list[tuple[str, str]]:
    """File name and text of each, in the order of their names."""
    package = files("birdhouse.usage")
    found: list[Traversable] = [each for folder in FOLDERS for each in package.joinpath(folder).iterdir()]
    return sorted((each.name, each.read_text("utf-8")) for each in found if "." in each.name)

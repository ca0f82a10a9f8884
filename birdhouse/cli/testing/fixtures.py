"""The rows a project brings for its tests: a file for each data source, in the formats that data sources take."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from birdhouse.client import Client
from birdhouse.errors import BirdhouseError, NotFound

FOLDERS = (Path("fixtures"), Path("datasources") / "fixtures")
FORMATS = ("ndjson", "csv", "parquet")
FILES_AT_A_TIME = 4


class FixtureRefused(BirdhouseError):
    """A fixture could not be loaded."""


@dataclass(frozen=True, slots=True)
class Fixture:
    path: Path
    datasource: str
    format: str


@dataclass(frozen=True, slots=True)
class Misfits:
    fixture: Fixture
    rows: int


def find_fixtures(project: Path, datasources: Collection[str]) -> list[Fixture]:
    """Files named after the data source they belong to, plain or compressed. Raises NotFound for a stranger."""
    found: list[Fixture] = []
    for folder in FOLDERS:
        for path in sorted((project / folder).glob("*")):
            name, _, rest = path.name.partition(".")
            format = rest.removesuffix(".gz").removesuffix(".zst")
            if format not in FORMATS:
                continue
            if name not in datasources:
                raise NotFound(
                    f"There is no data source '{name}' for the fixture {path}",
                    hint="Name the file after its data source.",
                )
            found.append(Fixture(path, name, format))
    return found


def fixture_bytes(project: Path) -> int:
    """How much there is to load at most, whatever the files are."""
    files = (path for folder in FOLDERS for path in (project / folder).glob("*") if path.is_file())
    return sum(path.stat().st_size for path in files)


def load_fixtures(client: Client, fixtures: Sequence[Fixture], progress: Callable[[int], None]) -> list[Misfits]:
    """Those of which rows went to quarantine. Raises FixtureRefused for one that cannot be read."""
    misfits: list[Misfits] = []
    with ThreadPoolExecutor(FILES_AT_A_TIME) as pool:
        for number, found in enumerate(pool.map(lambda each: _load(client, each), fixtures), start=1):
            progress(number)
            if found.rows:
                misfits.append(found)
    return misfits


def _load(client: Client, fixture: Fixture) -> Misfits:
    try:
        answer = client.append_file(fixture.datasource, fixture.path, fixture.format)
    except BirdhouseError as error:
        raise FixtureRefused(f"The fixture {fixture.path} could not be loaded", detail=error.message) from error
    return Misfits(fixture, int(answer.get("quarantine_rows") or 0) + int(answer.get("invalid_lines") or 0))

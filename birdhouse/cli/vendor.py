"""What other workspaces share with a project: `vendor/WORKSPACE/`, as `tb pull` writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from birdhouse.cli.project import read_project
from birdhouse.cli.testing.fixtures import Fixture, find_fixtures

FOLDER = Path("vendor")
DATASOURCE_SUFFIX = ".datasource"


@dataclass(frozen=True, slots=True)
class Vendored:
    """`files` are the datafiles of the data sources that the workspace shares, by path in its folder."""

    workspace: str
    files: Mapping[str, str]
    fixtures: Sequence[Fixture] = ()

    @property
    def datasources(self) -> list[str]:
        return [Path(path).stem for path in self.files]


def find_vendored(project: Path) -> list[Vendored]:
    """Raises DeploymentRefused with everything that is wrong with how the files are written."""
    found = []
    for folder in sorted((project / FOLDER).glob("*/")):
        if not any((folder / "datasources").glob(f"*{DATASOURCE_SUFFIX}")):
            continue
        files = {path: text for path, text in read_project(folder).items() if path.endswith(DATASOURCE_SUFFIX)}
        names = [Path(path).stem for path in files]
        found.append(Vendored(folder.name, files, find_fixtures(folder, names)))
    return found

"""What the official formatter makes of a project is what `birdhouse fmt` makes of it, to the byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tb_client import REPOSITORY, Tb

from birdhouse.cli.files import datafiles
from birdhouse.language.datafile.reformat import reformat
from birdhouse.language.sql.layout import laid_out

NOT_FOR_THE_CLIENT = "SCHEMA >"
"""The client formats no included file without a node, such as one with the schema of several data sources."""


@pytest.fixture
def project(signed_out_tb: Tb) -> Path:
    """A copy of the insights project that nobody has formatted."""
    folder = signed_out_tb.folder
    for name in ("datasources", "pipes", "includes"):
        shutil.copytree(REPOSITORY / "insights" / name, folder / name)
    for path in datafiles([folder]):
        text = path.read_text("utf-8")
        path.write_text(
            text.replace("    SELECT ", "      SELECT  ").replace(",\n", ",\n\n").replace("{{ ", "{{"), "utf-8"
        )
    return folder


def test_every_file_of_insights_is_formatted_as_the_client_does(project: Path, signed_out_tb: Tb) -> None:
    files = [path for path in datafiles([project]) if not _is_schema(path)]
    ours = {path: reformat(path.read_text("utf-8"), path.name, laid_out) for path in files}
    assert any(path.read_text("utf-8") != text for path, text in ours.items())
    signed_out_tb("fmt", "--yes", *(str(path.relative_to(project)) for path in files))
    for path, text in ours.items():
        assert path.read_text("utf-8") == text, path.name


def _is_schema(path: Path) -> bool:
    return path.suffix == ".incl" and NOT_FOR_THE_CLIENT in path.read_text("utf-8")

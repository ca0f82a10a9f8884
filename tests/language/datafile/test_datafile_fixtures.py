"""Every file of fixtures/ is a datafile, a dashed line, and its canonical text or the errors it has."""

from pathlib import Path

import pytest

from birdhouse.errors import DatafileError
from birdhouse.language.datafile.format import format_datafile
from birdhouse.language.datafile.parse import parse_datafile, problems

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.txt"))
DIVIDER = "----------\n"


def told(error: DatafileError) -> str:
    return f"error {error.line}:{error.column} {error.message} — {error.hint}"


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.stem)
def test_a_datafile_gives_its_canonical_text_or_its_errors(fixture: Path) -> None:
    text, expected = fixture.read_text().split(DIVIDER)
    file = fixture.name.removesuffix(".txt")
    found = problems(text, file)
    if expected.startswith("error "):
        assert [told(error) for error in found] == expected.splitlines()
        assert all(error.file == file for error in found)
        return
    assert found == []
    assert format_datafile(parse_datafile(text, file=file)) == expected


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.stem)
def test_canonical_text_is_its_own_canonical_text(fixture: Path) -> None:
    text, expected = fixture.read_text().split(DIVIDER)
    file = fixture.name.removesuffix(".txt")
    if expected.startswith("error "):
        return
    assert parse_datafile(expected, file=file) == parse_datafile(text, file=file)
    assert format_datafile(parse_datafile(expected, file=file)) == expected


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.stem)
def test_line_ends_of_other_systems_mean_the_same(fixture: Path) -> None:
    text, _ = fixture.read_text().split(DIVIDER)
    file = fixture.name.removesuffix(".txt")
    expected = [told(error) for error in problems(text, file)]
    for ending in ("\r\n", "\r"):
        assert [told(error) for error in problems(text.replace("\n", ending), file)] == expected

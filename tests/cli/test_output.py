"""What commands print."""

from __future__ import annotations

import pytest

from birdhouse.cli import output

NAME = "leaderboards_project_active_organizations_of_the_whole_year"


@pytest.mark.parametrize("columns", [20, 80])
def test_a_table_is_as_wide_as_its_names(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    output.table(("copy", "for", "rows"), [(NAME, NAME, 1_000), ("short", "", 2)], numbers=("rows",))
    assert capsys.readouterr().out.splitlines() == [
        f"{'copy':{len(NAME)}}  {'for':{len(NAME)}}   rows",
        f"{NAME}  {NAME}  1,000",
        f"{'short':{len(NAME)}}  {'':{len(NAME)}}      2",
    ]


@pytest.mark.parametrize(("number", "text"), [(0, "0 steps"), (1, "1 step"), (2_000, "2,000 steps")])
def test_what_is_counted_has_the_right_form(number: int, text: str) -> None:
    assert output.counted(number, "step") == text

from __future__ import annotations

import json
from pathlib import Path

from commands import Commands, in_a_process

INSIGHTS = Path(__file__).parent.parent.parent / "insights"


def test_the_insights_project_has_no_problems(tmp_path: Path) -> None:
    assert in_a_process("check", INSIGHTS, folder=tmp_path).endswith(" datafiles: no problems\n")
    assert list(tmp_path.iterdir()) == []


def test_all_problems_are_told_with_their_places(tmp_path: Path) -> None:
    files = {
        "project/datasources/bad.datasource": "SCHEMA >\n    a Strin\n",
        "project/datasources/good.datasource": "SCHEMA >\n    a String\n",
        "project/includes/part.incl": "NODE part\nSQL >\n    SELECT b FROM ${TABLE}\n",
        "project/pipes/a.pipe": 'INCLUDE "../includes/part.incl"\nNODE last\nSQL >\n    SELECT * FROM part\n',
        "project/pipes/b.pipe": 'INCLUDE "../includes/none.incl"\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "project/pipes/c.pipe").write_bytes(b"NODE a\nSQL >\n    SELECT '\xff'\n")
    printed = in_a_process("check", "project", folder=tmp_path, code=1, environment={"TABLE": "good"})
    assert printed == (
        "project/datasources/bad.datasource:2:5: Column 'a': Unknown type 'Strin'\n    Did you mean String?\n"
        "project/includes/part.incl:3:12: Unknown expression identifier `b`. Maybe you meant: ['a'] "
        "(in node 'part' of pipe 'a')\n"
        "project/pipes/b.pipe:1:1: The included file '../includes/none.incl' cannot be read\n"
        "    The path starts in the folder of the datafile that is deployed, also in nested includes.\n"
        "project/pipes/c.pipe:3: The file is not UTF-8\n"
        "✗ 5 datafiles: 4 problems\n"
    )
    answer = json.loads(
        in_a_process("check", "project", "--json", folder=tmp_path, code=1, environment={"TABLE": "good"})
    )
    assert answer["files"] == 5
    assert answer["problems"][0] == {
        "message": "Column 'a': Unknown type 'Strin'",
        "file": "project/datasources/bad.datasource",
        "line": 2,
        "column": 5,
        "hint": "Did you mean String?",
    }


def test_a_folder_without_datafiles_is_refused(birdhouse: Commands) -> None:
    birdhouse("check", code=1)
    assert "There are no datafiles in '.'" in birdhouse.error
    birdhouse("check", "nowhere", code=1)
    assert "'nowhere' is not a folder" in birdhouse.error


def test_what_another_workspace_shares_is_known_by_its_datafile(birdhouse: Commands) -> None:
    folder = birdhouse.folder
    pipe = "NODE n\nSQL >\n    SELECT sum({}) AS visits FROM shop.visits\n"
    birdhouse.write({"pipes/reach.pipe": pipe.format("visits")})
    printed = in_a_process("check", folder, folder=folder, code=1)
    assert "Resource 'shop.visits' not found" in printed and "tb datasource share visits" in printed
    birdhouse.write({"vendor/shop/datasources/visits.datasource": "SCHEMA >\n    `n` UInt32\n"})
    printed = in_a_process("check", folder, folder=folder, code=1)
    assert "reach.pipe:3:16" in printed and "`visits`" in printed
    birdhouse.write({"pipes/reach.pipe": pipe.format("n")})
    in_a_process("check", folder, folder=folder)

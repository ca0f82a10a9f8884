"""In what order copies are run before the tests, and how outcomes are told as JUnit XML."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from workspaces import pipe

from birdhouse.cli.testing.cases import ScriptTest
from birdhouse.cli.testing.junit import junit
from birdhouse.cli.testing.pipeline import Step, pipeline
from birdhouse.cli.testing.run import Outcome
from birdhouse.errors import DatafileError


def table(name: str) -> tuple[str, str]:
    return f"{name}.datasource", "SCHEMA >\n    a String\n"


def copy(name: str, reads: str, writes: str) -> tuple[str, str]:
    return f"{name}.pipe", pipe(f"SELECT a FROM {reads}", more=f"TYPE copy\nTARGET_DATASOURCE {writes}\n")


def view(name: str, reads: str, writes: str) -> tuple[str, str]:
    return f"{name}.pipe", pipe(f"SELECT a FROM {reads}", more=f"TYPE materialized\nDATASOURCE {writes}\n")


TABLES = [table(name) for name in ("raw", "one", "two", "three", "four", "five")]
LINEAGE = dict(
    [
        *TABLES,
        copy("c_first", "raw", "one"),
        copy("a_second", "between", "two"),
        ("between.pipe", pipe("SELECT a FROM one")),
        view("trigger", "two", "three"),
        copy("b_third", "three", "four"),
        copy("d_first", "raw", "five"),
    ]
)


def test_copies_run_after_those_whose_rows_they_read(tmp_path: Path) -> None:
    assert pipeline(tmp_path, LINEAGE) == [
        Step(("c_first", "d_first"), {}),
        Step(("a_second",), {}),
        Step(("b_third",), {}),
    ]


def test_copies_that_read_each_other_run_twice_in_turn(tmp_path: Path) -> None:
    files = dict(
        [*TABLES, copy("x", "one JOIN two USING (a)", "one"), copy("y", "one", "two"), copy("z", "two", "three")]
    )
    assert [step.copies for step in pipeline(tmp_path, files)] == [("x",), ("y",), ("x",), ("y",), ("z",)]


def test_a_project_says_itself_what_runs(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/pipeline.txt").write_text(
        "# the night\n\n*_first night='2024-04-10 01:00:00' n=1  # both\na_second c_first\n"
    )
    assert pipeline(tmp_path, LINEAGE) == [
        Step(("c_first", "d_first"), {"night": "2024-04-10 01:00:00", "n": "1"}),
        Step(("a_second", "c_first"), {}),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [("a_secnd\n", "There is no copy pipe 'a_secnd'"), ("between", "no copy pipe 'between'"), ("'a", "cannot be read")],
)
def test_what_is_no_copy_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/pipeline.txt").write_text(f"\n{text}")
    with pytest.raises(DatafileError, match=message) as caught:
        pipeline(tmp_path, LINEAGE)
    assert caught.value.line == 2


def test_what_xml_cannot_hold_is_replaced() -> None:
    case = ScriptTest("a", Path("tests/a.test"), Path("tests/a.test.result"))
    text = junit([Outcome(case, 0.5, "bad \x00 & <wrong>")], ["- \x1b[31m\ufffe"], "mine")
    failure = next(ElementTree.fromstring(text).iter("failure"))
    assert failure.get("message") == "bad � & <wrong>"
    assert failure.text == "- �[31m�"

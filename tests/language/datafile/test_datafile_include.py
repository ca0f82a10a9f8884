from pathlib import Path

import pytest

from birdhouse.errors import DatafileError, NotFound
from birdhouse.language.datafile.include import INCLUDE_DEPTH_MAX, includes, unroll
from birdhouse.language.datafile.parse import parse_datafile, parse_pipe, problems

PIPE = """\
INCLUDE "filters.incl" "TABLE=events" "COLUMN=user"
NODE last
SQL >
    SELECT * FROM filtered
INCLUDE token.incl
"""
FILES = {
    "filters.incl": "NODE filtered\nSQL >\n    SELECT ${COLUMN}, $$1, $OTHER FROM $TABLE\n"
    "INCLUDE nested.incl 'NAME=$COLUMN'\n",
    "nested.incl": "NODE n_$NAME\nSQL >\n    SELECT 2\n",
    "token.incl": "TOKEN app READ",
}


def test_included_text_takes_the_place_of_its_line_with_variables_filled_in() -> None:
    text = unroll(PIPE, read=FILES.__getitem__, file="p.pipe")
    pipe = parse_pipe(text, name="p")
    assert [(node.name, node.sql) for node in pipe.nodes] == [
        ("filtered", "SELECT user, $1, $OTHER FROM events"),
        ("n_user", "SELECT 2"),
        ("last", "SELECT * FROM filtered"),
    ]
    assert pipe.tokens[0].name == "app"


def test_an_error_in_an_included_file_points_at_that_file() -> None:
    files = {**FILES, "nested.incl": "NODE n\nSQL >\n    SELECT 2\nTYPE endpont\n"}
    text = unroll(PIPE, read=files.__getitem__, file="p.pipe")
    [error] = problems(text, "p.pipe")
    assert (error.file, error.line, error.message) == ("nested.incl", 4, "Unknown TYPE 'endpont'")


def test_an_error_below_an_include_keeps_its_own_line() -> None:
    text = unroll(PIPE + "TYPO x\n", read=FILES.__getitem__, file="p.pipe")
    with pytest.raises(DatafileError) as caught:
        parse_datafile(text, file="p.pipe")
    assert (caught.value.file, caught.value.line) == ("p.pipe", 6)


def test_a_file_name_takes_environment_variables() -> None:
    text = unroll('INCLUDE "$PART/x.incl"\n', read=lambda name: f"DESCRIPTION {name}", env={"PART": "eu"})
    assert str(text) == "DESCRIPTION eu/x.incl\n"


def test_include_is_plain_text_inside_a_block_and_a_directive_after_it() -> None:
    text = "SQL >\n    INCLUDE a.incl\n  include b.incl\nINCLUDE c.incl\n    INCLUDE d.incl\n"
    assert includes(text) == ["c.incl", "d.incl"]


def test_a_block_that_an_included_file_opens_goes_on_below_the_include() -> None:
    text = unroll("INCLUDE a.incl\n    INCLUDE b.incl\nTYPE x\n", read={"a.incl": "NODE n\nSQL >"}.__getitem__)
    assert str(text) == "NODE n\nSQL >\n    INCLUDE b.incl\nTYPE x\n"


def missing(name: str) -> str:
    raise NotFound(name)


@pytest.mark.parametrize("read", [missing, {}.__getitem__, lambda name: Path("/does/not/exist", name).read_text()])
def test_a_missing_file_is_told_at_the_include_line(read) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DatafileError, match=r"'filters.incl' cannot be read \(p.pipe:1:1\)"):
        unroll(PIPE, read=read, file="p.pipe")


def test_a_cycle_is_told_with_its_path() -> None:
    files = {"a.incl": "INCLUDE b.incl", "b.incl": "\nINCLUDE a.incl"}
    with pytest.raises(DatafileError, match=r"a.incl -> b.incl -> a.incl \(b.incl:2:1\)"):
        unroll("INCLUDE a.incl", read=files.__getitem__)


def test_includes_have_a_depth_limit() -> None:
    def read(name: str) -> str:
        return f"INCLUDE x{name}"

    with pytest.raises(DatafileError, match=f"at most {INCLUDE_DEPTH_MAX} deep"):
        unroll("INCLUDE x", read=read)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("INCLUDE", "needs a file name"),
        ("INCLUDE a.incl KEY", "KEY is not a variable"),
        ('INCLUDE a.incl "=x"', "is not a variable"),
    ],
)
def test_a_malformed_include_is_refused(line: str, message: str) -> None:
    with pytest.raises(DatafileError, match=message):
        unroll(line, read=FILES.__getitem__)

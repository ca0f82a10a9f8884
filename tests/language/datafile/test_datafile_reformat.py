"""Text in canonical form: what it looks like, that it says the same, that it loses no comment and settles at once."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_datafile_properties import FILES, datasources, pipes, tokens

from birdhouse.errors import DatafileError
from birdhouse.language.datafile.format import format_datafile
from birdhouse.language.datafile.model import Definition, PipeDefinition
from birdhouse.language.datafile.parse import parse_datafile
from birdhouse.language.datafile.reformat import reformat
from birdhouse.language.sql.layout import laid_out, says_the_same

HERE = Path(__file__).parent
FIXTURES = sorted((HERE / "reformatted").glob("*.txt"))
DIVIDER = "----------\n"
INSIGHTS = HERE.parent.parent.parent / "insights"


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.stem)
def test_text_gets_its_canonical_form_or_an_error(fixture: Path) -> None:
    text, expected = fixture.read_text("utf-8").split(DIVIDER)
    file = fixture.name.removesuffix(".txt")
    if expected.startswith("error "):
        with pytest.raises(DatafileError) as caught:
            reformat(text, file, laid_out)
        error = caught.value
        assert f"error {error.line}:{error.column} {error.message} — {error.hint}\n" == expected
        return
    assert reformat(text, file, laid_out) == expected
    assert reformat(expected, file, laid_out) == expected
    assert reformat(text.replace("\n", "\r\n"), file, laid_out) == expected


@pytest.mark.parametrize("folder", ["datasources", "pipes", "includes"])
def test_the_insights_project_is_in_canonical_form(folder: str) -> None:
    for path in sorted((INSIGHTS / folder).iterdir()):
        text = path.read_text("utf-8")
        assert reformat(text, path.name, laid_out) == text, path.name


def with_sql(definition: Definition, sql: str) -> Definition:
    """The definition with one SQL for all its nodes, so that the rest can be compared."""
    if not isinstance(definition, PipeDefinition):
        return definition
    return replace(definition, nodes=tuple(replace(node, sql=sql) for node in definition.nodes))


def queries(definition: Definition) -> list[str]:
    return [node.sql for node in definition.nodes] if isinstance(definition, PipeDefinition) else []


_DIRECTIVE = re.compile(r"[A-Z_]+( |$)")


@st.composite
def untidy_texts(draw: st.DrawFn) -> tuple[str, str]:
    """A datafile with comments and blank lines in many places; and its name."""
    definition = draw(datasources | pipes | tokens)
    lines: list[str] = []
    for number, line in enumerate(format_datafile(definition).splitlines()):
        what = draw(st.integers(0, 7))
        if what == 0:
            lines.append(f"# above {number}")
        if what == 1:
            lines.append("")
        if what == 2 and _DIRECTIVE.match(line):
            lines += [f"# for itself {number}", ""]
        lines.append(line)
        if what == 3 and line.endswith(" >"):
            lines.append(f"    # inside {number}")
    if draw(st.booleans()):
        lines.append("# the end")
    return "\n".join(lines), FILES[type(definition)]


@settings(max_examples=150, deadline=None)
@given(untidy_texts())
def test_the_new_text_says_the_same_with_every_comment_and_settles_at_once(untidy: tuple[str, str]) -> None:
    text, file = untidy
    new = reformat(text, file, laid_out)
    assert reformat(new, file, laid_out) == new
    before, after = parse_datafile(text, file=file), parse_datafile(new, file=file)
    assert with_sql(after, "x") == with_sql(before, "x")
    for old_sql, new_sql in zip(queries(before), queries(after), strict=True):
        assert says_the_same(old_sql, new_sql)
    comments = re.findall(r"# (?:above|for itself|inside) \d+|# the end", text)
    assert sorted(re.findall(r"# (?:above|for itself|inside) \d+|# the end", new)) == sorted(comments)

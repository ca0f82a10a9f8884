"""Writes what tests answer now into the files that say what they should answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import indent

import yaml

from birdhouse.cli.testing.cases import EndpointTest, ScriptTest
from birdhouse.cli.testing.run import Outcome

EXPECTED = "expected_result"


def result_file(outcome: Outcome) -> Path | None:
    """The file that holds the expected result, when the answer could become one."""
    if outcome.passed or outcome.actual is None:
        return None
    return outcome.case.expected if isinstance(outcome.case, ScriptTest) else outcome.case.file


def updated_texts(outcomes: Iterable[Outcome]) -> dict[Path, tuple[str, str]]:
    """The text before and after of each file to write; what else is in it stays as it is."""
    texts: dict[Path, tuple[str, str]] = {}
    answers: dict[Path, dict[int, str]] = {}
    for outcome in outcomes:
        case = outcome.case
        if outcome.actual is None:
            continue
        if isinstance(case, ScriptTest):
            before = case.expected.read_text("utf-8") if case.expected.is_file() else ""
            texts[case.expected] = (before, outcome.actual)
        elif isinstance(case, EndpointTest):
            answers.setdefault(case.file, {})[case.line] = outcome.actual
    for path, by_line in answers.items():
        before = path.read_text("utf-8")
        texts[path] = (before, with_answers(before, by_line))
    return texts


def with_answers(text: str, answers: Mapping[int, str]) -> str:
    """A YAML list of tests with new expected results, by the line on which a test begins."""
    root = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(root, yaml.SequenceNode)
    for entry in reversed(root.value):
        answer = answers.get(entry.start_mark.line + 1)
        if answer is not None:
            text = _with_answer(text, entry, answer)
    return text


def _with_answer(text: str, entry: yaml.MappingNode, answer: str) -> str:
    column = entry.value[0][0].start_mark.column
    lines = f"\n{indent(answer.strip(), ' ' * (column + 2))}" if answer.strip() else ""
    sign = "|" if lines else '""'
    for key, value in entry.value:
        if key.value == EXPECTED:
            end, line_end = _end(text, value)
            comment = _comment(text, value) + text[end:line_end]
            return text[: value.start_mark.index] + sign + comment + lines + text[line_end:]
    _, line_end = _end(text, entry.value[-1][1])
    return f"{text[:line_end]}\n{' ' * column}{EXPECTED}: {sign}{lines}{text[line_end:]}"


def _comment(text: str, node: yaml.Node) -> str:
    """Of the line on which a text of several lines begins."""
    if not isinstance(node, yaml.ScalarNode) or node.style not in ("|", ">"):
        return ""
    header = text[node.start_mark.index + 1 : node.end_mark.index].partition("\n")[0]
    return header.lstrip("+-0123456789")


def _end(text: str, node: yaml.Node) -> tuple[int, int]:
    """Behind the last character of a value, and where its line ends: there may be a comment between the two.

    The mark of a text of several lines is behind the gap below it.
    """
    start = node.start_mark.index
    end = start + len(text[start : node.end_mark.index].rstrip())
    line_end = text.find("\n", end)
    return end, len(text) if line_end < 0 else line_end

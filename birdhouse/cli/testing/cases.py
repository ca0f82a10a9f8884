"""The tests of a project folder, in all their formats.

- `tests/NAME.test`, a shell script, with `NAME.test.result`, what it prints.
- `tests/PIPE.yaml`, calls of an endpoint with the rows or the error they answer: entries with a `name`.
- `tests/NAME.yaml` of the official `tb test`: queries that have to find nothing, within limits; the key is their name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import yaml

from birdhouse.errors import BirdhouseError, DatafileError, DeploymentRefused, NotFound

FOLDER = "tests"
REGRESSION = "regression.yaml"
"""Left out, as the official client does: it is about branches."""
FILES_MAX = 10_000
OK = 200


@dataclass(frozen=True, slots=True)
class ScriptTest:
    """Passes when the script prints what is in the file `expected`, blank lines aside."""

    name: str
    file: Path
    expected: Path


@dataclass(frozen=True, slots=True)
class EndpointTest:
    """Passes when the endpoint answers with the status and these rows, or this error."""

    name: str
    file: Path
    line: int
    pipe: str
    parameters: tuple[tuple[str, str], ...]
    expected: str | None
    status: int = OK


@dataclass(frozen=True, slots=True)
class QualityTest:
    """Passes when the query finds no rows. Beyond its limits it passes with a note."""

    name: str
    file: Path
    line: int
    sql: str | None
    pipe: str | None = None
    parameters: tuple[tuple[str, str], ...] = field(default=())
    seconds_max: float | None = None
    bytes_read_max: int | None = None


Case = ScriptTest | EndpointTest | QualityTest


def find_cases(project: Path) -> list[Case]:
    """All of them, sorted by file and place. Raises NotFound when there are none.

    Raises DeploymentRefused with everything that cannot be read.
    """
    folder = project / FOLDER
    files = sorted(path for path in folder.rglob("*") if path.is_file())[:FILES_MAX] if folder.is_dir() else []
    found: list[Case] = []
    problems: list[BirdhouseError] = []
    for path in files:
        try:
            found += _in_file(path)
        except DatafileError as error:
            problems.append(error)
    if problems:
        raise DeploymentRefused(problems)
    if not found:
        raise NotFound(
            f"There are no tests in '{folder}'",
            hint="Write NAME.test with NAME.test.result, or NAME.yaml; docs/change-workflow.md shows how.",
        )
    return found


def _in_file(path: Path) -> Iterator[Case]:
    if path.suffix == ".test":
        yield ScriptTest(path.stem, path, path.with_name(f"{path.name}.result"))
    elif path.suffix in (".yaml", ".yml") and path.name != REGRESSION:
        yield from _in_yaml(path)


def _in_yaml(path: Path) -> Iterator[Case]:
    try:
        root = yaml.compose(path.read_text("utf-8"), yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        said = getattr(error, "problem", None) or str(error)
        raise DatafileError(f"This is not YAML: {said}", file=str(path), line=line, column=column) from error
    if root is None:
        return
    if not isinstance(root, yaml.SequenceNode):
        line = root.start_mark.line + 1
        raise DatafileError("A file of tests is a list", file=str(path), line=line, hint="Start each test with a dash.")
    for node in root.value:
        yield from _cases(_Entry(path, node))


class _Entry:
    """One entry of the list, with the place to name when something is wrong in it."""

    def __init__(self, path: Path, node: yaml.Node) -> None:
        self.path = path
        self.line = node.start_mark.line + 1
        self.content: Any = _value(node)

    def error(self, message: str, hint: str = "") -> DatafileError:
        return DatafileError(message, file=str(self.path), line=self.line, hint=hint)

    def get(self, content: dict[str, Any], key: str, read: Callable[[Any], Any], what: str) -> Any:
        """None when it is missing or null."""
        value = content.get(key)
        if value is None:
            return None
        try:
            return read(value)
        except (TypeError, ValueError) as failure:
            raise self.error(f"'{key}' of the test is not {what}: {value!r}") from failure


def _value(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _cases(entry: _Entry) -> Iterator[Case]:
    content = entry.content
    if not isinstance(content, dict) or not content:
        raise entry.error("A test is a mapping", "Write `- name: …`, or `- the_name:` with its keys indented below it.")
    if isinstance(content.get("name"), str):
        yield _endpoint_test(entry, content)
        return
    for name, inner in content.items():
        if not isinstance(inner, dict):
            raise entry.error(f"'{name}' is no test", "Write `- the_name:` with sql: or pipe: indented below it.")
        yield _quality_test(entry, str(name), inner)


def _endpoint_test(entry: _Entry, content: dict[str, Any]) -> EndpointTest:
    status = entry.get(content, "expected_http_status", int, "a status such as 200")
    expected = content.get("expected_result")
    return EndpointTest(
        name=str(content["name"]),
        file=entry.path,
        line=entry.line,
        pipe=entry.path.stem,
        parameters=_parameters(content.get("parameters"), entry),
        expected=None if expected is None else str(expected),
        status=OK if status is None else status,
    )


def _quality_test(entry: _Entry, name: str, content: dict[str, Any]) -> QualityTest:
    pipe = content.get("pipe") or {}
    if not isinstance(pipe, dict) or (pipe and "name" not in pipe):
        raise entry.error(f"'pipe' of the test '{name}' needs a name", "Write pipe: with name: and params: below it.")
    sql = content.get("sql")
    if not sql and not pipe:
        raise entry.error(f"The test '{name}' has neither sql nor pipe")
    return QualityTest(
        name=name,
        file=entry.path,
        line=entry.line,
        sql=str(sql).strip() if sql else None,
        pipe=str(pipe["name"]) if pipe else None,
        parameters=_parameters(pipe.get("params"), entry),
        seconds_max=entry.get(content, "max_time", float, "a number of seconds"),
        bytes_read_max=entry.get(content, "max_bytes_read", int, "a number of bytes"),
    )


def _parameters(given: Any, entry: _Entry) -> tuple[tuple[str, str], ...]:
    """A query string, or a mapping."""
    if not given:
        return ()
    if isinstance(given, str):
        return tuple(parse_qsl(given, keep_blank_values=True))
    if isinstance(given, dict):
        return tuple((str(key), _text(value)) for key, value in given.items())
    raise entry.error("The parameters of a test are a query string or a mapping")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value)


def chosen(cases: Sequence[Case], wanted: Sequence[str]) -> list[Case]:
    """Those whose file or name contains one of the texts; all when there is no text."""
    return [case for case in cases if not wanted or any(text.lower() in title(case).lower() for text in wanted)]


def title(case: Case) -> str:
    """`active_days.test`, `buckets.yaml::every_country_is_loaded`."""
    return case.file.name if isinstance(case, ScriptTest) else f"{case.file.name}::{case.name}"

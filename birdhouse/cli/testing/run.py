"""Runs one test against a server."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from birdhouse.cli.testing.cases import OK, Case, EndpointTest, QualityTest, ScriptTest
from birdhouse.client import Client
from birdhouse.errors import BirdhouseError

SCRIPT_SECONDS_MAX = 120.0
TESTS_AT_A_TIME = 4
ROWS_ASKED_MAX = 20
"""Of a query that should find none; what the official client asks for."""
ROWS_SHOWN_MAX = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """`message` says why it failed, or is empty. Where texts were compared, they are `expected` and `actual`.

    `note` is about limits of time and bytes: as for the official client, going beyond them is no failure.
    """

    case: Case
    seconds: float
    message: str = ""
    expected: str | None = None
    actual: str | None = None
    note: str = ""

    @property
    def passed(self) -> bool:
        return not self.message


@dataclass(frozen=True, slots=True)
class Place:
    """Where tests run: the project's folder, and a server with its data."""

    project: Path
    host: str
    token: str
    client: Client


def run_all(cases: Sequence[Case], place: Place, progress: Callable[[int], None]) -> list[Outcome]:
    """In the order of the cases, several at a time."""
    done: list[Outcome] = []
    with ThreadPoolExecutor(TESTS_AT_A_TIME) as pool:
        try:
            for outcome in pool.map(lambda case: run_case(case, place), cases):
                done.append(outcome)
                progress(len(done))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return done


def run_case(case: Case, place: Place) -> Outcome:
    begin = time.perf_counter()
    try:
        result = _run(case, place)
    except BirdhouseError as error:
        result = _Result(str(error))
    return Outcome(case, time.perf_counter() - begin, *result)


class _Result(NamedTuple):
    message: str = ""
    expected: str | None = None
    actual: str | None = None
    note: str = ""


def _run(case: Case, place: Place) -> _Result:
    if isinstance(case, ScriptTest):
        return _script(case, place)
    if isinstance(case, EndpointTest):
        return _endpoint(case, place)
    return _quality(case, place)


def _script(case: ScriptTest, place: Place) -> _Result:
    environment = os.environ | {"TB_HOST": place.host, "TB_TOKEN": place.token, "TB_VERSION_WARNING": "0"}
    try:
        done = subprocess.run(
            ["bash", str(case.file.absolute())],
            cwd=place.project,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SCRIPT_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Result(f"The script took longer than {SCRIPT_SECONDS_MAX:.0f} s")
    printed = done.stdout + done.stderr
    if not case.expected.is_file():
        return _Result(f"There is no {case.expected.name} to compare with; --update writes it", "", printed)
    expected = case.expected.read_text("utf-8")
    if _lines(expected) in (_lines(done.stdout), _lines(printed)):
        return _Result()
    ending = f", and the script ended with {done.returncode}" if done.returncode else ""
    return _Result(f"It prints something else{ending}", expected, printed)


def _endpoint(case: EndpointTest, place: Place) -> _Result:
    answer = place.client.answer(f"/v0/pipes/{case.pipe}.ndjson", case.parameters)
    actual = answer.text if answer.status == OK else _error(answer.text)
    if answer.status != case.status:
        return _Result(f"The endpoint answers {answer.status} instead of {case.status}: {actual.strip()}")
    if case.expected is None and answer.status == OK:
        return _Result("It has no expected_result; --update writes it", "", actual)
    if case.expected is None or _values(case.expected) == _values(actual):
        return _Result()
    if answer.status != OK and case.expected.strip() in actual:  # the rest of a message says where it happened
        return _Result()
    return _Result("It answers something else", case.expected, actual)


def _quality(case: QualityTest, place: Place) -> _Result:
    parameters = dict(case.parameters)
    if case.pipe:
        path = f"/v0/pipes/{case.pipe}.json"
        if case.sql:
            parameters["q"] = case.sql
    else:
        path = "/v0/sql"
        parameters["q"] = f"SELECT * FROM (\n{case.sql}\n) LIMIT {ROWS_ASKED_MAX} FORMAT JSON"
    answer = place.client.answer(path, tuple(parameters.items()), method="POST")
    if answer.status != OK:
        return _Result(_error(answer.text))
    content = json.loads(answer.text)
    return _Result(_rows_told(content["data"]), note="; ".join(_beyond_limits(case, content.get("statistics", {}))))


def _rows_told(rows: list[Any]) -> str:
    if not rows:
        return ""
    shown = ", ".join(json.dumps(row, ensure_ascii=False) for row in rows[:ROWS_SHOWN_MAX])
    count = f"{len(rows)}{' or more' if len(rows) >= ROWS_ASKED_MAX else ''}"
    return f"It finds {count} row{'s' if len(rows) > 1 else ''}: {shown}"


def _beyond_limits(case: QualityTest, statistics: dict[str, Any]) -> Iterable[str]:
    elapsed, bytes_read = statistics.get("elapsed", 0.0), statistics.get("bytes_read", 0)
    if case.seconds_max is not None and elapsed > case.seconds_max:
        yield f"It takes {elapsed:.3f} s, and max_time is {case.seconds_max:g}"
    if case.bytes_read_max is not None and bytes_read > case.bytes_read_max:
        yield f"It reads {bytes_read} bytes, and max_bytes_read is {case.bytes_read_max}"


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _values(text: str) -> list[Any]:
    """Lines as JSON, so that blanks and the order of keys do not matter; as text where they are none."""
    return [_json(line) for line in _lines(text)]


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line.strip()


def _error(text: str) -> str:
    content = _json(text)
    return str(content.get("error", text)) if isinstance(content, dict) else text

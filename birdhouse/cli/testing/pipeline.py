"""What has to run between the fixtures and the tests: the copies, in an order in which each finds what it reads."""

from __future__ import annotations

import difflib
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from birdhouse.catalog import lineage
from birdhouse.catalog.resources import Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.client import ENDED, Client
from birdhouse.deploy.draft import Desired, make_draft
from birdhouse.errors import BirdhouseError, DatafileError
from birdhouse.language.datafile.model import NodeKind, TokenDefinition
from birdhouse.language.datafile.parse import parse_datafile

FILE = Path("tests") / "pipeline.txt"
COPIES_AT_A_TIME = 4
ROUNDS_OF_A_CIRCLE = 2
"""Copies that read each other are run that often, so that each has seen the others' rows."""
POLL_SECONDS_MIN, POLL_SECONDS_MAX = 0.01, 0.5
"""Between two looks at a job: they get rarer the longer it takes."""
POLLS_GROW_BY = 1.2
COPY_SECONDS_MAX = 600.0


class CopyFailed(BirdhouseError):
    """A copy of the pipeline did not end well."""


@dataclass(frozen=True, slots=True)
class Step:
    """Copies that may run at the same time, with the same parameters."""

    copies: tuple[str, ...]
    parameters: Mapping[str, str]


def pipeline(project: Path, files: Mapping[str, str]) -> list[Step]:
    """As `tests/pipeline.txt` says, or by who reads whom. `files` are the datafiles, by path."""
    workspace = _workspace(files)
    path = project / FILE
    if path.is_file():
        return list(_written_steps(path, [pipe.name for pipe in _copies(workspace)]))
    return [Step(names, {}) for names in _ordered(workspace)]


def run_pipeline(client: Client, steps: Sequence[Step], progress: Callable[[int, str], None]) -> int:
    """How many copies were run. Raises CopyFailed for the first one that did not end well."""
    done = 0
    with ThreadPoolExecutor(COPIES_AT_A_TIME) as pool:
        for step in steps:
            progress(done, f"Copying {step.copies[0]}" + (f" and {len(step.copies) - 1} more" * (len(step.copies) > 1)))
            for _ in pool.map(lambda name, step=step: _copy(client, name, step.parameters), step.copies):
                done += 1
    return done


def _copy(client: Client, name: str, parameters: Mapping[str, str]) -> None:
    job_id = client.run_copy(name, parameters)
    until = time.monotonic() + COPY_SECONDS_MAX
    pause = POLL_SECONDS_MIN
    while (job := client.job(job_id))["status"] not in ENDED and time.monotonic() < until:
        time.sleep(pause)
        pause = min(pause * POLLS_GROW_BY, POLL_SECONDS_MAX)
    if job["status"] != "done":
        raise CopyFailed(f"The copy '{name}' ended as {job['status']}", detail=str(job.get("error") or ""))


def _workspace(files: Mapping[str, str]) -> Workspace:
    """What the project is as a whole; names that do not exist are the business of a deployment."""
    desired = []
    for path, text in files.items():
        definition = parse_datafile(text, file=path)
        if not isinstance(definition, TokenDefinition):
            desired.append(Desired(definition, text, path))
    draft, _ = make_draft(Workspace("test", "test", "test"), desired, datetime.now(UTC))
    return draft.after


def _copies(workspace: Workspace) -> list[Pipe]:
    return sorted((pipe for pipe in workspace.pipes() if pipe.kind is NodeKind.COPY), key=lambda pipe: pipe.name)


def _written_steps(path: Path, names: Sequence[str]) -> Iterator[Step]:
    """A step per line: names or patterns of copies, then their parameters as `key=value`; `#` begins a comment."""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise DatafileError(f"The line cannot be read: {error}", file=str(path), line=number) from error
        parameters = dict(word.split("=", 1) for word in words if "=" in word)
        copies: list[str] = []
        for word in words:
            if "=" in word:
                continue
            found = [name for name in names if fnmatchcase(name, word)]
            if not found:
                near = difflib.get_close_matches(word, names, n=1)
                hint = f"Did you mean {near[0]}?" if near else ""
                raise DatafileError(f"There is no copy pipe '{word}'", file=str(path), line=number, hint=hint)
            copies += [name for name in found if name not in copies]
        if copies:
            yield Step(tuple(copies), parameters)


def _ordered(workspace: Workspace) -> Iterator[tuple[str, ...]]:
    """Copies after those whose rows they read; at the same time where neither reads the other's."""
    feeds = {pipe.name: {each.name for each in lineage.copies_feeding(workspace, pipe)} for pipe in _copies(workspace)}
    above = {name: _reached(name, feeds) for name in feeds}
    circles = {name: frozenset({name} | {other for other in above[name] if name in above[other]}) for name in feeds}
    waiting = set(feeds)
    while waiting:
        ready = [name for name in sorted(waiting) if not (above[name] & waiting) - circles[name]]
        alone = tuple(name for name in ready if len(circles[name]) == 1)
        if alone:
            yield alone
        for circle in {circles[name] for name in ready if len(circles[name]) > 1}:
            yield from [(name,) for name in sorted(circle)] * ROUNDS_OF_A_CIRCLE
        waiting -= set(ready)


def _reached(name: str, edges: Mapping[str, Iterable[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(edges[name])
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += edges[each]
    return found

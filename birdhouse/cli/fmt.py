"""`birdhouse fmt [PATHS]`"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from birdhouse.cli import output
from birdhouse.cli.files import datafiles
from birdhouse.errors import BirdhouseError, DatafileError

FILES_PER_PROCESS = 20
"""Fewer are formatted before another process has begun."""
PROCESSES_MAX = 8


@dataclass(frozen=True, slots=True)
class Formatted:
    """`before` and `after` are the text of the file; both are empty when there is an `error`."""

    path: Path
    before: str = ""
    after: str = ""
    error: BirdhouseError | None = None

    @property
    def is_changed(self) -> bool:
        return self.before != self.after


def fmt(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files, and folders with all datafiles below them; by default this one.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file would change.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; show what would change, and exit 1.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Format .datasource, .pipe, .incl and .token files as the official client does; comments stay.

    Example: birdhouse fmt --check insights
    """
    found = datafiles(paths or [Path()])
    formatted = _formatted(found)
    results: list[Formatted] = []
    with output.progress(f"Formatting {output.counted(len(found), 'file')}", len(found)) as bar:
        for each in formatted:
            results.append(each)
            bar.to(len(results))
    failed = [each for each in results if each.error]
    changed = [each for each in results if each.is_changed]
    if not check and not diff:
        for each in changed:
            each.path.write_text(each.after, "utf-8", newline="")
    if json:
        _show_json(results)
    else:
        _show(results, only_told=check or diff, with_difference=diff)
    if failed or (changed and (check or diff)):
        raise typer.Exit(1)


def _formatted(paths: Sequence[Path]) -> Iterator[Formatted]:
    """In the order of the paths; many files are shared out among processes, which are started at once."""
    processes = min(PROCESSES_MAX, os.cpu_count() or 1, len(paths) // FILES_PER_PROCESS)
    if processes < 2:
        return map(format_file, paths)
    # A forked process has what is imported here already. With threads, and on other systems, forking is not safe.
    may_fork = sys.platform == "linux" and threading.active_count() == 1
    context = multiprocessing.get_context("fork" if may_fork else "spawn")
    pool = ProcessPoolExecutor(processes, context, _leave_interrupts_to_the_parent)
    return _results(pool, pool.map(format_file, paths, chunksize=4))


def _results(pool: ProcessPoolExecutor, results: Iterator[Formatted]) -> Iterator[Formatted]:
    try:
        yield from results
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def format_file(path: Path) -> Formatted:
    # The formatter of SQL takes a third of a second to load, which the other commands should not wait for.
    from birdhouse.language.datafile.reformat import reformat
    from birdhouse.language.sql.layout import laid_out

    try:
        before = path.read_bytes().decode("utf-8")
        return Formatted(path, before, reformat(before, str(path), laid_out))
    except BirdhouseError as error:
        return Formatted(path, error=error)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return Formatted(path, error=DatafileError("The file is not UTF-8", file=str(path), line=line))


def _show(results: Sequence[Formatted], *, only_told: bool, with_difference: bool) -> None:
    for each in results:
        if each.error:
            output.failure(each.error)
        elif each.is_changed and with_difference:
            output.difference(each.before, each.after, str(each.path), f"{each.path} (formatted)")
        elif each.is_changed:
            output.line(f"{'would format' if only_told else 'formatted'} {each.path}")
    changed = sum(each.is_changed for each in results)
    failed = sum(each.error is not None for each in results)
    verb = "would change" if only_told else "changed"
    text = f"{output.counted(len(results), 'file')}: {changed or 'none'} {verb}" + (
        f", {failed} cannot be read" if failed else ""
    )
    (output.wrong if failed or (changed and only_told) else output.done)(text)


def _show_json(results: Sequence[Formatted]) -> None:
    output.as_json(
        {
            "files": len(results),
            "changed": [str(each.path) for each in results if each.is_changed],
            "errors": [output.error_json(each.error) for each in results if each.error],
        }
    )

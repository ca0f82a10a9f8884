"""The only place that prints."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.segment import Segments
from rich.table import Table
from rich.text import Text

from birdhouse.errors import BirdhouseError

TABLE_CHARACTERS_MAX = 500

_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)


def line(text: str = "") -> None:
    _out.print(Text(text))


def heading(text: str) -> None:
    _out.print()
    _out.print(Text(text, style="bold"))


def done(text: str) -> None:
    _out.print(Text("✓ ", style="green"), Text(text), sep="")


def wrong(text: str) -> None:
    _out.print(Text("✗ ", style="red"), Text(text), sep="")


def note(text: str) -> None:
    """For people, not for scripts: goes to the error stream."""
    _err.print(Text(text, style="dim"))


def counted(number: int, noun: str) -> str:
    """`1 step`, `2,000 steps`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def failure(error: BirdhouseError) -> None:
    _err.print(Text("Error: ", style="bold red"), Text(error.message), sep="")
    for each in (error.detail, error.hint):
        if each:
            _err.print(Text(f"  {each}"))
    problems = getattr(error, "errors", ()) or getattr(error, "problems", ())
    if len(problems) > 1:
        for problem in problems:
            _err.print(Text(f"  - {problem}"))


def difference(before: str, after: str, before_name: str, after_name: str) -> None:
    """What to change in the first text to get the second, in unified format; nothing when they are equal."""
    for text in unified(before, after, before_name, after_name):
        style = "bold" if text.startswith(("---", "+++")) else _DIFFERENCE_STYLES.get(text[:1], "")
        _out.print(Text(text, style=style))


def unified(before: str, after: str, before_name: str, after_name: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), before_name, after_name, lineterm="")
    return list(lines)


_DIFFERENCE_STYLES = {"-": "red", "+": "green", "@": "cyan"}


def error_json(error: BirdhouseError) -> dict[str, Any]:
    """The three parts, and the place where there is one."""
    place = {name: value for name in ("file", "line", "column") if (value := getattr(error, name, None))}
    return {"message": error.message, **place, "hint": error.hint}


def as_json(content: Any) -> None:
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Iterable[str] = ()) -> None:
    """Columns named in `numbers` are set flush right."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column, justify="right" if column in set(numbers) else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
    # As wide as it is: a name that is cut in pieces can be neither copied nor searched for.
    # Rendered apart, because printing makes everything fit into the terminal.
    whole = Measurement.get(_out, _out.options.update(width=TABLE_CHARACTERS_MAX), grid).maximum
    _out.print(Segments(_out.render(grid, _out.options.update(width=whole))), crop=False, soft_wrap=True)


class Bar:
    """One line of progress. `total` may be unknown."""

    def __init__(self, progress: Progress, task: Any) -> None:
        self._progress = progress
        self._task = task

    def to(self, completed: float, total: float | None = None, text: str | None = None) -> None:
        options: dict[str, Any] = {"completed": completed}
        if total is not None:
            options["total"] = total
        if text is not None:
            options["description"] = text
        self._progress.update(self._task, **options)


@contextmanager
def progress(text: str, total: float | None = None) -> Iterator[Bar]:
    """A bar on the error stream while the body runs; nothing when that is no terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_err, transient=True, disable=not _err.is_terminal) as bars:
        yield Bar(bars, bars.add_task(text, total=total))

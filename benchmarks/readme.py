"""Keeps the table of last answers in README.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

from benchmarks.answer import Answer

FILE = Path(__file__).with_name("README.md")
BEGIN = "<!-- answers -->"
END = "<!-- /answers -->"
HEADER = ("question", "target", "last answer", "machine", "date")


def update(answers: Mapping[str, Sequence[Answer]], machine: str, day: date) -> None:
    """Replaces the rows of the questions that were asked; the others stay as they are."""
    before, _, rest = FILE.read_text("utf-8").partition(BEGIN)
    table, _, after = rest.partition(END)
    old = [line for line in table.splitlines() if line.startswith("| `")]
    kept = {name: [line for line in old if line.startswith(f"| `{name}`")] for name in _names(old)}
    new = {name: [_row(name, each, machine, day) for each in found] for name, found in answers.items()}
    lines = [_line(HEADER), _line(["---"] * len(HEADER)), *(row for rows in (kept | new).values() for row in rows)]
    FILE.write_text("\n".join([f"{before}{BEGIN}", *lines, f"{END}{after}"]), "utf-8")


def _names(rows: Sequence[str]) -> Iterator[str]:
    for row in rows:
        yield row.split("`")[1]


def _row(name: str, answer: Answer, machine: str, day: date) -> str:
    verdict = "" if not answer.target else ", met" if answer.is_met else ", **not met**"
    note = f" ({answer.note})" if answer.note else ""
    return _line([f"`{name}` {answer.subject}", answer.target, f"{answer.text}{verdict}{note}", machine, str(day)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

"""`python -m benchmarks [NAME …] [--json] [--write]`: asks the questions and prints the answers."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from datetime import UTC, datetime
from importlib import import_module
from types import ModuleType

from benchmarks import machine, readme
from benchmarks.answer import Answer

NAMES = (
    "endpoint_cpu",
    "recorder_overhead",
    "events_throughput",
    "streaming_memory",
    "start_time",
    "deploy_insights",
    "project_commands",
    "git_import",
    "simulation",
    "bucket_refresh",
    "copy_rows",
    "populate_rows",
    "view_inserts",
)


def main() -> int:
    """0 when every target is met."""
    parser = _parser()
    options = parser.parse_args()
    names = options.names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"there is no question {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    answers: dict[str, list[Answer]] = {}
    for name in names:
        question = import_module(f"benchmarks.{name}")
        answers[name] = question.run()
        if not options.json:
            _print(name, question, answers[name])
    if options.json:
        print(json.dumps(_as_json(answers), indent=2, ensure_ascii=False))
    if options.write:
        readme.update(answers, machine.describe(), datetime.now(UTC).date())
    return 0 if all(each.is_met for found in answers.values() for each in found) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Our server against the bare engine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--write", action="store_true", help="put the answers into benchmarks/README.md")
    return parser


def _print(name: str, question: ModuleType, answers: list[Answer]) -> None:
    print(f"\n{name}: {question.QUESTION}")
    for each in answers:
        mark = " " if not each.target else "✓" if each.is_met else "✗"
        print(f"  {mark} {each.subject:<44} {each.text:>12}  {each.target:<14} {each.note}", flush=True)


def _as_json(answers: dict[str, list[Answer]]) -> dict[str, object]:
    return {
        "machine": machine.describe(),
        "answers": {
            name: [{**dataclasses.asdict(each), "is_met": each.is_met} for each in found]
            for name, found in answers.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main())

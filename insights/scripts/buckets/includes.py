"""INCLUDE lines replaced by the text they name, as a deployment over HTTP takes it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from string import Template


def unrolled(text: str, folder: Path) -> str:
    """`folder` is that of the datafile: the names of included files begin there, also in included files."""
    lines = []
    for line in text.splitlines():
        if line.startswith("INCLUDE "):
            _, name, *given = shlex.split(line)
            included = (folder / name).read_text("utf-8")
            lines.append(unrolled(Template(included).safe_substitute(_variables(given)), folder))
        else:
            lines.append(f"{line}\n")
    return "".join(lines)


def _variables(given: list[str]) -> Mapping[str, str]:
    return dict(word.split("=", 1) for word in given)

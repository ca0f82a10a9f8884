"""Runs the shell blocks of a document as a reader would type them, and compares what they print.

A block marked `bash` runs; one marked `console` is only shown. A `text` block right behind a `bash` block is what it
prints: its lines have to come in that order, and `…` stands for anything.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

RUN_SECONDS_MAX = 240.0
TIMED_OUT = 124
PROLOGUE = """\
set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
"""
"""A shell that stops half way leaves no server behind."""
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """`line` is where it begins in the document; `printed` is what the document says it prints, or nothing."""

    line: int
    code: str
    printed: str = ""


def bash_blocks(text: str) -> list[Block]:
    found: list[Block] = []
    end = -1
    for fence in _FENCED.finditer(text):
        language, content = fence[1], fence[2]
        if language == "bash":
            found.append(Block(text.count("\n", 0, fence.start()) + 1, content))
        elif language == "text" and found and end >= 0 and not text[end : fence.start()].strip():
            found[-1] = Block(found[-1].line, found[-1].code, content)
        end = fence.end() if language == "bash" else -1
    return found


def run_document(document: Path, folder: Path, environment: Mapping[str, str]) -> None:
    """Runs all blocks in one shell that stops at the first failure."""
    blocks = bash_blocks(document.read_text("utf-8"))
    assert blocks, f"{document.name} has no bash block to run"
    script = PROLOGUE + "\n".join(f"printf '\\n#### {number}\\n'\n{block.code}" for number, block in enumerate(blocks))
    code, output = _run(script, folder, environment)
    parts = dict(re.findall(r"^#### (\d+)\n(.*?)(?=^#### \d+\n|\Z)", output, re.MULTILINE | re.DOTALL))
    last = blocks[max(map(int, parts), default=0)]
    assert code == 0, f"{document.name}:{last.line} ended with {code}:\n{output}"
    for number, block in enumerate(blocks):
        _compare(f"{document.name}:{block.line}", block, parts[str(number)])


def _compare(place: str, block: Block, output: str) -> None:
    pattern = ".*".join(
        ".*".join(re.escape(part) for part in line.strip().split("…"))
        for line in block.printed.splitlines()
        if line.strip()
    )
    said = f"{place} prints\n{output}\nand the document says\n{block.printed}"
    assert re.search(pattern, output, re.DOTALL), said


def _run(script: str, folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    process = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=RUN_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return TIMED_OUT, output
    return process.returncode, output

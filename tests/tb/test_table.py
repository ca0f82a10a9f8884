"""The page about the client names all that the installed client has, and tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from docs.client_commands import client_commands, used

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "tb-compatibility.md").read_text("utf-8")


def test_the_page_has_every_command_and_option_of_the_client() -> None:
    rows = {tuple(cell.strip().strip("`") for cell in line.split("|")[1:3]) for line in PAGE.splitlines()}
    for name, command in client_commands().items():
        title = f"tb {name}".strip()
        assert command.is_group or (title, "") in rows, title
        for option in command.options:
            assert (title, option) in rows, (title, option)


def test_the_tests_that_the_page_names_are_there() -> None:
    named = set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE))
    there = {
        (path.name, function.name)
        for path in Path(__file__).parent.glob("test_*.py")
        for function in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(function, ast.FunctionDef)
    }
    assert named and named <= there, named - there


def test_the_command_and_the_options_of_a_call_are_told() -> None:
    call = ["pipe", "copy", "run", "totals", "--param", "a=1", "--wait", "--yes"]
    assert used(call) == ("pipe copy run", ["--param", "--wait", "--yes"])
    assert used(["--host", "http://x", "push", "x.pipe", "--no-check"]) == ("", ["--host"])
    assert used(["push", "x.pipe", "--no-check"]) == ("push", ["--check"])

"""What commands and options the installed client has, and which of them a call uses."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CALLS_VARIABLE = "BIRDHOUSE_TB_CALLS"
"""A file to which each call of the client in a test adds a line, for `docs/tb_table.py`."""

PYTHON = Path(__file__).parent.parent / ".tb-venv" / "bin" / "python"
WALK = """
import json, click
from tinybird.tb_cli import cli

def walk(command, names):
    options = {max(each.opts, key=len): [*each.opts, *each.secondary_opts]
               for each in command.params if isinstance(each, click.Option) and not each.hidden}
    is_group = isinstance(command, click.Group)
    yield [" ".join(names), {"hidden": command.hidden, "is_group": is_group, "options": options}]
    for name in sorted(getattr(command, "commands", {})):
        yield from walk(command.commands[name], [*names, name])

print(json.dumps(dict(walk(cli, []))))
"""


@dataclass(frozen=True, slots=True)
class ClientCommand:
    """`options` are by their longest spelling, each with all of them."""

    name: str
    is_hidden: bool
    is_group: bool
    options: Mapping[str, Sequence[str]]


@cache
def client_commands() -> Mapping[str, ClientCommand]:
    """By name, such as `pipe copy run`; the empty name has what goes before every command."""
    environment = {**os.environ, "TB_VERSION_WARNING": "0"}
    found = subprocess.run([str(PYTHON), "-c", WALK], capture_output=True, text=True, check=True, env=environment)
    return {
        name: ClientCommand(name, each["hidden"], each["is_group"], each["options"])
        for name, each in json.loads(found.stdout).items()
    }


def client_version() -> str:
    code = "from importlib.metadata import version; print(version('tinybird-cli'))"
    return subprocess.run([str(PYTHON), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def used(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The command of a call and the options of it that are used."""
    commands = client_commands()
    words: list[str] = []
    for word in arguments:
        if " ".join((*words, word)) in commands:
            words.append(word)
        elif not word.startswith("-"):
            break
    names = [" ".join(words[:end]) for end in range(len(words) + 1)]
    given = {word.partition("=")[0] for word in arguments if word.startswith("-")}
    options = {name for each in names for name, spelled in commands[each].options.items() if given & set(spelled)}
    return names[-1], sorted(options)


def note_call(arguments: Sequence[str], code: int) -> None:
    """For the table of what works, when it is being written."""
    path = os.environ.get(CALLS_VARIABLE)
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
    if path and test:
        command, options = used(arguments)
        line = {"command": command, "options": options, "code": code, "test": test.partition("[")[0]}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

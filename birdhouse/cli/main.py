"""The `birdhouse` command."""

from __future__ import annotations

import signal
import sys
from collections import UserDict
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from birdhouse import __version__
from birdhouse.cli import output
from birdhouse.cli.entry import INTERRUPTED
from birdhouse.errors import BirdhouseError

COMMANDS = (
    "start",
    "demo",
    "deploy",
    "populate",
    "fmt",
    "check",
    "diff",
    "test",
    "evolve",
    "recreate",
    "quarantine",
    "fixtures",
    "backup",
)
"""The modules of `birdhouse.cli` with the commands, in the order of the help: each has a function of its name, or an
`app` with commands of its own."""


class ImportedCommands(UserDict[str, Any]):
    """Imports the module of a command when it is asked for: the parts of a server take longer than most commands."""

    def __missing__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        module = import_module(f"birdhouse.cli.{name}")
        group = getattr(module, "app", None)
        if group is None:
            group = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            group.command(name)(getattr(module, name))
        self[name] = typer.main.get_command(group)
        return self[name]

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Root(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = ImportedCommands()


app = typer.Typer(
    name="birdhouse",
    cls=Root,
    help="A self-hosted home for Tinybird Classic projects.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        output.line(f"birdhouse {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    pass


def main() -> None:
    try:
        app()
    except BirdhouseError as error:
        output.failure(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        # What was asked for is done: a Ctrl-C while the interpreter ends would make a success look like a death.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

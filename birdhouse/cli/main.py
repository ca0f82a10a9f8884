"""The `birdhouse` command."""

from __future__ import annotations

import signal
import sys

import typer

from birdhouse import __version__
from birdhouse.cli import backup, check, demo, deploy, diff, evolve, fmt, output, populate, recreate, start, test
from birdhouse.cli.entry import INTERRUPTED
from birdhouse.errors import BirdhouseError

app = typer.Typer(
    name="birdhouse",
    help="A self-hosted home for Tinybird Classic projects.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("start")(start.start)

app.command("demo")(demo.demo)
app.command("deploy")(deploy.deploy)
app.command("populate")(populate.populate)
app.command("fmt")(fmt.fmt)
app.command("check")(check.check)
app.command("diff")(diff.diff)
app.command("test")(test.test)
app.command("evolve")(evolve.evolve)
app.command("recreate")(recreate.recreate)
app.add_typer(backup.app)


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

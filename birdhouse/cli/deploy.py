"""`birdhouse deploy FOLDER`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdhouse.cli import output
from birdhouse.cli.project import read_project
from birdhouse.cli.servers import DEFAULT_HOST, HostOption, TokenOption, server_at

NOTES_SHOWN_MAX = 3


def deploy(
    folder: Annotated[Path, typer.Argument(help="The project folder.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    host: HostOption = DEFAULT_HOST,
    token: TokenOption = "",
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Deploy a whole project folder: all of it, or nothing and every error.

    Example: birdhouse deploy insights --dry-run
    """
    files = read_project(folder)
    with (
        server_at(host, token).client() as client,
        output.progress(f"Deploying {output.counted(len(files), 'datafile')}"),
    ):
        answer = client.deploy(files, dry_run=dry_run)
    if json:
        output.as_json(answer)
        return
    for step in answer["steps"]:
        output.line(f"  {step}")
    for note in answer["notes"][:NOTES_SHOWN_MAX]:
        output.note(note)
    if (others := len(answer["notes"]) - NOTES_SHOWN_MAX) > 0:
        output.note(f"… and {others} more; --json shows all.")
    datafiles, steps = output.counted(len(files), "datafile"), output.counted(len(answer["steps"]), "step")
    if not answer["steps"]:
        output.done(f"{datafiles}: nothing to change")
    elif dry_run:
        output.done(f"{datafiles}: {steps} would be taken")
    else:
        output.done(f"{datafiles}: {steps}")

"""`birdhouse deploy FOLDER`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdhouse.cli import output
from birdhouse.cli.project import read_project
from birdhouse.cli.servers import DEFAULT_HOST, HostOption, TokenOption, server_at


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
        output.progress(f"Deploying {len(files)} datafiles"),
    ):
        answer = client.deploy(files, dry_run=dry_run)
    if json:
        output.as_json(answer)
        return
    for step in answer["steps"]:
        output.line(f"  {step}")
    for text in answer["notes"]:
        output.note(f"  note: {text}")
    if not answer["steps"]:
        output.done(f"{len(files)} datafiles: nothing to change")
    elif dry_run:
        output.done(f"{len(files)} datafiles: {len(answer['steps'])} steps would be taken")
    else:
        output.done(f"{len(files)} datafiles: {len(answer['steps'])} steps")

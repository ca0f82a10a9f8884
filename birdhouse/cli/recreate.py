"""`birdhouse recreate DATASOURCE --backfill COMMAND`"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from birdhouse.cli import output
from birdhouse.cli.jobs import ended
from birdhouse.cli.project import read_file
from birdhouse.cli.servers import (
    DEFAULT_HOST,
    HOST_VARIABLE,
    TOKEN_VARIABLE,
    HostOption,
    Server,
    TokenOption,
    local_token,
    server_at,
)
from birdhouse.client import Client
from birdhouse.errors import BirdhouseError, InvalidParameter


class BackfillFailed(BirdhouseError):
    """The backfill command failed."""


def recreate(
    name: Annotated[str, typer.Argument(help="The data source.")],
    to: Annotated[Path | None, typer.Option(help="Its new datafile. (default: the one it has)")] = None,
    backfill: Annotated[str, typer.Option(help="A shell command that has all rows sent again.")] = "",
    begin: Annotated[bool, typer.Option("--begin", help="Only begin; send the rows, then --finish.")] = False,
    finish: Annotated[bool, typer.Option("--finish", help="End what --begin has begun.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Give up what --begin has begun; all rows stay.")] = False,
    fewer: Annotated[bool, typer.Option("--fewer", help="Less than half of the old rows is right.")] = False,
    host: HostOption = DEFAULT_HOST,
    token: TokenOption = "",
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Fill a data source afresh: its readers see the old rows until all were sent again, then the new ones alone.

    Example: birdhouse recreate members --to members.datasource --backfill 'sequin-backfill members'
    """
    if sum((bool(backfill), begin, finish, abort)) != 1:
        raise InvalidParameter(
            "Say how the rows come", hint="Give one of --backfill COMMAND, --begin, --finish, --abort."
        )
    server = server_at(host, token)
    server = replace(server, token=server.token or local_token(server.host))
    with server.client() as client:
        answer: dict[str, Any] = {}
        if abort:
            client.abort_backfill(name)
        if begin or backfill:
            if to is not None:
                _evolve(client, name, to)
            answer = client.begin_backfill(name)
        if backfill:
            _run(backfill, server, name)
        if finish or backfill:
            answer = client.finish_backfill(name, fewer=fewer)
            answer["job"] = ended(client, answer["job"], f"Changing {name}")
    if json:
        output.as_json(answer)
    elif abort:
        output.done(f"{name} keeps all its rows")
    elif begin:
        output.done(f"New rows of {name} are collected in {answer['collected_in']['name']} as well")
        output.line(f"  when all are sent:  birdhouse recreate {name} --finish")
    else:
        rows = output.counted(answer["new_rows"], "row")
        output.done(f"{name} has what was sent: {rows}; before it had {answer['old_rows']:,}")


def _evolve(client: Client, name: str, to: Path) -> None:
    """The new definition first: the rows that are sent again have its columns."""
    answer = client.evolve(name, {"datafile": read_file(to), "file": str(to)})
    if answer["job"]:
        ended(client, answer["job"], f"Evolving {name}")


def _run(command: str, server: Server, name: str) -> None:
    """The command finds the server and the token where all commands do."""
    known = {HOST_VARIABLE: server.host, TOKEN_VARIABLE: server.token}
    done = subprocess.run(command, shell=True, env={**os.environ, **known}, check=False)
    if done.returncode != 0:
        raise BackfillFailed(
            f"The backfill command ended with {done.returncode}. Readers of '{name}' see the old rows.",
            hint=f"Repair it and run this again, or give up: birdhouse recreate {name} --abort",
        )

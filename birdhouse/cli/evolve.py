"""`birdhouse evolve DATASOURCE --to FILE`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from birdhouse.cli import output
from birdhouse.cli.jobs import ended
from birdhouse.cli.project import read_file
from birdhouse.cli.servers import DEFAULT_HOST, HostOption, TokenOption, server_at
from birdhouse.errors import InvalidParameter


def evolve(
    name: Annotated[str, typer.Argument(help="The data source.")],
    to: Annotated[Path | None, typer.Option(help="Its new datafile. (default: the one it has, with --fill)")] = None,
    fill: Annotated[
        list[str] | None,
        typer.Option(help="COLUMN=EXPRESSION over the old columns: what old rows get there; repeatable."),
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(help="A column that may go with its values; repeatable.")] = None,
    keep: Annotated[str, typer.Option(help="Keep the old rows as a data source of this name.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the steps, and take none.")] = False,
    host: HostOption = DEFAULT_HOST,
    token: TokenOption = "",
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Give a data source a new definition (columns, types, keys, engine) while rows arrive and endpoints answer.

    Example: birdhouse evolve activities --to insights/datasources/activities.datasource --fill 'score=sentiment * 2'
    """
    asked = {
        "datafile": read_file(to) if to is not None else "",
        "file": str(to or ""),
        "fill": dict(_column_and_expression(text) for text in fill or ()),
        "drop": drop or [],
        "keep": keep,
    }
    with server_at(host, token).client() as client:
        answer = client.evolve(name, asked, dry_run=dry_run)
        if answer["job"]:
            answer["job"] = ended(client, answer["job"], f"Evolving {name}")
    if json:
        output.as_json(answer)
        return
    _show(name, answer, dry_run)


def _column_and_expression(text: str) -> tuple[str, str]:
    column, equals, expression = text.partition("=")
    if not equals or not column.strip() or not expression.strip():
        raise InvalidParameter(f"{text!r} is no COLUMN=EXPRESSION", hint="Write --fill 'country=upper(country)'.")
    return column.strip(), expression.strip()


def _show(name: str, answer: dict[str, Any], dry_run: bool) -> None:
    for step in answer["steps"]:
        output.line(f"  {step}")
    if not answer["steps"]:
        output.done(f"{name}: nothing to change")
    elif dry_run:
        way = "in place" if answer["in_place"] else "by a job, beside the table"
        output.done(f"{name}: {output.counted(len(answer['steps']), 'step')} would be taken, {way}")
    elif answer["in_place"]:
        output.done(f"{name}: altered in place")
    else:
        held_seconds = answer["job"]["result"].get("held_seconds", 0)
        output.done(f"{name} has its new definition; inserts were held for {held_seconds * 1000:.0f} ms")

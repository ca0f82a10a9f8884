"""`birdhouse diff [FROM] TO`"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from birdhouse.cli import output
from birdhouse.cli.resources import Resources, Said, of_folder, of_server, only_declared
from birdhouse.cli.servers import default_server, server_at
from birdhouse.errors import BirdhouseError

TROUBLE = 2
"""What diff(1) exits with when it cannot compare."""


@dataclass(frozen=True, slots=True)
class Side:
    title: str
    resources: Resources
    is_folder: bool


@dataclass(frozen=True, slots=True)
class Change:
    """`word` is added, removed or changed, as seen from the first side."""

    path: str
    word: str
    before: str
    after: str


def diff(
    sides: Annotated[
        list[str],
        typer.Argument(
            metavar="[FROM] TO",
            help="Folders, addresses, or names such as staging for TB_HOST_STAGING and TB_TOKEN_STAGING; "
            "without FROM, the server of TB_HOST.",
        ),
    ],
    name_only: Annotated[bool, typer.Option("--name-only", help="Show names alone.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Compare a folder with a server, or two servers: datafiles, endpoints, paused schedules and tokens.

    Exits 0 when there is no difference, 1 when there is one, 2 when it cannot be told.

    Examples: birdhouse diff insights, birdhouse diff production insights, birdhouse diff staging production
    """
    try:
        before, after = _sides(sides)
    except BirdhouseError as error:
        output.failure(error)
        raise typer.Exit(TROUBLE) from error
    before, after = _as_far_as_both_speak(before, after)
    changes = differences(before.resources, after.resources)
    if json:
        output.as_json({"from": before.title, "to": after.title, "changes": [_as_json(each) for each in changes]})
    else:
        _show(before, after, changes, name_only)
    if changes:
        raise typer.Exit(1)


def _sides(names: list[str]) -> tuple[Side, Side]:
    if len(names) > 2:
        raise typer.BadParameter("Name one or two sides.")
    first, second = names if len(names) == 2 else ("", names[0])
    return _side(first), _side(second)


def _side(name: str) -> Side:
    """A folder that is there is a folder; anything else is a server."""
    if name and "://" not in name and Path(name).is_dir():
        return Side(name, of_folder(Path(name)), True)
    server = server_at(name) if name else default_server()
    with server.client() as client, output.progress(f"Reading {server.title}") as bar:
        return Side(server.title, of_server(client, bar.to), False)


def _as_far_as_both_speak(before: Side, after: Side) -> tuple[Side, Side]:
    if after.is_folder and not before.is_folder:
        before = replace(before, resources=only_declared(before.resources, after.resources))
    elif before.is_folder and not after.is_folder:
        after = replace(after, resources=only_declared(after.resources, before.resources))
    return before, after


def differences(before: Resources, after: Resources) -> list[Change]:
    found = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old is None or new is None or not old.is_same(new):
            word = "added" if old is None else "removed" if new is None else "changed"
            found.append(Change(path, word, _text(old), _text(new)))
    return found


def _text(said: Said | None) -> str:
    return "" if said is None else said.text


def _as_json(change: Change) -> dict[str, object]:
    lines = output.unified(change.before, change.after, change.path, change.path)
    return {"path": change.path, "change": change.word, "diff": lines}


def _show(before: Side, after: Side, changes: list[Change], name_only: bool) -> None:
    for each in changes:
        if name_only:
            output.line(f"{each.word:8} {each.path}")
        else:
            output.difference(each.before, each.after, f"{before.title} {each.path}", f"{after.title} {each.path}")
    if not changes:
        output.done(
            f"{before.title} and {after.title}: no difference in {output.counted(len(before.resources), 'resource')}"
        )
        return
    counts = {word: sum(each.word == word for each in changes) for word in ("added", "removed", "changed")}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    output.wrong(f"From {before.title} to {after.title}: {told}")

"""`birdhouse check [FOLDER]`"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from birdhouse.cli import output
from birdhouse.cli.project import ProjectText, load_project
from birdhouse.cli.scratch import scratch_directory
from birdhouse.cli.vendor import Vendored, find_vendored
from birdhouse.errors import BirdhouseError
from birdhouse.settings import Settings, load_settings


def check(
    folder: Annotated[Path, typer.Argument(help="The project folder; by default this one.")] = Path(),
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Check a whole project against an empty engine, without a server: every problem, with its file and line.

    Templates are rendered without values, with the defaults and with the examples that they declare.

    Example: birdhouse check insights
    """
    gc.disable()  # what is loaded stays until the end, which is near
    project = load_project(folder)
    vendored = find_vendored(folder)
    count = len(project.files) + len(project.unreadable)
    with output.progress(f"Checking {output.counted(count, 'datafile')}"):
        problems = [*project.unreadable.values(), *_problems(project, vendored)]
    for each in problems:
        each.file = str(folder / each.file) if each.file else ""
    problems.sort(key=lambda each: (each.file, each.line, each.column))
    if json:
        output.as_json({"files": count, "problems": [output.error_json(each) for each in problems]})
    else:
        _show(problems, count)
    if problems:
        raise typer.Exit(1)


def _problems(project: ProjectText, vendored: Sequence[Vendored]) -> list[BirdhouseError]:
    with scratch_directory("birdhouse-check-") as directory:
        overrides = {"data_dir": directory, "metadata_url": "", "log_level": "error"}
        return asyncio.run(_review(load_settings(overrides), project, vendored))


async def _review(settings: Settings, project: ProjectText, vendored: Sequence[Vendored]) -> list[BirdhouseError]:
    # Loading the engine takes a second, which the other commands should not wait for.
    from birdhouse.app import open_parts
    from birdhouse.deploy.deployer import SERVICE_WORKSPACE
    from birdhouse.deploy.review import review

    async with open_parts(settings) as parts:
        return await review(
            parts.engine,
            parts.catalog.named(SERVICE_WORKSPACE),
            project.files,
            parts.clock.now(),
            unreadable=project.unreadable,
            env=os.environ,
            vendored={each.workspace: each.files for each in vendored},
        )


def _show(problems: Sequence[BirdhouseError], count: int) -> None:
    for each in problems:
        place = ":".join(str(part) for part in (each.file, each.line, each.column) if part)
        output.line(f"{place}: {each.message}" if place else str(each))
        if each.hint and place:
            output.line(f"    {each.hint}")
    if problems:
        output.wrong(f"{output.counted(count, 'datafile')}: {output.counted(len(problems), 'problem')}")
    else:
        output.done(f"{output.counted(count, 'datafile')}: no problems")

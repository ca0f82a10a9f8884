"""Everything that is wrong with a project, found on an empty engine: what a deployment would say, and all of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import PurePosixPath

from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import Workspace
from birdhouse.deploy import ddl
from birdhouse.deploy.check import DraftCheck
from birdhouse.deploy.draft import Desired, make_draft
from birdhouse.deploy.plan import make_plan
from birdhouse.deploy.project import scope_problems
from birdhouse.engine.protocol import Engine
from birdhouse.errors import BirdhouseError
from birdhouse.language.datafile.lines import source_lines
from birdhouse.language.datafile.model import Definition, TokenDefinition
from birdhouse.language.datafile.parse import examine, parse_datasource


class _AnySecret(dict[str, str]):
    """The secrets of a server that is not asked here: each exists, and is a number in case one is needed."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return "1"


LENT_DATABASE = "lent"

EMPTY = Workspace("review", "this_workspace", "review", variables=_AnySecret())


async def review(
    engine: Engine,
    services: Workspace | None,
    files: Mapping[str, str],
    now: datetime,
    *,
    unreadable: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
    vendored: Mapping[str, Mapping[str, str]] | None = None,
) -> list[BirdhouseError]:
    """`files` is path to text with its includes unrolled, `unreadable` are paths of which there is no text.

    `vendored` has, by workspace, the datafiles of the data sources that other workspaces share with this one.
    Templates are rendered without values, with their defaults and with the examples they declare. Sorted by place.
    """
    found: list[BirdhouseError] = []
    definitions: dict[str, Definition] = {}
    broken = {_stem(path) for path in unreadable}
    told: set[tuple[str, str]] = set()
    for path, text in files.items():
        definition, wrong = examine(text, path, env=env)
        found += (_with_column(error, text) for error in wrong)
        told.update((path, error.message) for error in wrong)
        if definition is None:
            broken.add(_stem(path))
        else:
            definitions[path] = definition
    desired = [
        Desired(definition, files[path], path)
        for path, definition in definitions.items()
        if not isinstance(definition, TokenDefinition)
    ]
    names = broken | {each.definition.resource_name for each in desired}
    for path, definition in definitions.items():
        if isinstance(definition, TokenDefinition):
            found += scope_problems(definition, files[path], path, names)
    async with _lent(engine, vendored or {}, now) as shared:
        draft, unknown = make_draft(replace(EMPTY, shared=shared), desired, now, unreadable=broken)
        found += (error for error in unknown if (error.file, error.message) not in told)
        check = DraftCheck(engine, services, draft, now)
        await check.run(with_trials=True)
    found += check.problems
    if not found:
        found += make_plan(check.draft)[1]
    return _once_each(found)


@asynccontextmanager
async def _lent(
    engine: Engine, vendored: Mapping[str, Mapping[str, str]], now: datetime
) -> AsyncIterator[dict[str, DataSource]]:
    """Empty tables for the data sources of other workspaces, by `workspace.name`."""
    if not vendored:
        yield {}
        return
    lent: dict[str, DataSource] = {}
    await engine.execute(ddl.create_database(LENT_DATABASE))
    try:
        for workspace, files in vendored.items():
            for path, text in files.items():
                definition = parse_datasource(text, name=_stem(path))
                datasource = DataSource(f"t_{len(lent)}", definition, text, LENT_DATABASE, now, now)
                table = ddl.create_table(datasource.table, definition.columns, definition.engine, durable=False)
                await engine.execute(table)
                lent[f"{workspace}.{datasource.name}"] = datasource
        yield lent
    finally:
        await engine.execute(ddl.drop_database(LENT_DATABASE))


def _stem(path: str) -> str:
    return PurePosixPath(path).stem


def _with_column(error: BirdhouseError, text: str) -> BirdhouseError:
    """Of what is known by its line alone, the column is that of the first word that it quotes."""
    word = _QUOTED.search(error.message)
    if error.line and not error.column and word:
        line = next(
            (each.text for each in source_lines(text, error.file) if each.place[:] == (error.file, error.line)), ""
        )
        error.column = line.find(word[0].strip("'")) + 1
    return error


def _once_each(found: Iterable[BirdhouseError]) -> list[BirdhouseError]:
    """Sorted by place. What stands in an included file is told once, however many datafiles include it."""
    kept: dict[tuple[str, int, int, str], BirdhouseError] = {}
    for error in sorted(found, key=lambda error: (error.file, error.line, error.column)):
        is_included = error.file.endswith(".incl") and error.column
        # The names of pipe and node differ; at one place of one text the rest of the message tells errors apart.
        message = _QUOTED.sub("", error.message) if is_included else error.message
        kept.setdefault((error.file, error.line, error.column, message), error)
    return list(kept.values())


_QUOTED = re.compile(r"'[^']*'")

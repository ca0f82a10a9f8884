"""`birdhouse fixtures pull`"""

from __future__ import annotations

import csv
import io
import json as json_text
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from birdhouse.cli import output
from birdhouse.cli.project import load_project
from birdhouse.cli.pseudonym import KEEP, Pseudonyms, checked_kinds, kind_of
from birdhouse.cli.servers import DEFAULT_HOST, HostOption, TokenOption, server_at
from birdhouse.client import Client
from birdhouse.engine.types import quote_identifier, quote_string
from birdhouse.errors import BirdhouseError, InvalidInput, NotFound
from birdhouse.ingest.quarantine import ingested
from birdhouse.language.datafile.model import Column, DataSourceDefinition
from birdhouse.language.datafile.parse import parse_datasource

app = typer.Typer(
    name="fixtures",
    help="Rows to try a project with, taken from a server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

FOLDER = "fixtures"
RULES_FILE = "anonymise.yaml"
_PATH = re.compile(r"\$((?:\.[^.\[\]]+)+)(\[:\])?")


@app.callback()
def _fixtures() -> None:
    """Keeps `pull` a command of its own."""


@app.command("pull")
def pull(
    names: Annotated[list[str] | None, typer.Argument(help="Data sources. (default: all of the project)")] = None,
    project: Annotated[Path, typer.Option(help="The project folder.")] = Path("."),
    rows: Annotated[int, typer.Option(min=1, help="How many rows of each data source.")] = 100,
    seed: Annotated[str, typer.Option(help="Another one takes other rows; it is also the key of --anonymise.")] = "",
    by: Annotated[str, typer.Option(help="A column: data sources that have it get rows with the same values.")] = "",
    where: Annotated[str, typer.Option(help="Only rows for which this SQL holds.")] = "",
    anonymise: Annotated[
        bool, typer.Option("--anonymise", help="Names, e-mails, addresses and texts become pseudonyms.")
    ] = False,
    host: HostOption = DEFAULT_HOST,
    token: TokenOption = "",
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Take rows from a server into fixtures/NAME.ndjson or .csv, where `birdhouse test` and `tb push --fixtures` look.

    Any server with Tinybird's SQL API will do. The same rows, seed and options give the same files. Which columns
    --anonymise changes follows from their names; fixtures/anonymise.yaml may say otherwise (`column: email`, name, url,
    ip, text or keep; also `datasource.column`).

    Example: birdhouse fixtures pull members activities --host production --rows 200 --by memberId --anonymise
    """
    definitions = _definitions(project, names or [])
    folder = project / FOLDER
    key = seed or (secrets.token_hex(16) if anonymise else "")
    mask = _Mask(Pseudonyms(key), _rules(folder)) if anonymise else None
    taken: dict[str, int] = {}
    with server_at(host, token).client() as client, output.progress("Pulling fixtures", len(definitions)) as bar:
        for number, definition in enumerate(definitions, 1):
            query = _query(definition, rows, seed, by, where)
            found = _rows(client, definition, query)
            if mask is not None:
                found = [mask.row(definition, row) for row in found]
            _write(folder, definition, found)
            taken[definition.name] = len(found)
            bar.to(number)
    if json:
        output.as_json(taken)
        return
    for name, count in taken.items():
        output.done(f"{name}: {output.counted(count, 'row')}")
    if anonymise and not seed:
        output.note("The key of the pseudonyms was a random one: give a --seed to get the same files again.")


def _definitions(project: Path, names: Sequence[str]) -> list[DataSourceDefinition]:
    """In the order of the names. Raises NotFound for one that the project has not."""
    loaded = load_project(project)
    found = {
        Path(path).stem: parse_datasource(str(text), name=Path(path).stem, env=os.environ)
        for path, text in loaded.files.items()
        if path.endswith(".datasource")
    }
    if missing := [name for name in names if name not in found]:
        raise NotFound(
            f"The project has no data source '{missing[0]}'", hint=f"It has {', '.join(sorted(found)) or 'none'}."
        )
    return [found[name] for name in names or sorted(found)]


def _rules(folder: Path) -> dict[str, str]:
    path = folder / RULES_FILE
    if not path.is_file():
        return {}
    content = yaml.safe_load(path.read_text("utf-8")) or {}
    if not isinstance(content, dict):
        raise InvalidInput(f"{path} must have lines like `column: email`")
    return checked_kinds(content)


class _Mask:
    def __init__(self, pseudonyms: Pseudonyms, rules: Mapping[str, str]) -> None:
        self._pseudonyms = pseudonyms
        self._rules = rules

    def row(self, definition: DataSourceDefinition, row: dict[str, Any]) -> dict[str, Any]:
        return {name: self._pseudonyms.of(self._kind(definition.name, name), value) for name, value in row.items()}

    def _kind(self, datasource: str, column: str) -> str:
        return self._rules.get(f"{datasource}.{column}") or self._rules.get(column) or kind_of(column) or KEEP


def _query(definition: DataSourceDefinition, rows: int, seed: str, by: str, where: str) -> str:
    """Rows come in the order of a hash, so a sample is spread over the whole and the same each time."""
    columns = ingested(definition.columns)
    if states := [each.name for each in columns if each.type.startswith("AggregateFunction")]:
        raise InvalidInput(
            f"'{definition.name}' holds states of aggregates ({states[0]}), which a fixture cannot have",
            hint="Pull what its view reads, and name the data sources to pull.",
        )
    values = ", ".join(map(_value, columns))
    whole = f"toString(tuple({', '.join(quote_identifier(each.name) for each in columns)}))"
    chosen = f"toString({quote_identifier(by)})" if by in {each.name for each in columns} else whole
    condition = f" WHERE {where}" if where else ""
    order = f"sipHash64({quote_string(seed)}, {chosen}), {whole}"
    return f"SELECT {values} FROM {definition.name}{condition} ORDER BY {order} LIMIT {rows}"


def _value(column: Column) -> str:
    name = quote_identifier(column.name)
    return f"toString({name}) AS {name}" if "Decimal" in column.type else name


def _rows(client: Client, definition: DataSourceDefinition, query: str) -> list[dict[str, Any]]:
    try:
        return client.sql(query)
    except BirdhouseError as error:
        error.hint = error.hint or f"(rows of '{definition.name}')"
        raise


def _write(folder: Path, definition: DataSourceDefinition, rows: Sequence[Mapping[str, Any]]) -> None:
    """All of it, or the file stays as it was."""
    has_paths = any(column.jsonpath for column in definition.columns)
    text = _ndjson(definition, rows) if has_paths else _csv(definition, rows)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{definition.name}.{'ndjson' if has_paths else 'csv'}"
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text, "utf-8")
    unfinished.replace(path)


def _ndjson(definition: DataSourceDefinition, rows: Sequence[Mapping[str, Any]]) -> str:
    """Each value at its JSONPath."""
    paths = {column.name: _keys(definition, column) for column in ingested(definition.columns) if column.jsonpath}
    lines = []
    for row in rows:
        document: dict[str, Any] = {}
        for name, (*parents, last) in paths.items():
            place = document
            for key in parents:
                place = place.setdefault(key, {})
            place[last] = row[name]
        lines.append(json_text.dumps(document, ensure_ascii=False, separators=(", ", ": ")) + "\n")
    return "".join(lines)


def _keys(definition: DataSourceDefinition, column: Column) -> list[str]:
    found = _PATH.fullmatch(column.jsonpath or "")
    if found is None:
        raise InvalidInput(
            f"The JSONPath of '{column.name}' in '{definition.name}' has no one place to write a value to",
            detail=f"({column.jsonpath})",
        )
    return found[1][1:].split(".")


def _csv(definition: DataSourceDefinition, rows: Sequence[Mapping[str, Any]]) -> str:
    names = [column.name for column in ingested(definition.columns)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in names])
    return text.getvalue()


def _cell(value: Any) -> Any:
    return json_text.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value

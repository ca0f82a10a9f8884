"""Writes the parts of the documents that the code knows best: settings, routes, commands, functions, status codes.

Each stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`. `make docs` runs this; `tests/test_docs.py`
fails while a document is out of date.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from birdhouse import errors
from birdhouse.api.errors import STATUS
from birdhouse.api.routes import ROUTES
from birdhouse.cli.main import app
from birdhouse.language.datafile.model import DataSourceDefinition
from birdhouse.language.datafile.parse import parse_datasource
from birdhouse.language.template.functions import PURE_FUNCTIONS, RUN_FUNCTIONS
from birdhouse.query.formats import SQL_FORMATS
from birdhouse.settings import ENVIRONMENT_PREFIX, Settings
from birdhouse.usage.definitions import service_datafiles
from birdhouse.usage.reading import SHOWS_ITS_WORKSPACE
from docs.template_functions import MEANINGS

FOLDER = Path(__file__).parent

_MARKED = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)
_INTERVAL = re.compile(r"toInterval(\w+)\((\d+)\)")
_METHODS = ("GET", "POST", "PUT", "DELETE")
GROUPED_FROM = 100_000
"""Smaller numbers are read without help."""
OF_EVERY_VALUE = frozenset({"defined", "required", "description", "enum", "example", "format"})
"""Keywords of every value function, which the page explains once."""


def settings() -> str:
    rows = [
        (f"`{name}`", f"`{ENVIRONMENT_PREFIX}{name.upper()}`", _default(name), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return _table(("setting", "environment", "default", "meaning"), rows)


def _default(name: str) -> str:
    field = Settings.model_fields[name]
    if field.default_factory is not None:
        return "by machine"
    if isinstance(field.default, int | float):
        return f"{field.default:_}" if field.default >= GROUPED_FROM else f"{field.default}"
    return f"`{field.default}`" if str(field.default) else "empty"


def routes() -> str:
    rows = []
    for route in ROUTES:
        methods = [method for method in _METHODS if method in (route.methods or ())]
        path = re.sub(r"\{(\w+)(?::path)?\}", r"{\1}", route.path)
        rows.append((" ".join(methods), f"`{path}`", first_line(handler(route.endpoint))))
    return _table(("method", "path", "what it does"), rows)


def handler(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a route, without what checks the token in front of it."""
    found: Callable[..., Any] = inspect.getclosurevars(endpoint).nonlocals.get("route", endpoint)
    return found


def first_line(described: object) -> str:
    return (inspect.getdoc(described) or "").partition("\n")[0]


def functions() -> str:
    registered = {**PURE_FUNCTIONS, **RUN_FUNCTIONS}
    rows = [(f"`{name}{_arguments(name, function)}`", MEANINGS[name]) for name, function in registered.items()]
    return _table(("function", "what it gives"), rows)


def _arguments(name: str, function: Callable[..., Any]) -> str:
    """As a template writes them: without the rendering that some functions are given first."""
    parameters = list(inspect.signature(function).parameters.values())[name in RUN_FUNCTIONS :]
    shown = [_argument(each) for each in parameters if each.name not in OF_EVERY_VALUE]
    return f"({', '.join(shown)})"


def _argument(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.VAR_KEYWORD:
        return "name=value, …"
    return str(parameter.replace(annotation=parameter.empty)).lstrip("_")


def commands() -> str:
    group: Any = typer.main.get_command(app)
    return "\n".join(_options(f"`{' '.join(names)}`", command) for names, command in _all_commands(group, "birdhouse"))


def _all_commands(command: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """A group comes in front of its commands."""
    yield names, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _all_commands(inner, *names, name)


def _options(title: str, command: Any) -> str:
    rows = []
    for parameter in command.params:
        name = parameter.name.upper() if parameter.required else ", ".join(parameter.opts)
        variable = f" Environment: `{parameter.envvar}`." if parameter.envvar else ""
        rows.append((f"`{name}`", parameter.help + variable))
    text = f"#### {title}\n\n{inspect.cleandoc(command.help)}\n"
    return f"{text}\n{_table(('option', 'meaning'), rows)}" if rows else text


def statuses() -> str:
    rows = [
        (str(_status(each)), f"`{each.__name__}`", first_line(each).rstrip("."))
        for each in _family(errors.BirdhouseError)
        if not issubclass(each, errors.CannotStart | errors.CustomTemplateError)
    ]
    return _table(("status", "error", "default message"), sorted(rows, key=lambda row: int(row[0])))


def _status(error: type[errors.BirdhouseError]) -> int:
    return next(STATUS[each] for each in error.__mro__ if each in STATUS)


def _family(error: type[errors.BirdhouseError]) -> Iterator[type[errors.BirdhouseError]]:
    """The classes of `birdhouse.errors` only: others are made by the modules that catch them."""
    yield error
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _family(child)


def formats() -> str:
    rows = [
        (f"`{form.engine}`", f"`{form.content_type}`", "streamed" if form.is_streamed else "whole")
        for form in SQL_FORMATS.values()
    ]
    return _table(("FORMAT", "Content-Type", "sent"), rows)


def service_datasources() -> str:
    """A table of the tables, and a list of their columns."""
    found = [
        parse_datasource(text, name=file.removesuffix(".datasource"))
        for file, text in service_datafiles()
        if file.endswith(".datasource")
    ]
    rows = [(f"`{each.name}`", " ".join(each.description.split()), _kept(each)) for each in found]
    columns = "\n".join(f"- `{each.name}`: {_shown_columns(each)}" for each in found)
    return f"{_table(('table', 'what it has', 'kept'), rows)}\n{columns}\n"


def _kept(datasource: DataSourceDefinition) -> str:
    interval = _INTERVAL.search(datasource.engine.options.get("ttl", "")) if datasource.engine else None
    return f"{interval[2]} {interval[1].lower()}s" if interval else "always"


def _shown_columns(datasource: DataSourceDefinition) -> str:
    shows_all = datasource.name in SHOWS_ITS_WORKSPACE
    return ", ".join(f"`{each.name}`" for each in datasource.columns if shows_all or each.name != "workspace_id")


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "routes": routes,
    "template-functions": functions,
    "commands": commands,
    "status-codes": statuses,
    "formats": formats,
    "service-datasources": service_datasources,
}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def filled(text: str) -> str:
    """The document with its generated parts as they should be."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n{found[3]}", text)


def main() -> None:
    for page in sorted(FOLDER.glob("*.md")):
        text = page.read_text("utf-8")
        new = filled(text)
        if new != text:
            page.write_text(new, "utf-8")


if __name__ == "__main__":
    main()

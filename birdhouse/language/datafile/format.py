"""Definitions back to text, in one canonical form: reading that text gives the same definition again.

The form is that of the official `tb fmt`, with these additions so that nothing of a definition is lost:
operational tags, `TYPE ENDPOINT`, and exactly the COPY_ and EXPORT_ lines that were written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from birdhouse.errors import DatafileError
from birdhouse.language.datafile import directives
from birdhouse.language.datafile.lines import UnbalancedQuote, split_words, unquote
from birdhouse.language.datafile.model import (
    DataSourceDefinition,
    Definition,
    Node,
    NodeKind,
    PipeDefinition,
    TableEngine,
    TokenDefinition,
    TokenGrant,
)
from birdhouse.language.datafile.schema import format_column, format_index

INDENT = "    "
_CODED_IN_TAGS = "%+&,\"'\n"


def format_datafile(definition: Definition, *, format_sql: Callable[[str], str] | None = None) -> str:
    if isinstance(definition, DataSourceDefinition):
        return format_datasource(definition)
    if isinstance(definition, PipeDefinition):
        return format_pipe(definition, format_sql=format_sql)
    return format_token(definition)


def format_datasource(source: DataSourceDefinition) -> str:
    return _joined(
        _version(source.version),
        description_block(source.description),
        "\n".join(map(token_line, source.tokens)),
        tags_line(source.tags, source.options),
        block_of("SCHEMA", comma_separated(format_column(column) for column in source.columns)),
        block_of("INDEXES", [format_index(index) for index in source.indexes]),
        _engine(source.engine),
        _options(source.kafka),
        _options(source.imports),
        block_of("SHARED_WITH", source.shared_with),
    )


def format_pipe(pipe: PipeDefinition, *, format_sql: Callable[[str], str] | None = None) -> str:
    """`format_sql` gets the text of each node, a template with its `%`; without it SQL stays as it is."""
    return _joined(
        _version(pipe.version),
        description_block(pipe.description),
        "\n".join(map(token_line, pipe.tokens)),
        tags_line(pipe.tags, pipe.options),
        *(_node(node, format_sql) for node in pipe.nodes),
    )


def format_token(token: TokenDefinition) -> str:
    scopes = (
        [
            written("SCOPE", scope.type),
            *([written("RESOURCE", scope.resource)] if scope.resource is not None else []),
            *([written("FILTER", scope.filter)] if scope.filter is not None else []),
        ]
        for scope in token.scopes
    )
    return _joined(description_block(token.description), *("\n".join(lines) for lines in scopes))


def written(directive: str, value: str) -> str:
    """`DIRECTIVE value` in the plainest way that reads back as this value: bare, in quotes, or as a block."""
    for candidate in (value, f'"{value}"', f"'{value}'"):
        if "\n" not in value and _read_back(candidate) == value:
            return f"{directive} {candidate}"
    needs_quotes = value.strip() != value or unquote(value) != value
    lines = (f'"{value}"' if needs_quotes else value).split("\n")
    if not all(line.strip() and not line.lstrip(" \t").startswith("#") for line in lines):
        raise DatafileError(
            f"The value of {directive} cannot be written in a datafile",
            hint="Remove its blank lines, and those that start with #.",
        )
    return block_of(directive, lines)


def _read_back(candidate: str) -> str | None:
    """What a value on one line reads as, or None when it does not read as a value."""
    try:
        words = [word.text for word in split_words(candidate)]
    except UnbalancedQuote:
        return None
    if not words or words[0] == ">":
        return None
    return unquote(" ".join(words))


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def block_of(directive: str, lines: Iterable[str]) -> str:
    indented = [f"{INDENT}{line}" for line in lines]
    return "\n".join([f"{directive} >", *indented]) if indented else ""


def comma_separated(items: Iterable[str]) -> list[str]:
    listed = list(items)
    return [*(f"{item}," for item in listed[:-1]), *listed[-1:]]


def _version(version: int | None) -> str:
    return "" if version is None else f"VERSION {version}"


def description_block(description: str) -> str:
    return block_of("DESCRIPTION", (line.strip() for line in description.split("\n") if line.strip()))


def token_line(token: TokenGrant) -> str:
    return f"TOKEN {_quoted(token.name)} {token.permission}"


def _quoted(name: str) -> str:
    return f"'{name}'" if '"' in name else f'"{name}"'


def tags_line(tags: Iterable[str], options: Mapping[str, str]) -> str:
    entries = ["&".join(f"{_coded(key)}={_coded(value)}" for key, value in options.items()), *tags]
    listed = ", ".join(entry for entry in entries if entry)
    return f"TAGS {_quoted(listed)}" if listed else ""


def _coded(text: str) -> str:
    """As in a query string, but only where it would be read as something else, so that people can read it."""
    return "".join(f"%{ord(sign):02X}" if sign in _CODED_IN_TAGS else sign for sign in text)


def _engine(engine: TableEngine | None) -> str:
    if engine is None:
        return ""
    options = {f"engine_{option}": value for option, value in sorted(engine.options.items())}
    return "\n".join([written("ENGINE", engine.name), *([_options(options)] if options else [])])


def _options(options: Mapping[str, str]) -> str:
    return "\n".join(written(option.upper(), value) for option, value in options.items())


def _node(node: Node, format_sql: Callable[[str], str] | None) -> str:
    sql = format_sql(node.sql) if format_sql else node.sql
    head = "\n".join(part for part in (written("NODE", node.name), description_block(node.description)) if part)
    query = block_of("SQL", (line for line in sql.split("\n") if line.strip()))
    # The official formatter puts a blank line after a description, and none between NODE and SQL.
    top = f"{head}{chr(10) * (2 if node.description else 1)}{query}"
    return "\n\n".join(part for part in (top, _output(node)) if part)


def _output(node: Node) -> str:
    """The lines after the SQL that give the node its kind."""
    lines = [] if node.kind is NodeKind.STANDARD else [f"TYPE {node.kind.upper()}"]
    for directive, value in (
        ("DATASOURCE", node.datasource),
        ("TARGET_DATASOURCE", node.target_datasource),
        ("COPY_MODE", node.copy_mode),
        ("COPY_SCHEDULE", node.copy_schedule),
    ):
        if value is not None:
            lines.append(written(directive, value))
    if node.engine is not None:
        lines.append(_engine(node.engine))
    in_order = (*directives.EXPORT_IN_ORDER, *directives.STREAM_IN_ORDER)
    lines += [written(option, node.options[option.lower()]) for option in in_order if option.lower() in node.options]
    if node.tags:
        lines.append(tags_line((), node.tags))
    return "\n".join(lines)

"""Turns datafile text into definitions, and points at the line when it cannot."""

from __future__ import annotations

import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from string import Template
from urllib.parse import unquote_plus

from birdhouse.errors import DatafileError
from birdhouse.language.datafile import directives
from birdhouse.language.datafile.check import canonical_engine_name, check
from birdhouse.language.datafile.directives import FileKind
from birdhouse.language.datafile.lines import Place, Statement, source_lines, statements, unquote
from birdhouse.language.datafile.model import (
    Column,
    DataSourceDefinition,
    Definition,
    Index,
    Node,
    NodeKind,
    PipeDefinition,
    TableEngine,
    TokenDefinition,
    TokenGrant,
    TokenScope,
)
from birdhouse.language.datafile.schema import parse_indexes, parse_schema, spaced_list

DEFAULT_ENGINE = "MergeTree"
"""The engine when ENGINE_ options stand without an ENGINE line."""

VERSION_DIGITS_MAX = 9

Environment = Mapping[str, str] | None


def parse_datasource(text: str, *, name: str, file: str = "", env: Environment = None) -> DataSourceDefinition:
    """`env` fills in `$NAME` and `${NAME}` in values, and `$$` becomes `$`; with None the text is literal.

    Never filled in: DESCRIPTION, TOKEN, TAGS and SCHEMA. Includes have to be unrolled before.
    """
    draft = _DataSource(name, env)
    _read(text, file, draft)
    return draft.definition()


def parse_pipe(text: str, *, name: str, file: str = "", env: Environment = None) -> PipeDefinition:
    """`env` as in `parse_datasource`; it reaches node names and SQL too."""
    draft = _Pipe(name, env)
    _read(text, file, draft)
    return draft.definition()


def parse_token(text: str, *, name: str, file: str = "", env: Environment = None) -> TokenDefinition:
    draft = _Token(name, env)
    _read(text, file, draft)
    return draft.definition()


def parse_datafile(text: str, *, file: str, env: Environment = None) -> Definition:
    """The suffix of the file decides what it is, and its stem is the name of the resource."""
    kind, name = _kind_and_name(file)
    if kind is FileKind.DATASOURCE:
        return parse_datasource(text, name=name, file=file, env=env)
    if kind is FileKind.PIPE:
        return parse_pipe(text, name=name, file=file, env=env)
    return parse_token(text, name=name, file=file, env=env)


def examine(text: str, file: str, *, env: Environment = None) -> tuple[Definition | None, list[DatafileError]]:
    """What a datafile says, and everything that is wrong with it: how it is written and, when it can be read, what it
    says. The definition is None when it cannot be read.
    """
    try:
        kind, name = _kind_and_name(file)
        draft = _DRAFTS[kind](name, env)
        _read_all(text, file, draft)
    except DatafileError as error:
        return None, [error]
    if draft.errors:
        return None, draft.errors
    definition = draft.definition()
    return definition, check(definition, file, places=draft.places)


def problems(text: str, file: str, *, env: Environment = None) -> list[DatafileError]:
    """Everything that is wrong with a datafile."""
    return examine(text, file, env=env)[1]


def normal_description(text: str) -> str:
    """A description as a datafile can hold it: no blank lines, no blanks around a line."""
    return "\n".join(line.strip() for line in text.split("\n") if line.strip())


def normal_sql(text: str) -> str:
    """SQL of a node as a datafile can hold it: no blank lines, no `#` comment lines, no common indent.

    The `%` that starts a template gets a line of its own.
    """
    lines = (line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip())
    code = [line for line in lines if not line.lstrip(" \t").startswith("#")]
    if not code or not code[0].lstrip().startswith("%"):
        return _dedent(code)
    first = code[0].lstrip()[1:].strip()
    return "\n".join(part for part in ("%", first, _dedent(code[1:])) if part)


def _dedent(lines: list[str]) -> str:
    return textwrap.dedent("\n".join(lines)).rstrip()


def _kind_and_name(file: str) -> tuple[FileKind, str]:
    path = PurePosixPath(file.replace("\\", "/"))
    try:
        return FileKind(path.suffix), path.stem
    except ValueError:
        raise DatafileError(
            f"'{path.name}' is not a datafile",
            file=file,
            hint="Datafiles end in .datasource, .pipe or .token; .incl files are read through INCLUDE only.",
        ) from None


def _read(text: str, file: str, draft: _Draft) -> None:
    _read_all(text, file, draft)
    if draft.errors:
        raise draft.errors[0]


def _read_all(text: str, file: str, draft: _Draft) -> None:
    """What cannot be read is left in `draft.errors`, in the order of the file."""
    for statement in statements(source_lines(text, file), draft.errors):
        try:
            if statement.directive not in directives.OF_KIND[draft.kind]:
                raise misplaced(statement, draft.kind)
            draft.take(statement)
        except DatafileError as error:
            draft.errors.append(error)
    draft.finish()
    draft.errors.sort(key=lambda error: error.line if error.file == file else 0)


def misplaced(statement: Statement, kind: FileKind) -> DatafileError:
    directive = statement.directive
    if directive == "SETTINGS":
        return statement.error("SETTINGS is not a directive", hint="Write ENGINE_SETTINGS.")
    home = directives.home(directive)
    if home is not None:
        return statement.error(f"{directive} does not belong in a {kind} file", hint=f"It goes in a {home} file.")
    if directive.endswith(">") and directive[:-1] in directives.OF_KIND[kind]:
        return statement.error(f"Unknown directive {directive}", hint="Put a blank before the >.")
    near = directives.nearest(directive, kind)
    hint = f"Did you mean {near}?" if near else "If it is text of the block above, indent it."
    return statement.error(f"Unknown directive {directive}", hint=hint)


class _Draft(ABC):
    """What was read so far. `places` says where a thing was said, keyed as `check` asks for it."""

    kind: FileKind

    def __init__(self, name: str, env: Environment) -> None:
        self.name = name
        self.env = env
        self.errors: list[DatafileError] = []
        self.places: dict[str, Place] = {}
        self.description = ""
        self.version: int | None = None
        self.tokens: list[TokenGrant] = []
        self.tags: list[str] = []
        self.options: dict[str, str] = {}

    @abstractmethod
    def take(self, statement: Statement) -> None: ...

    @abstractmethod
    def definition(self) -> Definition: ...

    def finish(self) -> None:  # noqa: B027 - most kinds of file have nothing left to say
        """Appends to `errors` what can only be seen at the end of the file."""

    # Readers of one directive each

    def refuse_include(self, statement: Statement) -> None:
        raise statement.error("INCLUDE is not replaced in this text", hint="Send the text with its includes unrolled.")

    def read_description(self, statement: Statement) -> None:
        self.description = description_of(statement)

    def read_version(self, statement: Statement) -> None:
        written = self.value(statement)
        if not (written.isascii() and written.isdigit() and len(written) <= VERSION_DIGITS_MAX):
            raise statement.error(f"'{written}' is not a version", hint="Write a whole number, such as VERSION 1.")
        self.version = int(written)

    def read_token(self, statement: Statement) -> None:
        grant = token_of(statement)
        self.tokens.append(grant)
        self.places.setdefault(f"TOKEN {grant.name}", statement.place)

    def read_tags(self, statement: Statement) -> None:
        self.options.update(self._read_tags(statement))

    def _read_tags(self, statement: Statement) -> dict[str, str]:
        """Notes the filtering tags and returns the operational ones."""
        tags, options = tags_of(statement)
        self.tags += [tag for tag in tags if tag not in self.tags]
        return options

    def value(self, statement: Statement) -> str:
        """The value of a directive, without its quotes and with variables filled in."""
        return self.filled(value_of(statement))

    def filled(self, text: str) -> str:
        return text if self.env is None else Template(text).safe_substitute(self.env)


def value_of(statement: Statement) -> str:
    """The value of a directive, without its quotes."""
    one_line = " ".join(statement.arguments)
    written = (one_line if statement.block is None else _dedent(statement.text_lines())).strip()
    if not written:
        raise statement.error(f"{statement.directive} needs a value", hint='Write "" for an empty one.')
    return unquote(written)


def token_of(statement: Statement) -> TokenGrant:
    if len(statement.arguments) != 2:
        raise statement.error("TOKEN takes a name and a permission", hint='Write TOKEN "name of the token" READ.')
    name, permission = statement.arguments
    return TokenGrant(unquote(name), permission.upper())


def tags_of(statement: Statement) -> tuple[list[str], dict[str, str]]:
    """Filtering tags, and operational ones by their key."""
    written = " ".join(statement.text_lines() if statement.block is not None else statement.arguments)
    tags: list[str] = []
    options: dict[str, str] = {}
    for entry in written.split(","):
        tag = entry.strip().strip("\"'").strip()
        if "=" in tag:
            options.update(_option(pair, statement) for pair in tag.split("&"))
        elif tag and tag not in tags:
            tags.append(tag)
    return tags, options


def _option(pair: str, statement: Statement) -> tuple[str, str]:
    """The official client reads the pairs as a query string: `%2C` is a comma, and `+` a blank."""
    key, separator, value = pair.partition("=")
    if not separator or not key.strip():
        raise statement.error(f"'{pair}' is not key=value", hint='Write TAGS "key=value&other=value, tag".')
    return unquote_plus(key).strip(), unquote_plus(value).strip()


def description_of(statement: Statement) -> str:
    """Quotes stay. In a block an indented line that starts with `#` is a heading, not a comment."""
    if statement.block is None:
        return " ".join(statement.arguments).strip()
    return normal_description("\n".join(line.text for line in statement.block if not line.text.startswith("#")))


@dataclass(slots=True)
class _Engine:
    """ENGINE and its options while they are read, for a data source or a materialized node."""

    name: str = ""
    options: dict[str, str] = field(default_factory=dict)

    def take(self, directive: str, value: str) -> None:
        if directive == "ENGINE":
            self.name = value
        else:
            self.options[directive.removeprefix("ENGINE_").lower()] = spaced_list(value)

    def definition(self) -> TableEngine | None:
        if not self.name and not self.options:
            return None
        return TableEngine(canonical_engine_name(self.name or DEFAULT_ENGINE), self.options)


def _ignore(draft: _Draft, statement: Statement) -> None:
    """Lines that the official client accepts and does not send."""


_COMMON: dict[str, Callable[[_Draft, Statement], None]] = {
    "DESCRIPTION": _Draft.read_description,
    "VERSION": _Draft.read_version,
    "TOKEN": _Draft.read_token,
    "TAGS": _Draft.read_tags,
    "INCLUDE": _Draft.refuse_include,
    **dict.fromkeys(directives.IGNORED | directives.IGNORED_KEYS | {"ON_DEMAND_COMPUTE"}, _ignore),
}


class _DataSource(_Draft):
    kind = FileKind.DATASOURCE

    def __init__(self, name: str, env: Environment) -> None:
        super().__init__(name, env)
        self.columns: tuple[Column, ...] = ()
        self.indexes: tuple[Index, ...] = ()
        self.engine = _Engine()
        self.shared_with: list[str] = []
        self.kafka: dict[str, str] = {}
        self.imports: dict[str, str] = {}

    def take(self, statement: Statement) -> None:
        directive = statement.directive
        self.places.setdefault(directive, statement.place)
        if directive in _COMMON:
            _COMMON[directive](self, statement)
        elif directive == "SCHEMA":
            self.columns = schema_of(statement)
            self.places.update(_places_of_columns(statement, self.columns))
        elif directive in ("INDEXES", "INDICES"):
            self.indexes = indexes_of(statement)
        elif directive == "SHARED_WITH":
            self.shared_with += workspaces_of(statement)
        elif directive in directives.ENGINE:
            self.engine.take(directive, self.value(statement))
        elif directive in directives.KAFKA:
            self.kafka[directive.lower()] = self.value(statement)
        else:
            self.imports[directive.lower()] = self.value(statement)

    def definition(self) -> DataSourceDefinition:
        return DataSourceDefinition(
            name=self.name,
            columns=self.columns,
            description=self.description,
            version=self.version,
            indexes=self.indexes,
            engine=self.engine.definition(),
            tokens=tuple(self.tokens),
            tags=tuple(self.tags),
            options=self.options,
            shared_with=tuple(self.shared_with),
            kafka=self.kafka,
            imports=self.imports,
        )


def schema_of(statement: Statement) -> tuple[Column, ...]:
    text, first = _code(statement)
    try:
        columns = parse_schema(text)
    except DatafileError as error:
        raise _moved(error, statement, first) from None
    if not columns:
        raise statement.error("SCHEMA has no columns", hint="Write SCHEMA >, then one column per line, indented.")
    return columns


def indexes_of(statement: Statement) -> tuple[Index, ...]:
    text, first = _code(statement)
    try:
        return parse_indexes(text)
    except DatafileError as error:
        raise _moved(error, statement, first) from None


def _code(statement: Statement) -> tuple[str, int]:
    """Text of a statement with its lines in place, and the column of its first one."""
    if statement.block is None:
        column = statement.words[0].column if statement.words else 1
        return unquote(" ".join(statement.arguments)), column
    kept = ("" if line.text.lstrip(" \t").startswith("#") else line.text for line in statement.block)
    return "\n".join(kept), 1


def _moved(error: DatafileError, statement: Statement, first_column: int) -> DatafileError:
    """The error of a part, told where it stands in the file."""
    block = statement.block
    place = statement.place if block is None else block[min(error.line, len(block)) - 1].place
    column = error.column + first_column - 1
    return DatafileError(error.message, file=place.file, line=place.line, column=column, hint=error.hint)


def _places_of_columns(statement: Statement, columns: tuple[Column, ...]) -> dict[str, Place]:
    """The line of each column, found by its name: good enough to point at, and cheap."""
    names = {column.name for column in columns}
    places: dict[str, Place] = {}
    for line in statement.block or ():
        first = line.text.replace(",", " ").split()[:1]
        places.update((f"COLUMN {name}", line.place) for word in first if (name := word.strip("`")) in names)
    return places


def workspaces_of(statement: Statement) -> list[str]:
    if statement.block is None:
        return [unquote(word) for word in statement.arguments]
    return [unquote(line.strip()) for line in statement.text_lines()]


@dataclass(slots=True)
class _NodeDraft:
    name: str
    place: Place
    sql: str = ""
    description: str = ""
    kind: NodeKind = NodeKind.STANDARD
    datasource: str | None = None
    engine: _Engine = field(default_factory=_Engine)
    target_datasource: str | None = None
    copy_schedule: str | None = None
    copy_mode: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def definition(self) -> Node:
        return Node(
            name=self.name,
            sql=self.sql,
            description=self.description,
            kind=self.kind,
            datasource=self.datasource,
            engine=self.engine.definition(),
            target_datasource=self.target_datasource,
            copy_schedule=self.copy_schedule,
            copy_mode=self.copy_mode,
            options=self.options,
            tags=self.tags,
        )


class _Pipe(_Draft):
    kind = FileKind.PIPE

    def __init__(self, name: str, env: Environment) -> None:
        super().__init__(name, env)
        self.nodes: list[_NodeDraft] = []

    def take(self, statement: Statement) -> None:
        directive = statement.directive
        if directive == "NODE":
            self._open_node(statement)
        elif directive == "DESCRIPTION" and self.nodes:
            self.nodes[-1].description = description_of(statement)
        elif directive == "TAGS" and self.nodes:
            self._read_node_tags(self.nodes[-1], statement)
        elif directive in _COMMON:
            self.places.setdefault(directive, statement.place)
            _COMMON[directive](self, statement)
        elif not self.nodes:
            raise statement.error(f"{directive} stands before the first NODE", hint="Start with NODE name.")
        else:
            self.places.setdefault(f"NODE {self.nodes[-1].name} {directive}", statement.place)
            self._read_node_directive(self.nodes[-1], statement)

    def _open_node(self, statement: Statement) -> None:
        name = self.value(statement)
        self.nodes.append(_NodeDraft(name, statement.place))
        self.places[f"NODE {name}"] = statement.place
        if statement.block is None and len(statement.arguments) > 1:
            raise statement.error("NODE takes one name", hint="Names have no blanks; put a comment after #.")

    def _read_node_tags(self, node: _NodeDraft, statement: Statement) -> None:
        self.places.setdefault(f"NODE {node.name} TAGS", statement.place)
        found = self._read_tags(statement)
        if found and node.tags:
            raise statement.error(
                f"Node '{node.name}' has two TAGS lines with options",
                hint="Join them with & on one line: the official client sends only the last.",
            )
        node.tags |= found

    def _read_node_directive(self, node: _NodeDraft, statement: Statement) -> None:
        directive = statement.directive
        if directive == "SQL":
            node.sql = self._sql(statement)
        elif directive == "TYPE":
            node.kind = _node_kind(self.value(statement), statement)
        elif directive in directives.ENGINE:
            node.engine.take(directive, self.value(statement))
        elif directive in directives.EXPORT_IN_ORDER or directive in directives.STREAM_IN_ORDER:
            node.options[directive.lower()] = self.value(statement)
        elif directive == "DATASOURCE":
            node.datasource = self.value(statement)
        elif directive == "TARGET_DATASOURCE":
            node.target_datasource = self.value(statement)
        elif directive == "COPY_SCHEDULE":
            node.copy_schedule = _schedule(self.value(statement))
        else:
            node.copy_mode = self.value(statement).lower()

    def _sql(self, statement: Statement) -> str:
        if statement.block is None:
            raise statement.error("SQL needs a block", hint="Write SQL >, then the query on indented lines.")
        sql = normal_sql("\n".join(statement.text_lines()))
        if sql in ("", "%"):
            raise statement.error("SQL is empty", hint="Write the query below it, indented.")
        return self.filled(sql)

    def finish(self) -> None:
        for node in self.nodes:
            if not node.sql and f"NODE {node.name} SQL" not in self.places:
                place = node.place
                self.errors.append(
                    DatafileError(
                        f"Node '{node.name}' has no SQL",
                        file=place.file,
                        line=place.line,
                        column=1,
                        hint="Write SQL >, then the query on indented lines.",
                    )
                )

    def definition(self) -> PipeDefinition:
        return PipeDefinition(
            name=self.name,
            nodes=tuple(node.definition() for node in self.nodes),
            description=self.description,
            version=self.version,
            tokens=tuple(self.tokens),
            tags=tuple(self.tags),
            options=self.options,
        )


def _node_kind(written: str, statement: Statement) -> NodeKind:
    try:
        return NodeKind(written.lower())
    except ValueError:
        kinds = ", ".join(kind for kind in NodeKind if kind is not NodeKind.STANDARD)
        raise statement.error(f"Unknown TYPE '{written}'", hint=f"Write one of {kinds}.") from None


def _schedule(written: str) -> str:
    return written.lower() if written.startswith("@") else " ".join(written.split())


@dataclass(slots=True)
class _ScopeDraft:
    types: list[str]
    resource: str | None = None
    filter: str | None = None


class _Token(_Draft):
    kind = FileKind.TOKEN

    def __init__(self, name: str, env: Environment) -> None:
        super().__init__(name, env)
        self.scopes: list[_ScopeDraft] = []

    def take(self, statement: Statement) -> None:
        directive = statement.directive
        if directive in _COMMON:
            _COMMON[directive](self, statement)
            return
        value = self.value(statement)
        if directive == "SCOPE":
            types = [unquote(part.strip()).upper() for part in value.split(",")]
            self.scopes.append(_ScopeDraft([part for part in types if part]))
        elif not self.scopes:
            raise statement.error(
                f"{directive} stands before the first SCOPE", hint="Start with SCOPE DATASOURCES:READ."
            )
        elif directive == "RESOURCE":
            self.scopes[-1].resource = value
        else:
            self.scopes[-1].filter = value

    def definition(self) -> TokenDefinition:
        scopes = (TokenScope(type_, scope.resource, scope.filter) for scope in self.scopes for type_ in scope.types)
        return TokenDefinition(self.name, tuple(scopes), self.description)


_DRAFTS: dict[FileKind, type[_Draft]] = {
    FileKind.DATASOURCE: _DataSource,
    FileKind.PIPE: _Pipe,
    FileKind.TOKEN: _Token,
}

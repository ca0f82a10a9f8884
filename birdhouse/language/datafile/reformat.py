"""Datafile text in its canonical form, text to text: INCLUDE lines, variables and comments stay what they are.

Reading the new text gives the same definition, and it is in canonical form itself. The form is that of the official
`tb fmt`, but nothing is lost: comments, nodes before an INCLUDE, operational tags, TYPE ENDPOINT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from textwrap import dedent

from birdhouse.errors import DatafileError
from birdhouse.language.datafile import directives
from birdhouse.language.datafile.directives import FileKind
from birdhouse.language.datafile.format import (
    block_of,
    comma_separated,
    description_block,
    tags_line,
    token_line,
    written,
)
from birdhouse.language.datafile.lines import SourceLine, Statement, comment_of, source_lines, statements
from birdhouse.language.datafile.parse import (
    description_of,
    indexes_of,
    misplaced,
    schema_of,
    tags_of,
    token_of,
    value_of,
    workspaces_of,
)
from birdhouse.language.datafile.schema import comments_of, format_column, format_index, spaced_list

INCLUDED_SUFFIX = ".incl"

_ONLY_IN_A_DATA_SOURCE = directives.DATASOURCE - directives.NODE | {"ENGINE"}

_ENGINE = ("ENGINE", *(f"ENGINE_{option.upper()}" for option in sorted(directives.ENGINE_OPTIONS)))
_OLD_KEYS = tuple(sorted(directives.IGNORED_KEYS))
_SECTIONS: tuple[tuple[str, ...], ...] = (
    ("SOURCE", "MAINTAINER", "FROM", "TEST"),
    ("VERSION",),
    ("DESCRIPTION",),
    ("TOKEN",),
    ("TAGS",),
    ("SCHEMA",),
    ("INDEXES", "INDICES"),
    (*_ENGINE, *_OLD_KEYS),
    ("INCLUDE",),
    tuple(directives.KAFKA),
    tuple(directives.IMPORT),
    ("SHARED_WITH",),
)
"""The paragraphs of a data source, or above the first node, in their order."""
_SORTED = ("SOURCE", "ENGINE")
"""How the sections begin whose lines have an order; the lines of others stay in theirs."""
_ANYWHERE = frozenset({"VERSION", "TOKEN", "TAGS", *directives.IGNORED})
"""What is said about the whole pipe, wherever it stands."""
_BEHIND_SQL = (
    *("TYPE", "DATASOURCE", "TARGET_DATASOURCE", "COPY_MODE", "MODE", "COPY_SCHEDULE"),
    *(*_ENGINE, *_OLD_KEYS, *directives.EXPORT_IN_ORDER, *directives.STREAM_IN_ORDER),
)
_OF_A_NODE = frozenset({"SQL", "ON_DEMAND_COMPUTE", *_BEHIND_SQL})
_WITH_COMMENTS_INSIDE = frozenset({"SCHEMA", "INDEXES", "INDICES", "SQL"})
_OF_A_SCOPE = ("SCOPE", "RESOURCE", "FILTER")


@dataclass(frozen=True, slots=True)
class _Said:
    """A statement with its comments: those above it, an empty text for each gap, and the one behind it."""

    statement: Statement
    above: tuple[str, ...] = ()
    behind: str = ""

    @property
    def directive(self) -> str:
        return self.statement.directive


def reformat(text: str, file: str, format_sql: Callable[[str], str]) -> str:
    """`file` gives the kind by its suffix. `format_sql` gets the SQL of each node, `%` and comments included.

    Raises DatafileError for the first thing that cannot be read. What a definition means is not checked.
    """
    said, header, footer = _read(text, file)
    directives_there = {each.directive for each in said}
    if directives_there & {*_OF_A_SCOPE}:
        paragraphs = _token(said)
    elif PurePosixPath(file).suffix == FileKind.PIPE or not directives_there & _ONLY_IN_A_DATA_SOURCE:
        paragraphs = _pipe(said, format_sql)
    else:
        paragraphs = _sections(said)
    parts = ["\n".join(header), *paragraphs, "\n".join(footer).rstrip()]
    return "\n\n".join(part for part in parts if part) + "\n"


# Reading


def _read(text: str, file: str) -> tuple[list[_Said], list[str], list[str]]:
    """The statements with their comments, and the comments that stand for themselves at the top and at the end."""
    errors: list[DatafileError] = []
    lines = source_lines(str(text), file)
    found = list(statements(lines, errors))
    errors += [misplaced(each, kind) for each in found if (kind := _wrong_kind(each, file))]
    if errors:
        raise min(errors, key=lambda error: error.line)
    said: list[_Said] = []
    begin = 0
    for statement in found:
        first = statement.place.line - 1
        above = _comments(lines[begin:first])
        begin = first + 1
        if statement.block is not None:
            kept = _up_to_the_last_line(statement.block)
            begin += len(kept)
            statement = Statement(statement.directive, (), statement.place, statement.column, kept)
        said.append(_Said(statement, above, comment_of(lines[first].text)))
    header, said = _without_header(said)
    return said, header, list(_comments(lines[begin:]))


def _wrong_kind(statement: Statement, file: str) -> FileKind | None:
    """The kind of the file, when the statement does not belong into it. An included file may hold anything."""
    suffix = PurePosixPath(file).suffix
    if suffix == INCLUDED_SUFFIX:
        is_known = statement.directive in directives.DIRECTIVES - {"SETTINGS"}
        return None if is_known else FileKind.PIPE
    kind = FileKind(suffix)
    return None if statement.directive in directives.OF_KIND[kind] else kind


def _comments(lines: Iterable[SourceLine]) -> tuple[str, ...]:
    """Comment lines, and an empty text for each gap that follows one."""
    kept: list[str] = []
    for line in lines:
        comment = line.text.strip()
        if comment or (kept and kept[-1]):
            kept.append(comment)
    return tuple(kept)


def _up_to_the_last_line(block: Sequence[SourceLine]) -> tuple[SourceLine, ...]:
    """The block without the comments at its end that stand in the first column: they are about what follows."""
    end = len(block)
    while end and (not block[end - 1].text.strip() or block[end - 1].text.startswith("#")):
        end -= 1
    return tuple(block[:end])


def _without_header(said: list[_Said]) -> tuple[list[str], list[_Said]]:
    """Comments at the top of a file, up to the last gap, are about the file."""
    if not said or "" not in said[0].above:
        return [], said
    first = said[0]
    gap = len(first.above) - 1 - first.above[::-1].index("")
    return list(first.above[:gap]), [_Said(first.statement, first.above[gap + 1 :], first.behind), *said[1:]]


# Writing


def _sections(said: Sequence[_Said], tags_of_nodes: Sequence[_Said] = ()) -> Iterator[str]:
    for section in _SECTIONS:
        there = [each for each in said if each.directive in section]
        if section[0] in _SORTED:
            there.sort(key=lambda each: section.index(each.directive))
        yield _tags(there, tags_of_nodes) if section == ("TAGS",) else _paragraph(there)
    known = {directive for section in _SECTIONS for directive in section}
    yield _paragraph(each for each in said if each.directive not in known)


def _token(said: Sequence[_Said]) -> Iterator[str]:
    """Each SCOPE begins a paragraph."""
    yield from _sections([each for each in said if each.directive not in _OF_A_SCOPE])
    group: list[_Said] = []
    for each in said:
        if each.directive == "SCOPE":
            yield _paragraph(group)
            group = []
        if each.directive in _OF_A_SCOPE:
            group.append(each)
    yield _paragraph(group)


def _pipe(said: Sequence[_Said], format_sql: Callable[[str], str]) -> Iterator[str]:
    """From the first NODE or INCLUDE on the order means something: what follows belongs to the node before."""
    begins = ("NODE", "INCLUDE")
    start = next((i for i, each in enumerate(said) if each.directive in begins), len(said))
    head = [each for each in said[:start] if each.directive not in _OF_A_NODE]
    tags = [each for each in said[start:] if each.directive == "TAGS"]
    yield from _sections([*head, *(each for each in said[start:] if each.directive in _ANYWHERE - {"TAGS"})], tags)
    group = [each for each in said[:start] if each.directive in _OF_A_NODE]
    for each in said[start:]:
        if each.directive in begins:
            yield from _node(group, format_sql)
            group = []
        if each.directive == "INCLUDE":
            yield _paragraph([each])
        elif each.directive not in _ANYWHERE or (each.directive == "TAGS" and _options_of(each)):
            group.append(each)
    yield from _node(group, format_sql)


def _node(group: Sequence[_Said], format_sql: Callable[[str], str]) -> Iterator[str]:
    head = [each for each in group if each.directive in ("NODE", "DESCRIPTION")]
    sql = [_commented(each, _sql(each.statement, format_sql)) for each in group if each.directive == "SQL"]
    behind = [each for each in group if each.directive not in ("NODE", "DESCRIPTION", "SQL")]
    behind.sort(
        key=lambda each: _BEHIND_SQL.index(each.directive) if each.directive in _BEHIND_SQL else len(_BEHIND_SQL)
    )
    # The official formatter puts a blank line after a description, and none between NODE and SQL.
    gap = "\n\n" if any(each.directive == "DESCRIPTION" for each in head) else "\n"
    yield gap.join(part for part in (_paragraph(head), "\n".join(sql)) if part)
    yield _paragraph(behind)


def _paragraph(said: Iterable[_Said]) -> str:
    return "\n".join(_commented(each, _statement(each.statement)) for each in said)


def _comments_in_block(statement: Statement) -> list[str]:
    """For blocks that are written on one line, or in which comments have no place of their own."""
    if statement.directive in _WITH_COMMENTS_INSIDE or statement.block is None:
        return []
    if statement.directive == "DESCRIPTION":  # an indented line that starts with # is a heading there
        return [line.text.rstrip() for line in statement.block if line.text.startswith("#")]
    return [text for line in statement.block if (text := line.text.strip()).startswith("#")]


def _commented(said: _Said, text: str) -> str:
    above = [*said.above, *_comments_in_block(said.statement)]
    if said.behind and text and "\n" not in text and comment_of(line := f"{text}  {said.behind}") == said.behind:
        text = line
    elif said.behind:
        above.append(said.behind)
    return "\n".join([*above, *([text] if text else [])])


def _tags(said: Sequence[_Said], of_nodes: Sequence[_Said]) -> str:
    """Filtering tags are the pipe's wherever they stand; operational ones below a NODE are the node's, and stay."""
    tags = dict.fromkeys(tag for each in (*said, *of_nodes) for tag in tags_of(each.statement)[0])
    options = {key: value for each in said for key, value in _options_of(each).items()}
    comments = [_commented(each, "") for each in (*said, *(each for each in of_nodes if not _options_of(each)))]
    return "\n".join(part for part in (*comments, tags_line(tags, options)) if part)


def _options_of(said: _Said) -> dict[str, str]:
    return tags_of(said.statement)[1]


def _statement(statement: Statement) -> str:
    directive = statement.directive
    if directive == "INCLUDE":
        return " ".join(["INCLUDE", *statement.arguments])
    if directive == "DESCRIPTION":
        return description_block(description_of(statement))
    if directive == "TOKEN":
        return token_line(token_of(statement))
    if directive == "TAGS":  # of a node
        return tags_line((), tags_of(statement)[1])
    if directive == "SCHEMA":
        return _schema(statement)
    if directive in ("INDEXES", "INDICES"):
        return _indexes(statement)
    if directive == "SHARED_WITH":
        return block_of("SHARED_WITH", workspaces_of(statement))
    value = value_of(statement)
    if directive == "TYPE":
        return f"TYPE {value.upper()}"
    if directive.startswith("ENGINE_"):
        value = spaced_list(value)
    return written({"MODE": "COPY_MODE"}.get(directive, directive), value)


def _schema(statement: Statement) -> str:
    columns = comma_separated(format_column(column) for column in schema_of(statement))
    comments = comments_of("\n".join(line.text for line in statement.block or ()))
    lines: list[str] = []
    for number, column in enumerate(columns):
        behind = comments.behind.get(number, [])
        lines += [*comments.above.get(number, []), "  ".join([column, *behind[:1]]), *behind[1:]]
    return block_of("SCHEMA", [*lines, *comments.above.get(len(columns), [])])


def _indexes(statement: Statement) -> str:
    indexes = iter(indexes_of(statement))
    if statement.block is None:
        return block_of("INDEXES", [format_index(index) for index in indexes])
    lines = [line.text.strip() for line in statement.block]
    written_again = (line if line.startswith(("#", "--")) else format_index(next(indexes)) for line in lines if line)
    return block_of("INDEXES", written_again)


def _sql(statement: Statement, format_sql: Callable[[str], str]) -> str:
    """Lines that start with `#` are no part of the query, and stay where they are."""
    lines = [line.text for line in statement.block or () if line.text.strip()]
    code = next((i for i, line in enumerate(lines) if not line.lstrip(" \t").startswith("#")), len(lines))
    if code == len(lines):
        raise statement.error("SQL is empty", hint="Write the query below it, indented.")
    comments, query = [line.strip() for line in lines[:code]], lines[code:]
    first = query[0].lstrip()
    if first.startswith("%"):
        body = dedent("\n".join(query[1:]))
        text = "\n".join(part for part in ("%", first[1:].strip(), body) if part)
    else:
        text = dedent("\n".join(query))
    return block_of("SQL", [*comments, *format_sql(text.rstrip()).split("\n")])

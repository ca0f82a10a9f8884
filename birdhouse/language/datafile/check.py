"""What can be wrong with one definition by itself; what depends on others is checked when it is deployed."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from birdhouse.errors import DatafileError, InvalidInput
from birdhouse.language.cron import ON_DEMAND, ONCE, cron
from birdhouse.language.datafile.export import is_file_path
from birdhouse.language.datafile.export import problems as export_problems
from birdhouse.language.datafile.lines import Place
from birdhouse.language.datafile.model import (
    Column,
    DataSourceDefinition,
    DefaultKind,
    Definition,
    Node,
    NodeKind,
    PipeDefinition,
    TableEngine,
    TokenDefinition,
    TokenGrant,
)
from birdhouse.language.datafile.run_options import node_problems, pipe_problems
from birdhouse.language.datafile.schema import columns_of_list
from birdhouse.language.datafile.types import parse_type

NODES_MAX = 500
"""Nodes of one pipe. Each is analysed by the engine when the pipe is pushed."""

_RESERVED_NAMES_WORDS = """
tinybird system public default main origin live snapshot information_schema
_temporary_and_external_tables
"""
RESERVED_NAMES = frozenset(_RESERVED_NAMES_WORDS.split())
"""Databases of the engine and names of workspaces: a resource of that name could not be told from them."""

_FORBIDDEN_KEYWORDS_WORDS = """
add after all and anti any array as asc asof between by case collate cross cube default desc distinct
else end exists from full global group having if ilike in inner insert interval into join left like
limit limits materialized max min not null on or order outer prewhere right sample select semi then to
totals union using where with
"""
FORBIDDEN_KEYWORDS = frozenset(_FORBIDDEN_KEYWORDS_WORDS.split())

NAME_CHARACTERS_MAX = 200

_KAFKA_META_COLUMNS_WORDS = """
__value __headers __topic __partition __offset __timestamp __key
"""
KAFKA_META_COLUMNS = frozenset(_KAFKA_META_COLUMNS_WORDS.split())

DATASOURCE_PERMISSIONS = ("READ", "APPEND", "CREATE", "DROP")
PIPE_PERMISSIONS = ("READ", "CREATE", "DROP")
COPY_MODES = ("append", "replace")
EXPORT_SERVICES = ("gcs_hmac", "s3", "s3_iamrole", "kafka")
IMPORT_SERVICES = ("s3", "s3_iamrole", "gcs", "bigquery", "snowflake", "dynamodb")
SCHEDULE_WORDS = (ON_DEMAND, ONCE)
JOIN_STRICTNESS = ("ANY", "ALL", "SEMI", "ANTI")
JOIN_TYPES = ("LEFT", "INNER", "RIGHT", "FULL")

REQUIRED_ENGINE_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "MergeTree": (),
        "ReplacingMergeTree": ("sorting_key",),
        "SummingMergeTree": (),
        "AggregatingMergeTree": (),
        "CollapsingMergeTree": ("sign", "sorting_key"),
        "VersionedCollapsingMergeTree": ("sign", "version"),
        "Join": ("join_strictness", "join_type", "key_columns"),
        "Null": (),
    }
)
_ENGINES_BY_LOWER = {name.lower(): name for name in REQUIRED_ENGINE_OPTIONS}
_COLUMN_OPTIONS = ("ver", "is_deleted", "sign", "version", "columns", "key_columns")
_KEY_OPTIONS = ("partition_key", "sorting_key", "primary_key", "sampling_key")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IDENTIFIER = re.compile(r"`[^`]+`|[A-Za-z_]\w*")
_JSONPATH = re.compile(r"""\$(?:\.?\[(?:\d+|:|'[^']*'|"[^"]*")\]|\.[^.\[\]`'"\s]+|\.(?:'[^']+'|"[^"]+"))*""")
_SCOPE = re.compile(r"[A-Z_]+(?::[A-Z_]+)?")

NO_PLACES: Mapping[str, Place] = MappingProxyType({})


class Problem(NamedTuple):
    message: str
    hint: str
    subjects: tuple[str, ...] = ()
    """What it is about, most exact first: `COLUMN ts`, `ENGINE_VER`, `NODE daily`."""


def check(definition: Definition, file: str = "", *, places: Mapping[str, Place] = NO_PLACES) -> list[DatafileError]:
    """`places` are the lines that reading the datafile noted; without them an error names only the file."""
    if isinstance(definition, DataSourceDefinition):
        found = _datasource(definition)
    elif isinstance(definition, PipeDefinition):
        found = _pipe(definition)
    else:
        found = _token(definition)
    return [_located(problem, file, places) for problem in found]


def canonical_engine_name(written: str) -> str:
    """Engines are known in any case: `mergetree` is MergeTree. An unknown name is returned as it is."""
    return _ENGINES_BY_LOWER.get(written.lower(), written)


def is_valid_name(name: str) -> bool:
    return next(_name("resource", name, RESERVED_NAMES), None) is None


def _located(problem: Problem, file: str, places: Mapping[str, Place]) -> DatafileError:
    place = next((places[subject] for subject in problem.subjects if subject in places), Place(file, 0))
    return DatafileError(problem.message, file=place.file, line=place.line, hint=problem.hint)


def _name(what: str, name: str, reserved: frozenset[str], *subjects: str) -> Iterator[Problem]:
    if not _NAME.fullmatch(name):
        yield Problem(
            f"'{name}' is not a valid name for a {what}",
            "Use letters, digits and underscores; do not start with a digit.",
            subjects,
        )
    elif len(name) > NAME_CHARACTERS_MAX:
        yield Problem(f"The name of a {what} has at most {NAME_CHARACTERS_MAX} characters", "Shorten it.", subjects)
    elif name.lower() in FORBIDDEN_KEYWORDS:
        yield Problem(f"'{name}' is a keyword of SQL", f"Give the {what} another name.", subjects)
    elif name.lower() in reserved:
        yield Problem(f"'{name}' is a reserved name", f"Give the {what} another name.", subjects)


def _grants(tokens: Iterable[TokenGrant], permissions: tuple[str, ...]) -> Iterator[Problem]:
    for token in tokens:
        if token.permission not in permissions:
            hint = f"Write one of {', '.join(permissions)}; a token name with blanks needs quotes."
            yield Problem(f"Unknown permission '{token.permission}'", hint, (f"TOKEN {token.name}",))


def _datasource(source: DataSourceDefinition) -> Iterator[Problem]:
    yield from _name("data source", source.name, RESERVED_NAMES)
    if not source.columns:
        yield Problem("The data source has no SCHEMA", "Write SCHEMA >, then one column per line, indented.")
    for name in _repeated(column.name for column in source.columns):
        yield Problem(f"Column '{name}' is there twice", "Remove or rename one.", (f"COLUMN {name}", "SCHEMA"))
    for column in source.columns:
        yield from _column(column)
    for name in _repeated(index.name for index in source.indexes):
        yield Problem(f"Index '{name}' is there twice", "Remove or rename one.", ("INDEXES", "INDICES"))
    if source.engine is not None:
        known = {column.name for column in source.columns}
        yield from _engine(source.engine, "", known | (KAFKA_META_COLUMNS if source.kafka else set()))
    yield from _grants(source.tokens, DATASOURCE_PERMISSIONS)
    yield from _connector(source)


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _column(column: Column) -> Iterator[Problem]:
    subjects = (f"COLUMN {column.name}", "SCHEMA")
    if column.type:
        try:
            parse_type(column.type)
        except DatafileError as error:
            yield Problem(f"Column '{column.name}': {error.message}", error.hint, subjects)
    if column.jsonpath is None:
        return
    if not _JSONPATH.fullmatch(column.jsonpath):
        yield Problem(
            f"Column '{column.name}': '{column.jsonpath}' is not a jsonpath",
            "Write a path such as $.user.id, or $.tags[:] for an array.",
            subjects,
        )
    if column.default_kind is DefaultKind.MATERIALIZED:
        yield Problem(
            f"Column '{column.name}' is MATERIALIZED and has a jsonpath",
            "It is computed from other columns: remove the jsonpath.",
            subjects,
        )


def _engine(engine: TableEngine, node: str, known: set[str] | frozenset[str]) -> Iterator[Problem]:
    """`node` is the materialized node that declares the engine, or empty; `known` is empty when unknown."""
    name = canonical_engine_name(engine.name)
    required = REQUIRED_ENGINE_OPTIONS.get(name)
    if required is None:
        near = difflib.get_close_matches(name, REQUIRED_ENGINE_OPTIONS, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Use one of {', '.join(REQUIRED_ENGINE_OPTIONS)}."
        yield Problem(f"Unknown engine '{name}'", hint, _engine_subjects(node, "ENGINE"))
        return
    for option in required:
        if not engine.options.get(option):
            directive = f"ENGINE_{option.upper()}"
            yield Problem(f"{name} needs {directive}", f"Add the line {directive} …", _engine_subjects(node, "ENGINE"))
    if "sorting_key" in required and engine.options.get("sorting_key") == "tuple()":
        subjects = _engine_subjects(node, "ENGINE_SORTING_KEY")
        yield Problem(f"{name} cannot be sorted by tuple()", "Name the columns that identify a row.", subjects)
    yield from _join(engine, node)
    if known:
        yield from _engine_columns(engine, node, known)


def _engine_subjects(node: str, directive: str) -> tuple[str, ...]:
    if node:
        return (f"NODE {node} {directive}", f"NODE {node}")
    return (directive, "ENGINE")


def _join(engine: TableEngine, node: str) -> Iterator[Problem]:
    for option, allowed in (("join_strictness", JOIN_STRICTNESS), ("join_type", JOIN_TYPES)):
        written = engine.options.get(option)
        if written and written.upper() not in allowed:
            directive = f"ENGINE_{option.upper()}"
            hint = f"Write one of {', '.join(allowed)}."
            yield Problem(f"Unknown {directive} '{written}'", hint, _engine_subjects(node, directive))


def _engine_columns(engine: TableEngine, node: str, known: set[str] | frozenset[str]) -> Iterator[Problem]:
    for option in (*_COLUMN_OPTIONS, *_KEY_OPTIONS):
        for written in columns_of_list(engine.options.get(option, "")):
            name = written.strip("`")
            # Expressions are left to the engine; a bare name can be told here, with the nearest column.
            if not _IDENTIFIER.fullmatch(written) or name in known:
                continue
            near = difflib.get_close_matches(name, sorted(known), n=1)
            hint = f"Did you mean {near[0]}?" if near else "Name a column of SCHEMA."
            directive = f"ENGINE_{option.upper()}"
            yield Problem(f"{directive} names no column: '{name}'", hint, _engine_subjects(node, directive))


def _connector(source: DataSourceDefinition) -> Iterator[Problem]:
    if source.kafka and source.imports:
        yield Problem("A data source has KAFKA_ or IMPORT_ lines, not both", "Make two data sources.")
    if source.kafka:
        for option in ("kafka_connection_name", "kafka_topic", "kafka_group_id"):
            if not source.kafka.get(option):
                directive = option.upper()
                yield Problem(f"A Kafka data source needs {directive}", f"Add the line {directive} …", ("KAFKA_TOPIC",))
    service = source.imports.get("import_service")
    if service is not None and service.lower() not in IMPORT_SERVICES:
        hint = f"Write one of {', '.join(IMPORT_SERVICES)}."
        yield Problem(f"Unknown IMPORT_SERVICE '{service}'", hint, ("IMPORT_SERVICE",))


def _pipe(pipe: PipeDefinition) -> Iterator[Problem]:
    yield from _name("pipe", pipe.name, RESERVED_NAMES)
    if not pipe.nodes:
        yield Problem("The pipe has no nodes", "Write NODE name, then SQL > and the query, indented.")
    if len(pipe.nodes) > NODES_MAX:
        yield Problem(f"The pipe has {len(pipe.nodes)} nodes; the limit is {NODES_MAX}", "Split it into several pipes.")
        return
    for name in _repeated(node.name for node in pipe.nodes):
        yield Problem(f"Node '{name}' is there twice", "Rename one.", (f"NODE {name}",))
    outputs = [node for node in pipe.nodes if node.kind is not NodeKind.STANDARD]
    for extra in outputs[1:]:
        yield Problem(
            f"The pipe already has an output: node '{outputs[0].name}' is its {outputs[0].kind}",
            f"Remove the TYPE of one, or move node '{extra.name}' to a pipe of its own.",
            (f"NODE {extra.name} TYPE", f"NODE {extra.name}"),
        )
    for node in pipe.nodes:
        yield from _node(node, pipe)
    yield from (Problem(*problem, ("TAGS",)) for problem in pipe_problems(pipe))
    yield from _grants(pipe.tokens, PIPE_PERMISSIONS)


def _node(node: Node, pipe: PipeDefinition) -> Iterator[Problem]:
    here = f"NODE {node.name}"
    yield from _name("node", node.name, frozenset(), here)
    if node.name in (pipe.name, pipe.resource_name):
        yield Problem(f"Node '{node.name}' has the name of its pipe", "Rename the node.", (here,))
    if not node.sql.removeprefix("%").strip():
        yield Problem(f"Node '{node.name}' has no SQL", "Write SQL >, then the query, indented.", (here,))
    yield from _materialized(node, here)
    yield from _copy(node, here)
    yield from _export(node, here)
    yield from (Problem(*problem, (f"{here} TAGS", here)) for problem in node_problems(node))


def _misplaced(node: Node, here: str, directive: str, kind: NodeKind) -> Problem:
    return Problem(
        f"{directive} needs TYPE {kind}, and node '{node.name}' is {node.kind}",
        f"Add TYPE {kind} to the node or remove the line.",
        (f"{here} {directive}", here),
    )


def _needs(node: Node, here: str, directive: str) -> Problem:
    return Problem(
        f"The {node.kind} node '{node.name}' needs {directive}",
        f"Add the line {directive} …",
        (f"{here} TYPE", here),
    )


def _materialized(node: Node, here: str) -> Iterator[Problem]:
    if node.kind is not NodeKind.MATERIALIZED:
        if node.datasource is not None:
            yield _misplaced(node, here, "DATASOURCE", NodeKind.MATERIALIZED)
        if node.engine is not None:
            yield _misplaced(node, here, "ENGINE", NodeKind.MATERIALIZED)
        return
    if not node.datasource:
        yield _needs(node, here, "DATASOURCE")
    if node.engine is not None:
        yield from _engine(node.engine, node.name, frozenset())


def _copy(node: Node, here: str) -> Iterator[Problem]:
    if node.kind is not NodeKind.COPY:
        for directive, value in (
            ("TARGET_DATASOURCE", node.target_datasource),
            ("COPY_SCHEDULE", node.copy_schedule),
            ("COPY_MODE", node.copy_mode),
        ):
            if value is not None:
                yield _misplaced(node, here, directive, NodeKind.COPY)
        return
    if not node.target_datasource:
        yield _needs(node, here, "TARGET_DATASOURCE")
    if node.copy_mode is not None and node.copy_mode not in COPY_MODES:
        yield Problem(f"Unknown COPY_MODE '{node.copy_mode}'", "Write append or replace.", (f"{here} COPY_MODE", here))
    yield from _schedule(node.copy_schedule, here, "COPY_SCHEDULE")


def _schedule(written: str | None, here: str, directive: str) -> Iterator[Problem]:
    if written is None or written in SCHEDULE_WORDS:
        return
    try:
        cron(written)
    except InvalidInput as error:
        yield Problem(f"{directive} {error.message}", error.hint, (f"{here} {directive}", here))


def _export(node: Node, here: str) -> Iterator[Problem]:
    wanted = {NodeKind.SINK: "export_", NodeKind.STREAM: "kafka_"}.get(node.kind)
    for option in node.options:
        if wanted is None or not option.startswith(wanted):
            kind = NodeKind.SINK if option.startswith("export_") else NodeKind.STREAM
            yield _misplaced(node, here, option.upper(), kind)
    if node.kind is NodeKind.STREAM:
        for option in ("kafka_connection_name", "kafka_topic"):
            if not node.options.get(option):
                yield _needs(node, here, option.upper())
    if node.kind is not NodeKind.SINK:
        return
    service = node.options.get("export_service", "")
    if not service:
        yield _needs(node, here, "EXPORT_SERVICE")
    elif service.lower() not in EXPORT_SERVICES:
        hint = f"Write one of {', '.join(EXPORT_SERVICES)}."
        yield Problem(f"Unknown EXPORT_SERVICE '{service}'", hint, (f"{here} EXPORT_SERVICE", here))
    is_kafka = service.lower() == "kafka"
    is_local = is_file_path(node.options.get("export_bucket_uri", ""))
    target = "export_kafka_topic" if is_kafka else "export_bucket_uri"
    for option in (target,) if is_local else ("export_connection_name", target):
        if service and not node.options.get(option):
            yield _needs(node, here, option.upper())
    if not is_kafka and service.lower() in EXPORT_SERVICES:
        for option, message, hint in export_problems(node.options):
            yield Problem(message, hint, (f"{here} {option.upper()}", here))
    yield from _schedule(node.options.get("export_schedule") or None, here, "EXPORT_SCHEDULE")


def _token(token: TokenDefinition) -> Iterator[Problem]:
    if not token.scopes:
        yield Problem("The token has no SCOPE", "Write SCOPE DATASOURCES:READ, then RESOURCE name.")
    for scope in token.scopes:
        if not _SCOPE.fullmatch(scope.type):
            yield Problem(f"'{scope.type}' is not a scope", "Write one such as DATASOURCES:READ.")
        elif scope.resource is None and scope.type.endswith((":READ", ":APPEND", ":DROP")):
            yield Problem(f"{scope.type} needs a resource", "Add the line RESOURCE name below the SCOPE.")

"""What a materialized view needs of its query and its target, and what about it deserves a remark."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from birdhouse.deploy import ddl
from birdhouse.engine.tables import StoredColumn
from birdhouse.engine.types import quote_identifier
from birdhouse.errors import DatafileError, SqlError
from birdhouse.language.datafile.model import Column, DataSourceDefinition, DefaultKind, TableEngine
from birdhouse.language.datafile.types import NUMBERS, ColumnType, parse_type

_STATE = "AggregateFunction"
_SIMPLE_STATE = "SimpleAggregateFunction"
_TEXTS = frozenset({"String", "FixedString"})
_HOLD_TEXT = _TEXTS | {"JSON", "Object", "Dynamic", "Variant"}
_CONTAINERS = frozenset({"Array", "Map", "Tuple"})

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|`[^`]*`|\"[^\"]*\"")
_WINDOW = re.compile(r"\bOVER (?:\w+|\((?:[^()]|\([^()]*\))*\))")
_PER_BLOCK = (
    ("LIMIT", "LIMIT takes rows of each inserted block by itself."),
    ("ORDER BY", "ORDER BY sorts each inserted block by itself. The sorting key of the target orders its rows."),
    ("DISTINCT", "DISTINCT removes what is there twice in one inserted block, and nothing between blocks."),
    ("UNION", "UNION reads the tables after the first SELECT again, as a whole, with each inserted block."),
)


@dataclass(frozen=True, slots=True)
class Note:
    """A remark about a view that works but may surprise. `code` is a word for programs."""

    pipe: str
    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.pipe}: {self.text}"


def misfit(pipe: str, columns: Sequence[StoredColumn], target: DataSourceDefinition) -> SqlError | None:
    """The error that shows the two schemas side by side, when the result of the view cannot go into the target."""
    there = {column.name: column for column in target.columns}
    rows = [(each.name, each.type, *_place(each, there.get(each.name))) for each in columns]
    wrong = next((name for name, *_, reason in rows if reason), None)
    if wrong is None:
        return None
    given = {each.name for each in columns}
    rows += [(name, "-", column.type, "") for name, column in there.items() if name not in given]
    return SqlError(
        f"Column '{wrong}' of pipe '{pipe}' does not fit the Data Source '{target.resource_name}':\n"
        f"{_side_by_side(rows)}\n"
        "Columns go in by their names.",
        hint="Give those of the query the names and types of the Data Source, or push one that fits the query.",
    )


def _place(given: StoredColumn, column: Column | None) -> tuple[str, str]:
    """The type of the column in the target, and why the one of the query does not fit it; empty when it does."""
    if column is None:
        return "-", "the Data Source has no such column"
    if column.default_kind is DefaultKind.MATERIALIZED:
        return column.type, "the Data Source computes it"
    try:
        return column.type, _mismatch(parse_type(given.type), parse_type(column.type))
    except DatafileError:  # a type that only the engine knows; it is asked too
        return column.type, ""


def _mismatch(given: ColumnType, there: ColumnType) -> str:
    """Conversions that fail, always or for some texts. What may fail for a NULL only is a remark."""
    if _STATE in (given.name, there.name):
        return _state_mismatch(given, there)
    given, there = _value(given), _value(there)
    if given.name in _TEXTS and there.name not in _HOLD_TEXT:
        return "not every text can be converted"
    if _CONTAINERS.intersection((given.name, there.name)) and given.name != there.name and there.name != "String":
        return "cannot be converted"
    if given.name == there.name and len(given.inner) == len(there.inner):
        return next(filter(None, map(_mismatch, given.inner, there.inner)), "")
    return ""


def _state_mismatch(given: ColumnType, there: ColumnType) -> str:
    if there.name != _STATE:
        return "a state cannot be converted: use the function without -State"
    if given.name != _STATE:
        return "not a state: use the function with -State"
    functions = [each.parameters[0].partition("(")[0] for each in (given, there)]
    if functions[0] != functions[1] or list(map(str, given.inner)) != list(map(str, there.inner)):
        return "states of another function"
    return ""


def _value(kind: ColumnType) -> ColumnType:
    return kind.inner[-1] if kind.name == _SIMPLE_STATE else kind


def _side_by_side(rows: Sequence[tuple[str, str, str, str]]) -> str:
    lines = [("column", "query", "Data Source", ""), *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(3)]
    padded = (
        "  ".join((*(line[place].ljust(width) for place, width in enumerate(widths)), line[3])).rstrip()
        for line in lines
    )
    return "\n".join(f"  {line}" for line in padded)


def fitting_engine(columns: Sequence[StoredColumn]) -> TableEngine:
    """For a target that nobody has described: states are merged by what they were grouped by."""
    kinds = {column.name: parse_type(column.type).name for column in columns}
    keys = [quote_identifier(name) for name, kind in kinds.items() if kind not in (_STATE, _SIMPLE_STATE)]
    if len(keys) == len(kinds):
        return TableEngine("MergeTree")
    return TableEngine("AggregatingMergeTree", {"sorting_key": ", ".join(keys) or "tuple()"})


def unkeyed(columns: Sequence[StoredColumn], target: DataSourceDefinition) -> list[str]:
    """The columns of which a merge of the target keeps one value among all rows with the same sorting key."""
    engine = target.engine
    if engine is None or engine.name not in ("SummingMergeTree", "AggregatingMergeTree"):
        return []
    key = engine.options.get("sorting_key", "").strip() or ddl.default_sorting_key(target.columns)
    merged = set(re.findall(r"\w+", f"{key} {engine.options.get('partition_key', '')}"))
    if engine.name == "SummingMergeTree":
        merged |= set(re.findall(r"\w+", engine.options.get("columns", "")))
    there = {column.name: column.type for column in target.columns}
    return [
        each.name
        for each in columns
        if each.name in there and each.name not in merged and not _is_merged(there[each.name], engine.name)
    ]


def _is_merged(type_text: str, engine: str) -> bool:
    kind = parse_type(type_text)
    return kind.name in (_STATE, _SIMPLE_STATE) or (engine == "SummingMergeTree" and _is_number(kind))


def _is_number(kind: ColumnType) -> bool:
    return kind.name in NUMBERS or kind.name.startswith("Decimal")


def unkeyed_error(pipe: str, names: Sequence[str], target: DataSourceDefinition) -> SqlError | None:
    """Without any sorting key a merge would leave one row of all."""
    engine = target.engine
    if not names or engine is None or engine.options.get("sorting_key", "").strip() not in ("tuple()", "()"):
        return None
    return SqlError(
        f"'{target.resource_name}' has no sorting key, and {engine.name} would merge all rows that pipe '{pipe}' "
        "gives into one",
        hint=f'Add ENGINE_SORTING_KEY "{", ".join(names)}".',
    )


def notes(pipe: str, sql: str, columns: Sequence[StoredColumn], target: DataSourceDefinition) -> Iterator[Note]:
    """`sql` is the whole SELECT of the view, as the parser writes it."""
    text = _QUOTED.sub("''", sql)
    without_windows = _WINDOW.sub("", text)
    if without_windows != text:
        yield Note(pipe, "WINDOW", "A window function sees the rows of one inserted block, not those before it.")
    for keyword, what in _PER_BLOCK:
        if re.search(rf"\b{keyword}\b", without_windows):
            yield Note(pipe, keyword.replace(" ", "_"), what)
    there = {column.name: column.type for column in target.columns}
    for column in columns:
        if risk := _risk(column, there.get(column.name, "")):
            yield Note(pipe, "TYPE", risk)
    if names := unkeyed(columns, target):
        yield Note(
            pipe,
            "GROUP_BY",
            f"{', '.join(names)} of '{target.resource_name}' is not in its sorting key: of rows with the same key a "
            "merge keeps one value.",
        )


def _risk(column: StoredColumn, type_text: str) -> str:
    try:
        given, there = _value(parse_type(column.type)), _value(parse_type(type_text))
    except DatafileError:
        return ""
    if given.nullable and not there.nullable:
        return f"Column '{column.name}' can be NULL in the query and not in the Data Source: such an insert fails."
    if given.name in NUMBERS and there.name in NUMBERS and _bits(there) < _bits(given):
        return f"Column '{column.name}' is {given} in the query and {there} in the Data Source: large values are cut."
    return ""


def _bits(kind: ColumnType) -> int:
    return int(re.sub(r"\D", "", kind.name) or 0)

"""Which types would take the values that are in quarantine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from birdhouse.client import Client
from birdhouse.engine.types import quote_identifier, quote_string
from birdhouse.language.datafile.model import Column, DataSourceDefinition
from birdhouse.language.datafile.parse import parse_datasource
from birdhouse.language.datafile.types import parse_type

INTEGERS = ("Int64", "UInt64", "Int128")
WIDER = {
    **dict.fromkeys(("Int8", "Int16", "Int32", "UInt8", "UInt16", "UInt32", "UInt64", "Int64"), (*INTEGERS, "Float64")),
    "Float32": ("Float64",),
    "Date": ("Date32", "DateTime64(3)"),
    "DateTime": ("DateTime64(3)",),
    "Bool": INTEGERS,
}
"""What is tried before String, which takes every value."""


@dataclass(frozen=True, slots=True)
class Change:
    column: str
    before: str
    after: str
    why: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """`text` is the datafile with the changes. Lines that were no records at all are unreadable."""

    text: str
    changes: tuple[Change, ...]
    unreadable_rows: int

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "changes": [asdict(each) for each in self.changes]}


def propose(client: Client, name: str, text: str) -> Proposal:
    definition = parse_datasource(text, name=name)
    groups = client.misfits(name)
    wrong = sorted({column for group in groups for column in group["columns"]})
    columns = {column.name: column for column in definition.columns}
    changes = tuple(_change(client, name, columns[each]) for each in wrong if each in columns)
    for change in changes:
        text = _with_type(text, definition, change)
    return Proposal(text, changes, sum(int(group["rows"]) for group in groups if not group["columns"]))


def _change(client: Client, name: str, column: Column) -> Change:
    """The first type that takes all values which the column's did not."""
    kind = parse_type(column.type)
    plain = re.sub(r"^(?:LowCardinality|Nullable)\((.*)\)$", r"\1", str(kind))
    candidates = [each for each in WIDER.get(kind.name, ()) if each != plain]
    text = quote_identifier(column.name)
    tests = ", ".join(f"countIf({_takes(each, text)}) AS `{each}`" for each in candidates)
    (found,) = client.sql(
        f"SELECT count() AS rows, countIf(isNull({text})) AS missing{', ' if tests else ''}{tests} "
        f"FROM {name}_quarantine WHERE has(c__error_column, {quote_string(column.name)})"
    )
    given = found["rows"] - found["missing"]
    fitting = plain if not given else next((each for each in candidates if found[each] == given), "String")
    after = f"Nullable({fitting})" if found["missing"] or kind.nullable else fitting
    return Change(column.name, column.type, after, _why(found["rows"], found["missing"], given))


def _takes(kind: str, text: str) -> str:
    if kind.startswith("Date"):
        return f"isNotNull(parseDateTime64BestEffortOrNull({text}, 3, 'UTC'))"
    return f"isNotNull(accurateCastOrNull(trimBoth({text}), {quote_string(kind)}))"


def _why(rows: int, missing: int, given: int) -> str:
    parts: Sequence[str] = [f"{missing} without a value"] * bool(missing) + [f"{given} of another kind"] * bool(given)
    return f"{rows} rows: {', '.join(parts)}"


def _with_type(text: str, definition: DataSourceDefinition, change: Change) -> str:
    """The datafile with another type of one column; all other characters stay."""
    name = rf"(?:`{re.escape(change.column)}`|\b{re.escape(change.column)}\b)"
    pattern = re.compile(rf"({name}\s+){re.escape(change.before)}(?=[\s,`]|$)")
    return pattern.sub(lambda found: f"{found[1]}{change.after}", text, count=1)

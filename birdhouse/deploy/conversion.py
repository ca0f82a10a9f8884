"""From the rows of one data source definition to those of another: column by column, and nothing lost unasked."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from birdhouse.engine.types import quote_identifier, quote_string
from birdhouse.errors import BirdhouseError, InvalidInput, InvalidParameter
from birdhouse.language.datafile.model import Column, DataSourceDefinition, DefaultKind
from birdhouse.language.datafile.types import ColumnType, parse_type


@dataclass(frozen=True, slots=True)
class Wishes:
    """`fills` are expressions over the old columns, by new column, and checked; `drops` are columns that may go.

    With `keeps_old` nothing is lost: the old table stays as a data source.
    """

    fills: Mapping[str, str]
    drops: Collection[str] = ()
    keeps_old: bool = False


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a column of the new table gets its values. Without an `expression` it gets its default.

    `misfit` is a condition for old values that have no place in the new type; empty where every value has.
    """

    column: str
    expression: str
    text: str
    misfit: str = ""


def conversions(old: DataSourceDefinition, new: DataSourceDefinition, wishes: Wishes) -> list[Conversion]:
    """Of every column of the new table to which rows are written, in its order.

    Raises InvalidParameter for a wish that fits nothing, InvalidInput for a column that would be lost.
    """
    columns = {column.name: column for column in old.columns}
    problems = [*_idle_wishes(columns, new, wishes), *_losses(columns, new, wishes)]
    if problems:
        raise problems[0]
    return [
        _conversion(columns.get(column.name), column, wishes.fills.get(column.name))
        for column in new.columns
        if column.default_kind is not DefaultKind.MATERIALIZED
    ]


def dropped(old: DataSourceDefinition, new: DataSourceDefinition) -> list[str]:
    names = {column.name for column in new.columns}
    return [column.name for column in old.columns if column.name not in names]


def _idle_wishes(columns: Mapping[str, Column], new: DataSourceDefinition, wishes: Wishes) -> Iterator[BirdhouseError]:
    written = {each.name for each in new.columns if each.default_kind is not DefaultKind.MATERIALIZED}
    for name in wishes.fills:
        if name not in written:
            near = difflib.get_close_matches(name, written, n=1)
            yield InvalidParameter(
                f"The new '{new.resource_name}' has no column '{name}' to fill",
                hint=f"Did you mean '{near[0]}'?" if near else "Add it to the datafile.",
            )
    gone = set(columns) - {each.name for each in new.columns}
    for name in wishes.drops:
        if name not in gone:
            reason = "it is in the new datafile" if name in columns else "there is none"
            yield InvalidParameter(f"The column '{name}' of '{new.resource_name}' cannot be dropped: {reason}")


def _losses(columns: Mapping[str, Column], new: DataSourceDefinition, wishes: Wishes) -> Iterator[BirdhouseError]:
    names = {each.name for each in new.columns}
    for column in columns.values():
        is_lost = column.name not in names and column.name not in wishes.drops
        if is_lost and column.default_kind is not DefaultKind.MATERIALIZED and not wishes.keeps_old:
            yield InvalidInput(
                f"The column '{column.name}' of '{new.resource_name}' would be lost with its values",
                hint=f"Allow that with --drop {column.name}, or keep the old rows as a data source with --keep NAME.",
            )


def _conversion(old: Column | None, new: Column, fill: str | None) -> Conversion:
    name = quote_identifier(new.name)
    if fill is not None:
        return Conversion(new.name, _cast(f"({fill}\n)", new.type), f"fill {name} {new.type} with {fill}")
    if old is None:
        given = f"{new.default_kind} {new.default}" if new.default_kind else f"the default of {new.type}"
        return Conversion(new.name, "", f"add {name} {new.type}: {given}")
    if _same(old.type, new.type):
        return Conversion(new.name, name, "")
    return Conversion(
        new.name, _cast(name, new.type), f"convert {name} from {old.type} to {new.type}", _misfit(name, old, new)
    )


def _same(one: str, other: str) -> bool:
    return "".join(one.split()) == "".join(other.split())


def _cast(expression: str, type_: str) -> str:
    """A cast that refuses what does not fit. The engine has none for states of aggregate functions: they must be it."""
    if not type_ or "AggregateFunction(" in type_:
        return expression
    return f"accurateCast({expression}, {quote_string(type_)})"


def _misfit(name: str, old: Column, new: Column) -> str:
    """A text has to be readable as the new type. Other values have to be the same when they are turned back."""
    if not old.type or not new.type:
        return ""
    before, after = parse_type(old.type), parse_type(new.type)
    if before.inner or after.inner:
        return ""  # of arrays, maps and states nothing can be said in one expression; the conversion itself refuses
    as_new = f"accurateCastOrNull({name}, {quote_string(_bare(after))})"
    lost = f"isNull({name}) OR " if before.nullable and not after.nullable else ""
    if before.name in ("String", "FixedString"):
        return f"{lost}(isNotNull({name}) AND isNull({as_new}))"
    back = f"CAST({as_new}, {quote_string(f'Nullable({_bare(before)})')})"
    return f"{lost}(isNotNull({name}) AND NOT ifNull({back} = {name}, 0))"


def _bare(type_: ColumnType) -> str:
    return str(replace(type_, nullable=False, low_cardinality=False))

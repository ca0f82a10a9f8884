"""Texts to typed rows, in the engine: a block of texts is staged, cast, and split by whether rows fit.

The casts return NULL instead of failing. The engine answers with RowBinary, where the mark of NULL is the one that
RowBinaryWithDefaults has for a default; so the rows that fit come back ready for the insert.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Insert, Limits, Query, TableName, quote_string
from birdhouse.errors import InvalidRows
from birdhouse.ingest.ndjson import Encoded
from birdhouse.ingest.quarantine import ingested
from birdhouse.ingest.staging import STAGING_MARK
from birdhouse.ingest.stored_type import enum_bits, enum_values, number_parameter, plain_type, stored_type
from birdhouse.ingest.text_block import TextBlock
from birdhouse.language.datafile.model import Column
from birdhouse.language.datafile.types import ColumnType, parse_type


@dataclass(frozen=True, slots=True)
class _Part:
    """How one column reads its text: `value` is RowBinaryWithDefaults of the column, `fits` is 1 or 0."""

    column: Column
    text: str
    value: str
    fits: str
    kind: ColumnType


class Fitting:
    """A staging table for the texts of one file, as an async context. Blocks go through one at a time."""

    def __init__(self, engine: Engine, database: str, columns: Sequence[Column], given: Sequence[str]) -> None:
        """`given` are the columns that the file has, in its order."""
        self._engine = engine
        self._stage = TableName(database, f"texts{STAGING_MARK}{uuid.uuid4().hex[:12]}")
        self._given = tuple(given)
        self._parts = [_part(column, self._given) for column in ingested(columns)]
        self.columns = tuple(part.column.name for part in self._parts)

    async def __aenter__(self) -> Fitting:
        texts = ", ".join(f"c{number} Nullable(String)" for number in range(len(self._given)))
        await self._engine.execute(f"CREATE TABLE {self._stage} ({texts}) ENGINE = Memory")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._engine.execute(f"DROP TABLE IF EXISTS {self._stage} SYNC")

    async def fit(self, block: TextBlock, import_id: str | None = None) -> Encoded:
        """Rejects of the block are not looked at."""
        if not block.rows:
            return Encoded()
        names = tuple(f"c{number}" for number in range(len(self._given)))
        await self._engine.insert(Insert(self._stage, names, "ArrowStream", block.data, ""))
        try:
            good = await self._engine.select(_query(self._good_sql()))
            good_rows = good.statistics.result_rows
            if good_rows == block.rows:
                return Encoded(good.body, good_rows)
            bad = await self._engine.select(_query(self._quarantine_sql(import_id)))
        finally:
            await self._engine.execute(f"TRUNCATE TABLE {self._stage} SYNC")
        bad_rows = bad.statistics.result_rows
        if good_rows + bad_rows != block.rows:
            raise InvalidRows(
                f"{block.rows} rows were read, but {good_rows} fit and {bad_rows} do not.",
                hint="Nothing of this block was written. Import the file again.",
            )
        return Encoded(good.body, good_rows, bad.body, bad_rows)

    def _good_sql(self) -> str:
        values = ", ".join(part.value for part in self._parts)
        return f"SELECT {values} FROM {self._stage} WHERE {self._all_fit()}"

    def _quarantine_sql(self, import_id: str | None) -> str:
        """Rows as `quarantine.quarantine_row` writes them."""
        originals = ", ".join(f"0::UInt8, CAST({part.text} AS Nullable(String))" for part in self._parts)
        return (
            f"SELECT {originals}, 0::UInt8, {self._reasons()}, 0::UInt8, {self._misfit_names()}, 0::UInt8, "
            f"CAST({_literal(import_id)} AS Nullable(String)), 1::UInt8 "
            f"FROM {self._stage} WHERE NOT ({self._all_fit()})"
        )

    def _all_fit(self) -> str:
        return " AND ".join(f"({part.fits})" for part in self._parts) or "1"

    def _reasons(self) -> str:
        return _kept((part, _reason(part)) for part in self._parts)

    def _misfit_names(self) -> str:
        return _kept((part, quote_string(part.column.name)) for part in self._parts)


_BLOCK_LIMITS = Limits(seconds=600, result_rows=10_000_000, result_bytes=4_000_000_000, rows_to_read=10_000_000)
"""A block is small; these only keep the limits of endpoints from counting for it."""


def _query(sql: str) -> Query:
    return Query(sql, "RowBinary", limits=_BLOCK_LIMITS)


def _part(column: Column, given: tuple[str, ...]) -> _Part:
    kind = stored_type(parse_type(column.type))
    has_default = column.default_kind is not None
    if column.name not in given:
        if has_default or kind.nullable or _may_be_empty(kind):
            return _Part(column, "NULL", "1::UInt8", "1", kind)
        raise InvalidRows(
            f"The file has no column for '{column.name}'.",
            detail=f"(its columns are {', '.join(given)})",
            hint="Add the column to the file, or give it a DEFAULT or a Nullable type in the data source.",
        )
    text = f"c{given.index(column.name)}"
    cast = _cast(replace(kind, nullable=False), text, 0)
    empty = f"ifNull({text} = '', 1)"
    if kind.nullable:
        return _Part(column, text, f"0::UInt8, {_if(empty, 'NULL', cast.value)}", f"{empty} OR {cast.fits}", kind)
    if _may_be_empty(kind):
        otherwise = f"CAST(({column.default}) AS {kind})" if has_default else f"CAST({_EMPTY[kind.name]} AS {kind})"
        return _Part(column, text, f"0::UInt8, {_if(empty, otherwise, cast.value)}", f"{empty} OR {cast.fits}", kind)
    if has_default:
        return _Part(column, text, _if(empty, "NULL", cast.value), f"{empty} OR {cast.fits}", kind)
    return _Part(column, text, f"0::UInt8, assumeNotNull({cast.value})", cast.fits, kind)


_EMPTY = {"Array": "[]", "Map": "map()"}


def _may_be_empty(kind: ColumnType) -> bool:
    return kind.name in _EMPTY


@dataclass(frozen=True, slots=True)
class _Cast:
    """`value` is NULL, or for arrays and the like anything, where `fits` is 0."""

    value: str
    fits: str


def _cast(kind: ColumnType, text: str, depth: int) -> _Cast:
    """`text` is an expression for a Nullable(String). Arrays and the like are JSON, in ' or " quotes."""
    kind = stored_type(kind)
    if kind.name in _COMPOSED:
        return _COMPOSED[kind.name](kind, text, depth)
    value = _scalar(plain_type(kind), text)
    return _Cast(value, f"isNotNull({value})")


def _scalar(kind: ColumnType, text: str) -> str:
    if kind.name == "String":
        return text
    if kind.name == "FixedString":
        return f"accurateCastOrNull({text}, {quote_string(str(kind))})"
    text = f"trimBoth({text})"
    if kind.name.startswith("Enum"):
        return _enum(kind, text)
    if kind.name == "DateTime64":
        moment = f"parseDateTime64BestEffortOrNull({text}, {number_parameter(kind, 0, 3)}, 'UTC')"
        return _if(_between(f"toInt64({moment})", *_MOMENTS["DateTime64"]), moment, "NULL")
    moment = f"parseDateTime64BestEffortOrNull({text}, 0, 'UTC')"
    if kind.name == "DateTime":
        return f"accurateCastOrNull(toInt64({moment}), 'UInt32')"
    if kind.name in _DAY_TYPES:
        day = f"toInt64(floor(toInt64({moment}) / 86400))"
        stored, first, last = _DAY_TYPES[kind.name]
        return f"accurateCastOrNull({_if(_between(day, first, last), day, 'NULL')}, '{stored}')"
    return f"accurateCastOrNull({text}, {quote_string(str(kind))})"


_MOMENTS = {"DateTime64": (-2_208_988_800, 10_413_791_999)}
"""Unix seconds of 1900-01-01 and the end of 2299."""
_DAY_TYPES = {"Date": ("UInt16", 0, 65_535), "Date32": ("Int32", -25_567, 120_529)}
"""What a day is stored as, and the first and last one, counted from 1970-01-01."""


def _enum(kind: ColumnType, text: str) -> str:
    """The number of a name; the number itself is taken as well."""
    values = enum_values(kind)
    known = {str(number): number for number in values.values()} | values
    names = ", ".join(map(quote_string, known))
    bits = enum_bits(kind)
    numbers = ", ".join(f"{number}" for number in known.values())
    found = f"transform(ifNull({text}, ''), [{names}], CAST([{numbers}] AS Array(Nullable(Int{bits}))), NULL)"
    return _if(f"isNull({text})", "NULL", found)


def _array(kind: ColumnType, text: str, depth: int) -> _Cast:
    json, is_json = _json(text, "[")
    item = f"i{depth}"
    inner = _item(kind.inner[0], _item_text(item), depth + 1)
    items = f"JSONExtractArrayRaw({json})"
    return _Cast(
        f"arrayMap({item} -> {inner.value}, {items})",
        f"({is_json} AND arrayAll({item} -> {inner.fits}, {items}))",
    )


def _map(kind: ColumnType, text: str, depth: int) -> _Cast:
    json, is_json = _json(text, "{")
    pair = f"i{depth}"
    key = _item(kind.inner[0], f"CAST({pair}.1 AS Nullable(String))", depth + 1)
    value = _item(kind.inner[1], _item_text(f"{pair}.2"), depth + 1)
    pairs = f"JSONExtractKeysAndValuesRaw({json})"
    return _Cast(
        f"mapFromArrays(arrayMap({pair} -> {key.value}, {pairs}), arrayMap({pair} -> {value.value}, {pairs}))",
        f"({is_json} AND arrayAll({pair} -> {key.fits} AND {value.fits}, {pairs}))",
    )


def _tuple(kind: ColumnType, text: str, depth: int) -> _Cast:
    """An array by position, or an object by the names of the elements."""
    by_position, is_array = _json(text, "[")
    by_name, is_object = _json(text, "{")
    parts = []
    for number, inner in enumerate(kind.inner):
        raw = f"JSONExtractRaw({by_position}, {number + 1})"
        if kind.fields:
            label = quote_string(kind.fields[number].strip('`"'))
            raw = _if(is_object, f"JSONExtractRaw({by_name}, {label})", raw)
        parts.append(_item(inner, _item_text(raw), depth + 1))
    values = ", ".join(part.value for part in parts)
    fits = " AND ".join(part.fits for part in parts)
    whole = f"({is_array} AND JSONLength({by_position}) = {len(parts)})"
    shape = f"({is_object} OR {whole})" if kind.fields else whole
    return _Cast(f"tuple({values})", f"({shape} AND {fits})")


_COMPOSED = {"Array": _array, "Map": _map, "Tuple": _tuple}


def _item(kind: ColumnType, text: str, depth: int) -> _Cast:
    cast = _cast(kind, text, depth)
    if stored_type(kind).name in _COMPOSED:
        return cast
    if kind.nullable:
        return _Cast(cast.value, f"(isNull({text}) OR {cast.fits})")
    return _Cast(f"assumeNotNull({cast.value})", cast.fits)


def _json(text: str, opening: str) -> tuple[str, str]:
    """The text as JSON, and whether it is JSON that opens so."""
    trimmed = f"trimBoth(ifNull({text}, ''))"
    json = _if(f"isValidJSON({trimmed})", trimmed, f"replaceAll({trimmed}, '\\'', '\"')")
    return json, f"(startsWith({trimmed}, '{opening}') AND isValidJSON({json}))"


def _item_text(raw: str) -> str:
    """A piece of JSON as text: without quotes if it has them, NULL if it is null or nothing."""
    plain = f"if({raw} IN ('null', ''), NULL, {raw})"
    return _if(f"startsWith({raw}, '\"')", f"CAST(JSONExtractString({raw}) AS Nullable(String))", plain)


def _if(condition: str, then: str, otherwise: str) -> str:
    return f"if({condition}, {then}, {otherwise})"


def _between(value: str, first: int, last: int) -> str:
    return f"ifNull({value} BETWEEN {first} AND {last}, 0)"


def _kept(texts: Iterable[tuple[_Part, str]]) -> str:
    """An array with the text of each part that does not fit."""
    items = ", ".join(f"if({part.fits}, '', {text})" for part, text in texts)
    return f"arrayFilter(reason -> reason != '', [{items}])"


def _reason(part: _Part) -> str:
    end = quote_string(f" on column '{part.column.name}' is not {part.kind}")
    value = f"if(isNull({part.text}), 'NULL', concat('\\'', assumeNotNull({part.text}), '\\''))"
    return f"concat('value ', {value}, {end})"


def _literal(value: str | None) -> str:
    return "NULL" if value is None else quote_string(value)

"""The quarantine table of a data source: every row that did not fit, as it came, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from birdhouse.ingest.rowbinary import flagged_text, flagged_texts, read_varint
from birdhouse.language.datafile.model import Column, DefaultKind

ERROR_COLUMNS = ("c__error", "c__error_column", "c__import_id", "insertion_date")
"""What a quarantine row has after the columns of its data source, in the order in which rows are sent."""

_DEFAULT = b"\x01"


def quarantine_columns(columns: Iterable[Column]) -> tuple[Column, ...]:
    """The columns of `NAME_quarantine`. A value that could not be read is NULL."""
    originals = tuple(Column(column.name, "Nullable(String)") for column in ingested(columns))
    return (
        *originals,
        Column("c__error_column", "Array(String)"),
        Column("c__error", "Array(String)"),
        Column("c__import_id", "Nullable(String)"),
        Column("insertion_date", "DateTime", default_kind=DefaultKind.DEFAULT, default="now()"),
    )


def ingested(columns: Iterable[Column]) -> tuple[Column, ...]:
    """The columns that rows bring values for; the engine computes the materialized ones."""
    return tuple(column for column in columns if column.default_kind is not DefaultKind.MATERIALIZED)


def quarantine_row(
    values: Iterable[str | None],
    errors: Iterable[str],
    error_columns: Iterable[str],
    import_id: str | None = None,
) -> bytes:
    """One row in RowBinaryWithDefaults, for the data source's columns followed by ERROR_COLUMNS."""
    originals = b"".join(flagged_text(value) for value in values)
    import_field = _DEFAULT if import_id is None else flagged_text(import_id)
    return originals + flagged_texts(errors) + flagged_texts(error_columns) + import_field + _DEFAULT


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row is in quarantine. A line that is not JSON at all has no error columns."""

    errors: list[str]
    error_columns: list[str]


def reasons(block: bytes, originals: int) -> Iterator[tuple[bytes, Reason]]:
    """Each row of a block up to its reasons, and these. `originals` counts the columns of the data source."""
    reader = _Reader(block)
    while reader.position < len(block):
        start = reader.position
        for _ in range(originals):
            reader.flagged_text()
        reason = Reason(reader.flagged_texts(), reader.flagged_texts())
        row = block[start : reader.position]
        reader.flagged_text()
        if reader.take() != _DEFAULT:
            reader.position += _DATE_TIME_BYTES
        yield row, reason


def with_import_id(block: bytes, originals: int, import_id: str) -> bytes:
    tail = flagged_text(import_id) + _DEFAULT
    return b"".join(row + tail for row, _ in reasons(block, originals))


_DATE_TIME_BYTES = 4


class _Reader:
    def __init__(self, block: bytes) -> None:
        self.block = block
        self.position = 0

    def take(self, count: int = 1) -> bytes:
        start = self.position
        self.position += count
        return self.block[start : self.position]

    def varint(self) -> int:
        number, self.position = read_varint(self.block, self.position)
        return number

    def flagged_text(self) -> None:
        if self.take() != _DEFAULT and self.take() == b"\x00":
            self.take(self.varint())

    def flagged_texts(self) -> list[str]:
        if self.take() == _DEFAULT:
            return []
        return [self.take(self.varint()).decode("utf-8", "replace") for _ in range(self.varint())]

"""Rows of a file as texts, before they are fitted: what CSV and Parquet have in common.

pyarrow takes 60 MB and a quarter of a second to load: here and in `delimited` that is left to the first file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Reject:
    """A row of the file that cannot be told apart into columns. `number` counts the file's rows from 1."""

    number: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class TextBlock:
    """`data` is an Arrow stream of one text column for each name; NULL is no value at all."""

    columns: tuple[str, ...]
    data: bytes
    rows: int
    rejects: tuple[Reject, ...] = ()


def text_block(columns: Sequence[str], arrays: Sequence[pa.Array], rejects: Sequence[Reject] = ()) -> TextBlock:
    """The arrays are texts, equally long."""
    import pyarrow as pa

    names = [f"c{number}" for number in range(len(columns))]
    batch = pa.RecordBatch.from_arrays(list(arrays), names=names)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return TextBlock(tuple(columns), sink.getvalue().to_pybytes(), batch.num_rows, tuple(rejects))

"""Parquet files as blocks of texts, their columns matched by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from birdhouse.errors import InvalidRows
from birdhouse.ingest.delimited import normalized_name
from birdhouse.ingest.text_block import TextBlock, text_block

BLOCK_ROWS = 50_000
BLOCK_BYTES = 8 * 1024 * 1024


class ParquetFile:
    """`columns` are those of the data source that the file has; the file's other columns are left out."""

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        try:
            self._file = parquet.ParquetFile(file)
        except (pa.ArrowException, OSError) as failure:
            raise InvalidRows(
                "The file is not Parquet.", detail=f"({failure})", hint="Check that it was sent whole."
            ) from failure
        self.names: list[str] = self._file.schema_arrow.names
        self.types = {name: str(kind) for name, kind in zip(self.names, self._file.schema_arrow.types, strict=True)}
        given = {normalized_name(name): name for name in reversed(self.names)}
        self._sources = {name: given[normalized_name(name)] for name in columns if normalized_name(name) in given}
        self.columns = tuple(self._sources)

    def blocks(self) -> Iterator[TextBlock]:
        for batch in self._batches(list(self._sources.values())):
            rows = max(1, min(batch.num_rows, BLOCK_BYTES * batch.num_rows // max(batch.nbytes, 1)))
            for start in range(0, batch.num_rows, rows):
                part = batch.slice(start, rows)
                arrays = [_texts(part.column(source)) for source in self._sources.values()]
                yield text_block(self.columns, arrays)

    def head(self, rows: int) -> list[dict[str, Any]]:
        """The first rows as values of Python."""
        for batch in self._batches(self.names):
            found: list[dict[str, Any]] = batch.slice(0, rows).to_pylist()
            return found
        return []

    def _batches(self, names: list[str]) -> Iterator[Any]:
        try:
            yield from self._file.iter_batches(BLOCK_ROWS, columns=names)
        except (pa.ArrowException, OSError) as failure:
            raise InvalidRows("The Parquet file is damaged.", detail=f"({failure})") from failure


def _texts(values: Any) -> Any:
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _texts(values.dictionary_decode())
    if pa.types.is_nested(kind):
        return pa.array([_json(value) for value in values.to_pylist()], pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.array([_decoded(value) for value in values.to_pylist()], pa.string())
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pc.cast(values.cast(pa.timestamp(kind.unit)), pa.string())
    return pc.cast(values, pa.string())


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _decoded(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")

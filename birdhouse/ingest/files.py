"""Files to rows: NDJSON, CSV or Parquet, plain or compressed, appended or in place of what was there."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, TypeVar

from birdhouse.engine.protocol import Engine
from birdhouse.errors import InvalidParameter, PartialWrite, TooLarge
from birdhouse.ingest.batch import Inserts, Rows, insert_rows
from birdhouse.ingest.compression import open_chunks
from birdhouse.ingest.delimited import SAMPLE_BYTES, DelimitedFile, Dialect, detect_dialect
from birdhouse.ingest.fit import Fitting
from birdhouse.ingest.ndjson import ROW_BYTES_MAX, Encoded, NdjsonEncoder
from birdhouse.ingest.quarantine import ERROR_COLUMNS, ingested, quarantine_row, with_import_id
from birdhouse.ingest.target import Target
from birdhouse.ingest.text_block import TextBlock

BLOCK_BYTES = 8 * 1024 * 1024
INVALID_LINES_NAMED_MAX = 10
VIEW_FAILURES_NAMED_MAX = 10
PLAIN_FILE_BYTES_MAX = 50 * 1024**3
"""How far a compressed file may unfold."""

_T = TypeVar("_T")


class FileFormat(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


@dataclass(slots=True)
class Imported:
    """`invalid_lines` could not be told apart into columns; their texts are in the quarantine table too.

    Bytes are those of the rows as they are written.
    """

    import_id: str
    rows: int = 0
    bytes: int = 0
    quarantine_rows: int = 0
    quarantine_bytes: int = 0
    invalid_lines: int = 0
    blocks: int = 0
    errors: list[str] = field(default_factory=list)
    """About the first invalid lines."""
    view_failures: list[str] = field(default_factory=list)
    """About the first blocks that a materialized view could not take; the table has them."""


class Files:
    """Imports one file at a time per call, in blocks: each is durable before the next is read."""

    def __init__(self, engine: Engine, directory: Path, inserts: Inserts | None = None) -> None:
        """`directory` takes the files while they are read, `inserts` the rows."""
        self._engine = engine
        self._inserts = inserts or engine
        self._directory = directory

    @asynccontextmanager
    async def spooled(self, chunks: AsyncIterator[bytes], *, size_bytes_max: int) -> AsyncIterator[Path]:
        """The chunks of an upload as a file that is gone afterwards. Raises TooLarge beyond the size."""
        with tempfile.NamedTemporaryFile(dir=self._directory, prefix="upload-") as file:
            size = 0
            async for chunk in chunks:
                size += len(chunk)
                if size > size_bytes_max:
                    raise TooLarge(f"The file has more than {size_bytes_max} bytes.", hint="Send it in parts.")
                await asyncio.to_thread(file.write, chunk)
            file.flush()
            yield Path(file.name)

    async def append(
        self,
        target: Target,
        path: Path,
        format: FileFormat,
        *,
        import_id: str,
        dialect: Dialect | None = None,
        on_block: Callable[[Imported], None] | None = None,
    ) -> Imported:
        """`dialect` None is guessed. Blocks that were written stay when a later one fails."""
        imported = Imported(import_id)
        with await asyncio.to_thread(_plain_file, path, self._directory) as file:
            blocks = self._blocks(target, file, format, dialect, imported)
            async for columns, encoded in blocks:
                await self._write(target, columns, encoded, imported)
                if on_block is not None:
                    on_block(imported)
        return imported

    def _blocks(
        self,
        target: Target,
        file: BinaryIO,
        format: FileFormat,
        dialect: Dialect | None,
        imported: Imported,
    ) -> AsyncIterator[tuple[tuple[str, ...], Encoded]]:
        if format is FileFormat.NDJSON:
            return _ndjson_blocks(target, file, imported.import_id)
        names = [column.name for column in ingested(target.columns)]
        if format is FileFormat.PARQUET:
            from birdhouse.ingest.parquet import ParquetFile

            parquet = ParquetFile(file, names)
            return self._fitted(target, parquet.columns, parquet.blocks(), imported)
        if dialect is None:
            dialect = detect_dialect(_head(file), names)
        delimited = DelimitedFile(file, dialect, names)
        return self._fitted(target, delimited.columns, delimited.blocks(), imported)

    async def _fitted(
        self, target: Target, given: tuple[str, ...], blocks: Iterator[TextBlock], imported: Imported
    ) -> AsyncIterator[tuple[tuple[str, ...], Encoded]]:
        if not given:
            raise InvalidParameter(
                f"The file and the data source '{target.name}' have no column in common.",
                hint="Check the header of the file and the delimiter.",
            )
        async with Fitting(self._engine, target.table.database, target.columns, given) as fitting:
            while (block := await asyncio.to_thread(next, blocks, None)) is not None:
                encoded = await fitting.fit(block, imported.import_id)
                yield fitting.columns, _with_rejects(encoded, block, fitting.columns, imported)

    async def _write(self, target: Target, columns: tuple[str, ...], encoded: Encoded, imported: Imported) -> None:
        quarantined = (*columns, *ERROR_COLUMNS)
        rows = Rows(target.table, columns, encoded.good, encoded.good_rows)
        misfits = Rows(target.quarantine, quarantined, encoded.quarantine, encoded.quarantine_rows)
        for part in (rows, misfits):
            if part.data:
                await self._insert(part, imported)
        imported.rows += encoded.good_rows
        imported.bytes += len(encoded.good)
        imported.quarantine_rows += encoded.quarantine_rows
        imported.quarantine_bytes += len(encoded.quarantine)
        imported.blocks += 1

    async def _insert(self, rows: Rows, imported: Imported) -> None:
        try:
            await insert_rows(self._inserts, rows)
        except PartialWrite as failure:
            if not failure.is_settled:
                raise
            if len(imported.view_failures) < VIEW_FAILURES_NAMED_MAX:
                imported.view_failures.append(str(failure))


async def _ndjson_blocks(
    target: Target, file: BinaryIO, import_id: str
) -> AsyncIterator[tuple[tuple[str, ...], Encoded]]:
    encoder = NdjsonEncoder(target.columns)
    lines = _whole_lines(file)
    while (block := await asyncio.to_thread(next, lines, None)) is not None:
        encoded = await asyncio.to_thread(encoder.encode, block)
        if encoded.quarantine_rows:
            block_with_id = with_import_id(encoded.quarantine, len(encoder.columns), import_id)
            encoded = replace(encoded, quarantine=block_with_id)
        if encoded.good_rows or encoded.quarantine_rows:
            yield encoder.columns, encoded


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Blocks that end at the end of a line; a line longer than a row may be comes in pieces."""
    rest = b""
    while chunk := file.read(BLOCK_BYTES):
        block = rest + chunk
        end = block.rfind(b"\n") + 1
        if not end and len(block) > 2 * ROW_BYTES_MAX:
            end = len(block)
        rest = block[end:]
        if end:
            yield block[:end]
    if rest:
        yield rest


def _with_rejects(encoded: Encoded, block: TextBlock, columns: tuple[str, ...], imported: Imported) -> Encoded:
    rows = [encoded.quarantine]
    for reject in block.rejects:
        imported.invalid_lines += 1
        if len(imported.errors) < INVALID_LINES_NAMED_MAX:
            imported.errors.append(reject.reason)
        reason = f"{reject.reason}: {reject.text}"
        rows.append(quarantine_row([None] * len(columns), [reason], [], imported.import_id))
    return replace(encoded, quarantine=b"".join(rows))


def _plain_file(path: Path, directory: Path) -> BinaryIO:
    """The file itself, or its unfolded content as a temporary file."""
    file = path.open("rb")
    try:
        head = file.read(4)
        file.seek(0)
        if not head.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
            return file
        return _unfolded(file, directory)
    except BaseException:
        file.close()
        raise


def _unfolded(file: BinaryIO, directory: Path) -> BinaryIO:
    plain = tempfile.TemporaryFile(dir=directory, prefix="import-")  # noqa: SIM115 - the caller closes it
    try:
        with file:
            for chunk in open_chunks(file):
                plain.write(chunk)
                if plain.tell() > PLAIN_FILE_BYTES_MAX:
                    raise TooLarge(f"The file unfolds to more than {PLAIN_FILE_BYTES_MAX} bytes.")
        plain.seek(0)
    except BaseException:
        plain.close()
        raise
    return plain


def _head(file: BinaryIO) -> bytes:
    head = file.read(SAMPLE_BYTES)
    file.seek(0)
    return head

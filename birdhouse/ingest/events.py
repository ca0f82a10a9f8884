"""Events over HTTP to rows: opened, fitted, batched, written."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from birdhouse.errors import InvalidParameter
from birdhouse.ingest.batch import Batches, Rows
from birdhouse.ingest.compression import decompress
from birdhouse.ingest.ndjson import Encoded, NdjsonEncoder, json_documents
from birdhouse.ingest.quarantine import ERROR_COLUMNS
from birdhouse.ingest.target import Target
from birdhouse.language.datafile.model import Column

INLINE_BODY_BYTES_MAX = 64 * 1024
"""A body up to this size is fitted in less time than a thread takes to answer."""
CACHED_ENCODERS_MAX = 1024


@dataclass(frozen=True, slots=True)
class Appended:
    """Bytes that were written are those of rows as they go to the engine, those received are after decompression."""

    successful_rows: int
    quarantined_rows: int
    received_bytes: int
    written_bytes: int
    quarantined_bytes: int


class Encoders:
    """The encoder of each schema, kept while it is in use."""

    def __init__(self) -> None:
        self._of_columns: OrderedDict[tuple[Column, ...], NdjsonEncoder] = OrderedDict()

    def get(self, columns: tuple[Column, ...]) -> NdjsonEncoder:
        encoder = self._of_columns.pop(columns, None) or NdjsonEncoder(columns)
        self._of_columns[columns] = encoder
        if len(self._of_columns) > CACHED_ENCODERS_MAX:
            self._of_columns.popitem(last=False)
        return encoder


class Events:
    """Appends the bodies of requests. What is acknowledged is durable, whether the client waits or not."""

    def __init__(self, batches: Batches, encoders: Encoders, *, body_bytes_max: int) -> None:
        self._batches = batches
        self._encoders = encoders
        self._body_bytes_max = body_bytes_max

    async def append(
        self, target: Target, body: bytes, *, encoding: str | None = None, format: str = "ndjson"
    ) -> Appended:
        """`encoding` is the Content-Encoding. Rows that do not fit go to quarantine and are no failure."""
        if format not in ("ndjson", "json"):
            raise InvalidParameter(f"Events have no format {format!r}.", hint="Use ndjson or json.")
        encoder = self._encoders.get(target.columns)
        if len(body) <= INLINE_BODY_BYTES_MAX and not encoding:
            size, encoded = self._encode(encoder, body, encoding, format)
        else:
            size, encoded = await asyncio.to_thread(self._encode, encoder, body, encoding, format)
        await self._batches.write(*rows_of(target, encoder, encoded))
        return Appended(
            successful_rows=encoded.good_rows,
            quarantined_rows=encoded.quarantine_rows,
            received_bytes=size,
            written_bytes=len(encoded.good),
            quarantined_bytes=len(encoded.quarantine),
        )

    def _encode(self, encoder: NdjsonEncoder, body: bytes, encoding: str | None, format: str) -> tuple[int, Encoded]:
        body = decompress(body, encoding, size_bytes_max=self._body_bytes_max)
        return len(body), encoder.encode(json_documents(body) if format == "json" else body)


def rows_of(target: Target, encoder: NdjsonEncoder, encoded: Encoded) -> tuple[Rows, Rows]:
    """What goes into the table, and what goes into its quarantine."""
    columns = encoder.columns
    return (
        Rows(target.table, columns, encoded.good, encoded.good_rows),
        Rows(target.quarantine, (*columns, *ERROR_COLUMNS), encoded.quarantine, encoded.quarantine_rows),
    )

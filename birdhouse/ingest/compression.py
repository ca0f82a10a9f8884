"""Opens compressed bodies and files, up to a size: a small body can unfold to any number of bytes."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

import zstandard

from birdhouse.errors import InvalidParameter, InvalidRows, TooLarge

_CHUNK_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def decompress(body: bytes, encoding: str | None, *, size_bytes_max: int) -> bytes:
    """`encoding` is a Content-Encoding: gzip, zstd, identity or none. Raises TooLarge beyond the size."""
    name = (encoding or "").strip().lower()
    if name in ("", "none", "identity"):
        return _bounded(iter((body,)), size_bytes_max)
    if name in ("gzip", "x-gzip"):
        return _bounded(_gzip_chunks(iter((body,))), size_bytes_max)
    if name == "zstd":
        return _bounded(_zstd_chunks(iter((body,))), size_bytes_max)
    raise InvalidParameter(f"The Content-Encoding {encoding!r} is not known.", hint="Use gzip or zstd.")


def open_chunks(file: BinaryIO) -> Iterator[bytes]:
    """The content of a file in chunks, unfolded when its first bytes say that it is gzip or zstd."""
    magic = file.read(4)
    file.seek(0)
    chunks = iter(lambda: file.read(_CHUNK_BYTES), b"")
    if magic.startswith(_GZIP_MAGIC):
        return _gzip_chunks(chunks)
    if magic == _ZSTD_MAGIC:
        return _zstd_chunks(chunks)
    return chunks


def _bounded(chunks: Iterator[bytes], size_bytes_max: int) -> bytes:
    parts, size = [], 0
    for chunk in chunks:
        size += len(chunk)
        if size > size_bytes_max:
            raise TooLarge(f"The body has more than {size_bytes_max} bytes.", hint="Send the rows in several requests.")
        parts.append(chunk)
    return b"".join(parts)


def _gzip_chunks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Members of a gzip file may follow each other."""
    member = zlib.decompressobj(_GZIP_WINDOW)
    try:
        for chunk in chunks:
            while chunk:
                if member.eof:
                    if not chunk.strip(b"\0"):
                        break
                    member = zlib.decompressobj(_GZIP_WINDOW)
                yield member.decompress(chunk, _CHUNK_BYTES)
                chunk = member.unused_data if member.eof else member.unconsumed_tail
        while not member.eof and (rest := member.decompress(b"", _CHUNK_BYTES)):
            yield rest
    except zlib.error as failure:
        raise InvalidRows("The data is not valid gzip.", detail=f"({failure})") from failure
    if not member.eof:
        raise InvalidRows("The gzip data ends too early.")


def _zstd_chunks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    source = _ChunkReader(chunks)
    try:
        with zstandard.ZstdDecompressor().stream_reader(cast(BinaryIO, source), read_across_frames=True) as reader:
            while chunk := reader.read(_CHUNK_BYTES):
                yield chunk
    except zstandard.ZstdError as failure:
        raise InvalidRows("The data is not valid zstd.", detail=f"({failure})") from failure


class _ChunkReader(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._rest or next(self._chunks, b"")
        self._rest = data[size:] if size >= 0 else b""
        return data[:size] if size >= 0 else data

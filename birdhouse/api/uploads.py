"""Files that come in a request: as the body itself, or as the file part of a multipart form. They go to disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from birdhouse.errors import Cancelled, InvalidInput, TooLarge
from birdhouse.ingest.files import Files

FIELDS_BYTES_MAX = 1_000_000
"""The most that all parts of a form beside the file may have together."""
DRAINED_BYTES_MAX = 2_000_000_000
"""How much of a refused upload is still read: most clients look for an answer only when they have sent all."""


class Upload:
    """One file on its way in. `fields` are the other parts of a multipart form, complete after the last chunk."""

    def __init__(self, request: Request, body: bytes | None = None) -> None:
        """`body` is what was read of the request already, if anything."""
        self.fields: dict[str, str] = {}
        self.file_name = ""
        self.has_file = False
        self.size_bytes = 0
        self._request = request
        self._read = body

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the file. Raises InvalidInput for a form that is not well made."""
        content_type, options = parse_options_header(self._request.headers.get("content-type", ""))
        source = self._multipart(options.get(b"boundary", b"")) if _is_multipart(content_type) else self._body()
        async for chunk in source:
            self.has_file = True
            self.size_bytes += len(chunk)
            yield chunk

    async def drain(self) -> None:
        """Reads the rest of a request that was refused."""
        drained = 0
        with suppress(ClientDisconnect, RuntimeError):  # a stream that broke off cannot be read again
            async for chunk in self._request.stream():
                drained += len(chunk)
                if drained > DRAINED_BYTES_MAX:
                    return

    async def _body(self) -> AsyncIterator[bytes]:
        if self._read is not None:
            yield self._read
            return
        async for chunk in _received(self._request):
            if chunk:
                yield chunk

    async def _multipart(self, boundary: bytes) -> AsyncIterator[bytes]:
        if not boundary:
            raise InvalidInput("The multipart body names no boundary", hint="Let the HTTP client set Content-Type.")
        form = _Form(boundary)
        async for chunk in _received(self._request):
            for part in form.feed(chunk):
                yield part
        form.finish()
        self.fields = form.fields
        self.file_name = form.file_name
        self.has_file = self.has_file or form.file_name != ""


@asynccontextmanager
async def spooled(files: Files, upload: Upload, size_bytes_max: int) -> AsyncIterator[Path]:
    """The file on disk while the body runs. Raises TooLarge, Cancelled when the client goes away, InvalidInput."""
    spool = files.spooled(upload.chunks(), size_bytes_max=size_bytes_max)
    try:
        path = await spool.__aenter__()
    except TooLarge:
        await upload.drain()
        raise
    try:
        yield path
    finally:
        await spool.__aexit__(None, None, None)


async def _received(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise Cancelled("The client went away before its request was complete") from error


def _is_multipart(content_type: bytes) -> bool:
    return content_type.lower() == b"multipart/form-data"


class _Form:
    """Takes a multipart body apart: the first part with a file name is the file, parts without one are fields."""

    def __init__(self, boundary: bytes) -> None:
        self.fields: dict[str, str] = {}
        self.file_name = ""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finished,
            },
        )
        self._header = (b"", b"")
        self._name = ""
        self._in_file = False
        self._field = bytearray()
        self._fields_bytes = 0
        self._chunks: list[bytes] = []
        self._is_whole = False

    def feed(self, data: bytes) -> list[bytes]:
        """What these bytes add to the file."""
        try:
            self._parser.write(data)
        except MultipartParseError as error:
            raise InvalidInput("The multipart body cannot be read", detail=f"({error})") from error
        chunks, self._chunks = self._chunks, []
        return chunks

    def finish(self) -> None:
        """Raises InvalidInput when the closing boundary did not come."""
        if not self._is_whole:
            raise InvalidInput("The multipart body ends too early", hint="Send it again.")

    def _finished(self) -> None:
        self._is_whole = True

    def _begin(self) -> None:
        self._name, self._in_file, self._field = "", False, bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], b"")

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _header_end(self) -> None:
        (field, value), self._header = self._header, (b"", b"")
        if field.lower() != b"content-disposition":
            return
        _, options = parse_options_header(value)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options and not self.file_name:
            self._in_file = True
            self.file_name = options[b"filename"].decode("utf-8", "replace") or self._name

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._chunks.append(data[start:end])
            return
        self._fields_bytes += end - start
        if self._fields_bytes > FIELDS_BYTES_MAX:
            raise TooLarge(f"The fields of the form have more than {FIELDS_BYTES_MAX} bytes.")
        self._field += data[start:end]

    def _end(self) -> None:
        if not self._in_file and self._name:
            self.fields[self._name] = self._field.decode("utf-8", "replace")

"""`/v0/analyze`: guesses the columns of a file."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import httpx
from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call
from birdhouse.api.responses import json_response
from birdhouse.api.uploads import Upload, spooled
from birdhouse.errors import BirdhouseError, InvalidInput, InvalidParameter, InvalidRows, TooLarge
from birdhouse.ingest.analyze import Analysis, analyze, analyze_parquet
from birdhouse.ingest.compression import open_chunks

SAMPLE_BYTES = 1024 * 1024
"""How much of a file is looked at; of Parquet, whose columns stand at its end, all of it."""
REMOTE_PARQUET_BYTES_MAX = 64 * 1024 * 1024
REMOTE_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The first bytes of a file, or the path of a whole one."""

    content: bytes = b""
    is_whole: bool = False
    path: Path | None = None


async def create(call: Call) -> Response:
    """The schema of a file: its sample is the body, the file of a multipart form, or behind `url`."""
    require(call.grants.may_create_datasource())
    url = call.text("url")
    if url:
        sample = await remote_sample(url)
        return json_response((await analyzed(sample)).document())
    upload = Upload(call.request)
    try:
        async with spooled(call.parts.files, upload, call.parts.settings.upload_bytes_max) as path:
            if not upload.size_bytes:
                raise InvalidRows("The request has no data", hint="Send the beginning of a file as the body.")
            return json_response((await analyzed(await asyncio.to_thread(sample_of, path))).document())
    except BirdhouseError:
        await upload.drain()
        raise


async def analyzed(sample: Sample) -> Analysis:
    return await asyncio.to_thread(_analyzed, sample)


def _analyzed(sample: Sample) -> Analysis:
    if sample.path is None:
        return analyze(sample.content, whole=sample.is_whole)
    with sample.path.open("rb") as file:
        return analyze_parquet(file)


def sample_of(path: Path) -> Sample:
    """Of a file that may be compressed. Parquet is read where it is."""
    head = head_of(path, SAMPLE_BYTES + 1)
    if head.startswith(b"PAR1"):
        return Sample(path=path)
    return Sample(head[:SAMPLE_BYTES], len(head) <= SAMPLE_BYTES)


def sample_of_bytes(body: bytes) -> Sample:
    head = _head(BytesIO(body), SAMPLE_BYTES + 1)
    return Sample(head[:SAMPLE_BYTES], len(head) <= SAMPLE_BYTES)


def head_of(path: Path, size_bytes: int) -> bytes:
    """The first bytes of the content, unfolded when the file is compressed."""
    with path.open("rb") as file:
        return _head(file, size_bytes)


def _head(file: BinaryIO, size_bytes: int) -> bytes:
    head = bytearray()
    for chunk in open_chunks(file):
        head += chunk
        if len(head) >= size_bytes:
            break
    return bytes(head[:size_bytes])


async def remote_sample(url: str) -> Sample:
    """Raises InvalidParameter for what is no web address, InvalidInput when it cannot be fetched."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise InvalidParameter(f"'{url}' cannot be fetched.", hint="Give a URL with http:// or https://.")
    try:
        async with (
            httpx.AsyncClient(follow_redirects=True, timeout=REMOTE_SECONDS_MAX) as client,
            client.stream("GET", url) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise InvalidInput(f"The URL answered with status {answer.status_code}.", detail=f"({url})")
            return await _received(answer)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise InvalidInput("The URL cannot be fetched.", detail=f"({url}: {error})") from error


async def _received(answer: httpx.Response) -> Sample:
    content = bytearray()
    async for chunk in answer.aiter_bytes():
        content += chunk
        is_parquet = content.startswith(b"PAR1")
        if is_parquet and len(content) > REMOTE_PARQUET_BYTES_MAX:
            raise TooLarge(f"A Parquet file of more than {REMOTE_PARQUET_BYTES_MAX} bytes cannot be analyzed by URL.")
        if not is_parquet and len(content) >= SAMPLE_BYTES:
            # Half of it, so that a compressed file that was cut off is not read to where it breaks off.
            return Sample(_head(BytesIO(content), SAMPLE_BYTES // 2))
    head = _head(BytesIO(content), SAMPLE_BYTES + 1)
    if head.startswith(b"PAR1"):
        return Sample(bytes(content), is_whole=True)
    return Sample(head[:SAMPLE_BYTES], is_whole=len(head) <= SAMPLE_BYTES)

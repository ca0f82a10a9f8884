from __future__ import annotations

import gzip
from io import BytesIO

import pytest
import zstandard

from birdhouse.errors import InvalidParameter, InvalidRows, TooLarge
from birdhouse.ingest.compression import decompress, open_chunks

TEXT = b'{"id":1}\n' * 5000
GZIP = gzip.compress(TEXT, mtime=0)
ZSTD = zstandard.compress(TEXT)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(TEXT, None), (TEXT, "identity"), (GZIP, "gzip"), (GZIP, "GZIP"), (ZSTD, "zstd")],
)
def test_a_body_is_unfolded(body: bytes, encoding: str | None) -> None:
    assert decompress(body, encoding, size_bytes_max=len(TEXT)) == TEXT
    with pytest.raises(TooLarge):
        decompress(body, encoding, size_bytes_max=len(TEXT) - 1)


def test_members_and_frames_may_follow_each_other() -> None:
    assert decompress(GZIP + GZIP, "gzip", size_bytes_max=10**6) == TEXT * 2
    assert decompress(ZSTD + ZSTD, "zstd", size_bytes_max=10**6) == TEXT * 2


def test_a_bomb_is_refused_without_unfolding_it() -> None:
    bomb = gzip.compress(b"\0" * 200_000_000, 9)
    with pytest.raises(TooLarge):
        decompress(bomb, "gzip", size_bytes_max=1_000_000)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(TEXT, "gzip"), (TEXT, "zstd"), (GZIP[:-20], "gzip"), (b"", "gzip"), (GZIP[:30] + b"x" * 50, "gzip")],
)
def test_a_damaged_body_is_refused(body: bytes, encoding: str) -> None:
    with pytest.raises(InvalidRows):
        decompress(body, encoding, size_bytes_max=10**6)


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="br"):
        decompress(TEXT, "br", size_bytes_max=10**6)


@pytest.mark.parametrize("content", [TEXT, GZIP, ZSTD])
def test_a_file_is_told_by_its_first_bytes(content: bytes) -> None:
    assert b"".join(open_chunks(BytesIO(content))) == TEXT

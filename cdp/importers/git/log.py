"""Reads the history of a repository, oldest commit first, as a stream of commits.

Fields are separated by NUL, the one byte no name, message or path that git prints can contain. A commit is its
fields, an empty token, and then one token per changed file (three for a rename); a hash has no tab, so the next
commit cannot be taken for a file.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from typing import IO, NamedTuple

from cdp.importers.git.errors import GitFailed
from cdp.importers.git.repository import Repository

_FIELDS = ("%H", "%P", "%at", "%ct", "%ad", "%aN", "%aE", "%ae", "%cN", "%cE", "%ce", "%B")
_FORMAT = "--format=tformat:" + "".join(field + "%x00" for field in _FIELDS)
_OPTIONS = (
    "--reverse",
    "-z",
    "--numstat",
    "--no-diff-merges",  # the lines of a merge were counted in the commits it brings together
    "--find-renames=50%",
    "--diff-algorithm=myers",
    "--no-ext-diff",
    "--no-textconv",
    "--no-relative",
    "--no-notes",
    "--no-color",
    "--no-show-signature",
    "--encoding=UTF-8",
    "--date=raw",
    _FORMAT,
)
_CHUNK_BYTES = 1 << 20
_NUMSTAT = re.compile(rb"\n?(\d+|-)\t(\d+|-)\t(.*)", re.DOTALL)
_STDERR_TAIL_BYTES = 2_000


class Signature(NamedTuple):
    """Name and e-mail are what .mailmap makes of them; `written_email` is what the commit says."""

    name: str
    email: str
    written_email: str


class Commit(NamedTuple):
    hash: str
    parents: tuple[str, ...]
    author: Signature
    author_seconds: int | None
    """Unix time. None when the commit has no readable time; git accepts years no database has."""
    timezone: str
    committer: Signature
    committer_seconds: int | None
    message: str
    insertions: int
    deletions: int


def read_commits(repository: Repository, commits: str) -> Generator[Commit, None, None]:
    """`commits` is a full hash, or two of them joined by `..`. Closing the iterator ends git."""
    with tempfile.TemporaryFile() as stderr:
        git = repository.start(
            "log",
            *_OPTIONS,
            commits,
            "--",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        assert git.stdout is not None
        try:
            yield from _parse(_tokens(git.stdout))
            if git.wait() != 0:
                raise GitFailed(detail=f"({_last_words(stderr)})", hint="`git fsck` may tell more.")
        finally:
            git.stdout.close()
            if git.poll() is None:
                git.terminate()
                git.wait()


def _tokens(stream: IO[bytes]) -> Iterator[bytes]:
    """What stands between two NULs. Only one unfinished token is held besides the chunk."""
    pieces: list[bytes] = []
    while chunk := stream.read(_CHUNK_BYTES):
        first, *others = chunk.split(b"\0")
        pieces.append(first)
        if others:
            yield b"".join(pieces)
            pieces = [others.pop()]
            yield from others
    if any(pieces):
        yield b"".join(pieces)


def _parse(tokens: Iterator[bytes]) -> Iterator[Commit]:
    token = next(tokens, None)
    while token is not None:
        fields = [token, *(next(tokens, b"") for _ in _FIELDS[1:])]
        if next(tokens, None) != b"":
            raise GitFailed(detail=f"(the log ends inside commit {text_of(fields[0])[:64]})")
        insertions = deletions = 0
        token = next(tokens, None)
        while token is not None and (change := _NUMSTAT.fullmatch(token)):
            added, removed, path = change.groups()
            if added != b"-":
                insertions += int(added)
                deletions += int(removed)
            if not path:  # a rename: the old and the new path follow
                next(tokens, None)
                next(tokens, None)
            token = next(tokens, None)
        yield _commit(fields, insertions, deletions)


def _commit(fields: list[bytes], insertions: int, deletions: int) -> Commit:
    texts = [text_of(field) for field in fields]
    hash_, parents, author_time, commit_time, author_date, *people, message = texts
    return Commit(
        hash=hash_,
        parents=tuple(parents.split()),
        author=_signature(people[:3]),
        author_seconds=_seconds(author_time),
        timezone=author_date.partition(" ")[2] or "+0000",
        committer=_signature(people[3:]),
        committer_seconds=_seconds(commit_time),
        message=message,
        insertions=insertions,
        deletions=deletions,
    )


def _signature(texts: list[str]) -> Signature:
    # git prints the placeholder itself when the line of the commit cannot be read.
    name, email, written = ("" if text in _FIELDS else text for text in texts)
    return Signature(name, email, written)


def _seconds(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def text_of(raw: bytes) -> str:
    """Commits older than UTF-8 often do not name their encoding; Latin-1 reads any byte, and keeps two
    different names different."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _last_words(stderr: IO[bytes]) -> str:
    size = stderr.seek(0, 2)
    stderr.seek(max(0, size - _STDERR_TAIL_BYTES))
    lines = stderr.read().decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("fatal: ") if lines else "git gave no reason"

"""Who else a commit message names: the trailers of its last paragraph, by the alias table of the reference
data."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

from cdp.importers.git.log import Signature
from cdp.importers.git.repository import Repository
from cdp.reference import commit_trailers

TRAILERS_PER_COMMIT_MAX = 500
CONTACTS_REMEMBERED_MAX = 100_000

_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_TRAILER = re.compile(r"([A-Za-z0-9][A-Za-z0-9 _-]{0,60}?)[ \t]*:[ \t]*(.+)", re.DOTALL)
_CONTINUATION = re.compile(r"\n[ \t]+")
_CONTACT = re.compile(r"([^<>]*)<\s*([^<>\s]+)\s*>")
_BARE_EMAIL = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+")
_WORD_BREAK = re.compile(r"[ _-]+")
_AROUND_NAMES = " \t\"',;&"


class Trailer(NamedTuple):
    activity_type: str
    name: str
    email: str


def trailers(message: str) -> Iterator[Trailer]:
    """As git has it, the first paragraph is the title and holds none. A trailer without an e-mail names
    nobody we could find again, so it is left out."""
    text = message.replace("\r\n", "\n").strip()
    paragraphs = _BLANK_LINE.split(text)
    if len(paragraphs) < 2 or ":" not in paragraphs[-1]:
        return
    aliases = commit_trailers()
    for line in _CONTINUATION.sub(" ", paragraphs[-1]).split("\n")[:TRAILERS_PER_COMMIT_MAX]:
        match = _TRAILER.fullmatch(line)
        if match is None:
            continue
        for activity_type in aliases.get(_WORD_BREAK.sub("-", match[1].lower()), ()):
            for name, email in _contacts(match[2]):
                yield Trailer(activity_type, name, email)


def _contacts(value: str) -> Iterator[tuple[str, str]]:
    """`Ann <ann@a.org>, Bob <bob@b.org> # v2` holds two people, a lone `ann@a.org` one without a name."""
    found = False
    for contact in _CONTACT.finditer(value):
        found = True
        yield contact[1].strip(_AROUND_NAMES), contact[2]
    if not found and (bare := _BARE_EMAIL.match(value)):
        yield "", bare[0].rstrip(".")


class Mailmap:
    """Maps the people of trailers with git's own rules, through one `git check-mailmap` that stays open.

    Each distinct contact is asked for once; git answers line by line.
    """

    def __init__(self, repository: Repository, *, present: bool) -> None:
        self._repository = repository
        self._present = present
        self._git: subprocess.Popen[bytes] | None = None
        self._known: dict[tuple[str, str], Signature] = {}

    def signature(self, name: str, email: str) -> Signature:
        if not self._present:
            return Signature(name, email, email)
        known = self._known.get((name, email))
        if known is None:
            if len(self._known) >= CONTACTS_REMEMBERED_MAX:
                self._known.clear()
            known = self._known[name, email] = self._ask(name, email)
        return known

    def _ask(self, name: str, email: str) -> Signature:
        if self._git is None:
            self._git = self._repository.start(
                "check-mailmap",
                "--stdin",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        assert self._git.stdin is not None and self._git.stdout is not None
        try:
            self._git.stdin.write(f"{name} <{email}>\n".encode())
            self._git.stdin.flush()
            answer = self._git.stdout.readline().decode(errors="replace")
        except BrokenPipeError:
            answer = ""
        mapped = _CONTACT.search(answer)
        if mapped is None:  # git gave up on this contact and ended; the next one gets a new process
            self.close()
            return Signature(name, email, email)
        return Signature(mapped[1].strip(), mapped[2], email)

    def close(self) -> None:
        git, self._git = self._git, None
        if git is None:
            return
        assert git.stdin is not None and git.stdout is not None
        git.terminate()
        git.wait()
        git.stdout.close()
        try:
            git.stdin.close()
        except BrokenPipeError:
            return

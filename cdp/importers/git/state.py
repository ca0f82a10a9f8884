"""What the last import left behind, in one JSON file: how far each repository was read, and who is known.

Members are kept because a later import reads only new commits, and must neither move a member's first
activity nor forget an identity. One file serves any number of repositories of one destination.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from cdp.importers.git.errors import StateUnreadable
from cdp.importers.git.identity import Bot
from cdp.importers.git.people import Identity, Member, People

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class RepositoryState:
    revision: str
    basis: str
    """Digest of what decides the rows besides the commits: mailmap, shallow boundary, segment. When it
    changes, old commits have to be read again."""
    created_seconds: int


@dataclass(slots=True)
class State:
    repositories: dict[str, RepositoryState] = field(default_factory=dict)
    """By URL."""
    people: People = field(default_factory=People)


def load(path: Path, destination: str) -> State:
    """An empty state when there is no file, or when it belongs to another destination."""
    try:
        stored = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return State()
    except (OSError, orjson.JSONDecodeError) as error:
        raise _unreadable(path, str(error)) from error
    try:
        if stored["format"] != _FORMAT:
            raise _unreadable(path, f"its format is {stored['format']}, not {_FORMAT}")
        return _decode(stored) if stored["destination"] == destination else State()
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error


def save(path: Path, destination: str, state: State) -> None:
    """All or nothing: a reader finds the old file or the new one."""
    stored = {
        "format": _FORMAT,
        "destination": destination,
        "repositories": {
            url: {"revision": known.revision, "basis": known.basis, "createdSeconds": known.created_seconds}
            for url, known in state.repositories.items()
        },
        "organizations": state.people.organizations,
        "members": [_encode_member(member) for member in state.people.members.values()],
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, orjson.dumps(stored))
    except OSError as error:
        raise StateUnreadable("The state file cannot be written.", detail=f"({path}: {error})") from error


def _replace(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _decode(stored: dict[str, Any]) -> State:
    repositories = {
        url: RepositoryState(known["revision"], known["basis"], known["createdSeconds"])
        for url, known in stored["repositories"].items()
    }
    members = (_decode_member(member) for member in stored["members"])
    return State(repositories, People(members, stored["organizations"]))


def _encode_member(member: Member) -> dict[str, Any]:
    return {
        "username": member.username,
        "name": member.name,
        "created": member.created,
        "joined": member.joined,
        "bot": member.bot.value,
        "identities": [tuple(identity) for identity in sorted(member.identities)],
    }


def _decode_member(stored: dict[str, Any]) -> Member:
    return Member(
        username=stored["username"],
        name=stored["name"],
        created=stored["created"],
        joined=stored["joined"],
        bot=Bot(stored["bot"]),
        identities={Identity(*identity) for identity in stored["identities"]},
    )


def _unreadable(path: Path, reason: str) -> StateUnreadable:
    return StateUnreadable(detail=f"({path}: {reason})", hint="Remove it to import everything again.")

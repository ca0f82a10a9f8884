"""Encrypts what a copy of the metadata database must not give away: secrets of connections, values of variables."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from birdhouse.errors import CannotStart, Conflict

KEY_FILE = "secrets.key"


class Cipher:
    """`key` is the text of a Fernet key: authenticated encryption, so that a changed text is noticed."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)

    @classmethod
    def open(cls, path: Path) -> Cipher:
        """With the key in that file, which is made for its owner alone when there is none. Raises CannotStart."""
        try:
            return cls(_key(path))
        except (OSError, ValueError) as error:
            raise CannotStart(
                "The key that secrets are encrypted with cannot be read.",
                detail=f"({path}: {error})",
                hint="Put the file back from a backup. Without it, stored secrets have to be set again.",
            ) from error

    def sealed(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def opened(self, sealed: str) -> str:
        """Raises Conflict for what was encrypted with another key."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise Conflict(
                "A stored secret was encrypted with another key.",
                hint=f"Put back the file {KEY_FILE} that belongs to this metadata database, or set the secret again.",
            ) from error


def _key(path: Path) -> bytes:
    if path.exists():
        return path.read_bytes().strip()
    key = Fernet.generate_key()
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    # A crash between making the file and filling it must not leave an empty key.
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return key

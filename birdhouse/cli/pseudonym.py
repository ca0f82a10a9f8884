"""Values that stand for those of people: the same for the same value and key, of the same form, and no way back.

Whoever has not the key cannot tell from a pseudonym whether it stands for a given value.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any

from birdhouse.errors import InvalidInput

DIGITS = 12

_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+$")
_URL = re.compile(r"^(https?)://")
RULES = (
    ("email", re.compile(r"e?mail", re.IGNORECASE)),
    ("ip", re.compile(r"(^|_)ip($|_)|ipaddress|remoteaddr", re.IGNORECASE)),
    ("url", re.compile(r"url|avatar|website|link$", re.IGNORECASE)),
    (
        "name",
        re.compile(r"username|displayname|handle|login|nick|(first|last|full|author|user|person)_?name", re.IGNORECASE),
    ),
    ("text", re.compile(r"^(title|body|content|message|comment|bio|headline|description)$", re.IGNORECASE)),
)
"""What a column holds, by its name; the first that is found counts. Other columns stay as they are."""
KEEP = "keep"


def kind_of(column: str) -> str:
    return next((kind for kind, pattern in RULES if pattern.search(column)), KEEP)


def checked_kinds(rules: Mapping[str, Any]) -> dict[str, str]:
    """Column, or DATASOURCE.COLUMN, to kind. Raises InvalidInput for an unknown one."""
    for name, kind in rules.items():
        if kind not in KINDS and kind != KEEP:
            raise InvalidInput(f"'{name}' cannot be made {kind!r}", hint=f"Use one of {', '.join((*KINDS, KEEP))}.")
    return {str(name): str(kind) for name, kind in rules.items()}


class Pseudonyms:
    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def of(self, kind: str, value: Any) -> Any:
        """Texts, also those in arrays and maps; what is no text, or empty, stays."""
        if kind == KEEP or not value:
            return value
        if isinstance(value, list):
            return [self.of(kind, each) for each in value]
        if isinstance(value, dict):
            return {name: self.of(kind, each) for name, each in value.items()}
        return KINDS[kind](self, value) if isinstance(value, str) else value

    def digits(self, value: str) -> str:
        return hmac.new(self._key, value.encode(), "sha256").hexdigest()[:DIGITS]

    def email(self, value: str) -> str:
        """People of one domain stay people of one domain."""
        if not _EMAIL.match(value):
            return self.name(value)
        person, _, domain = value.lower().rpartition("@")
        return f"{self.digits(person)}@{self.digits(domain)[:8]}.example"

    def url(self, value: str) -> str:
        scheme = _URL.match(value)
        return f"{scheme[1] if scheme else 'https'}://{self.digits(value)}.example"

    def ip(self, value: str) -> str:
        """From the networks that are kept for documentation."""
        number = int(self.digits(value), 16)
        return f"2001:db8::{number % 65536:x}" if ":" in value else f"192.0.2.{number % 254 + 1}"

    def name(self, value: str) -> str:
        return f"user_{self.digits(value)}"

    def text(self, value: str) -> str:
        """As many words."""
        return " ".join(self.digits(word)[: max(2, min(len(word), DIGITS))] for word in value.split()) or value


KINDS: Mapping[str, Callable[[Pseudonyms, str], str]] = {
    "email": Pseudonyms.email,
    "ip": Pseudonyms.ip,
    "url": Pseudonyms.url,
    "name": Pseudonyms.name,
    "text": Pseudonyms.text,
}

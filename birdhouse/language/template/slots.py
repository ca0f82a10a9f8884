"""Slots: text literals of rendered SQL whose values are put in at the end.

Two calls of an endpoint mostly differ in values alone. Rendered with slots, their SQL is the same text, so that what
the parser finds in it and makes of it can be remembered. A value that is a whole literal cannot change what the parser
finds: that is the promise of the template language.
"""

from __future__ import annotations

import re
import secrets
from functools import lru_cache

from birdhouse.language.template.literals import escape_text

SPLIT_TEXTS_KEPT = 1024
SPLIT_LENGTH_MAX = 65_536
"""How many texts with slots, and how long ones, are remembered in parts."""

# Random, so that no text of a client holds one, and of letters no number or hexadecimal literal has.
_MARK = f"zslot{secrets.token_hex(8)}"
_SLOT = re.compile(rf"(?<![\\'])'{_MARK}x([0-9]+)z'(?!')")


class Slots:
    """The values of one composition, in the order in which its templates wrote them."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: list[str] = []

    def literal(self, value: str) -> str:
        """The literal to write for the value. One that would have to be escaped is written as it is."""
        if not value.isprintable() or escape_text(value) != value:
            return f"'{escape_text(value)}'"
        self.values.append(value)
        return f"'{_MARK}x{len(self.values) - 1}z'"

    def fill(self, sql: str) -> str | None:
        """The SQL with its values; None when a slot is no literal of its own there."""
        if not self.values:
            return sql
        parts = _split(sql) if len(sql) <= SPLIT_LENGTH_MAX else None
        if parts is None:
            return None
        texts, numbers = parts
        values = self.values
        filled = [texts[0]]
        for text, number in zip(texts[1:], numbers, strict=True):
            filled.append(f"'{values[number]}'")
            filled.append(text)
        return "".join(filled)


@lru_cache(maxsize=SPLIT_TEXTS_KEPT)
def _split(sql: str) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """The texts around the slots, one more than there are slots, and the number of each slot."""
    found = _SLOT.split(sql)
    texts, numbers = tuple(found[::2]), tuple(int(number) for number in found[1::2])
    return None if any(_MARK in text for text in texts) else (texts, numbers)

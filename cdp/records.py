"""What the rows of every feeder have in common: ids, the change capture envelope, the activity types, and how long
a text may be."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha1
from typing import Any, Literal
from uuid import UUID

import orjson

from cdp.reference import activity_types

TEXT_UNITS_MAX = 2_000
ATTRIBUTES_BYTES_MAX = 2_000

Action = Literal["insert", "update", "delete", "read"]

_NAMESPACE = UUID("5d2c1f0e-8a6b-4c39-9a57-30f1e4b6c7d8").bytes
_WITHOUT_VERSION = ~((0xF << 76) | (0x3 << 62))
_VERSION = (0x5 << 76) | (0x2 << 62)


def stable_id(kind: str, *key: str) -> str:
    """The version 5 UUID of the key, made without a UUID object: there is one call per row."""
    digest = sha1(_NAMESPACE + "\x1f".join((kind, *key)).encode(), usedforsecurity=False).digest()
    number = int.from_bytes(digest[:16]) & _WITHOUT_VERSION | _VERSION
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Envelope:
    """Wraps rows as inserts of one moment."""

    def __init__(self, imported_at: str) -> None:
        self._imported_at = imported_at
        self._tails: dict[str, bytes] = {}

    def wrap(self, table: str, record: dict[str, Any]) -> bytes:
        tail = self._tails.get(table)
        if tail is None:
            tail = self._tails[table] = _tail(table, "insert", None, self._imported_at)
        return b'{"record":' + orjson.dumps(record) + tail


def message(
    table: str,
    record: dict[str, Any],
    committed_at: str,
    action: Action = "insert",
    changes: dict[str, Any] | None = None,
) -> bytes:
    """One change of one row. `record` is the row afterwards, of a delete its last state; `changes` holds the
    previous values of what an update changed."""
    return b'{"record":' + orjson.dumps(record) + _tail(table, action, changes, committed_at)


def _tail(table: str, action: Action, changes: dict[str, Any] | None, committed_at: str) -> bytes:
    return b',"changes":%b%b"%b"}}' % (orjson.dumps(changes), _metadata(table, action), committed_at.encode())


@lru_cache(maxsize=1_024)
def _metadata(table: str, action: Action) -> bytes:
    return (
        f',"action":"{action}","metadata":{{"table_schema":"public","table_name":"{table}","commit_timestamp":'
    ).encode()


def activity_type_rows() -> list[dict[str, Any]]:
    return [
        {
            "id": stable_id("activityType", row.platform, row.activity_type),
            "activityType": row.activity_type,
            "platform": row.platform,
            "description": row.label,
            "isCodeContribution": row.is_code_contribution,
            "isCollaboration": row.is_collaboration,
            "label": row.label,
            "createdAt": "2025-01-01T00:00:00Z",
            "updatedAt": row.updated_at,
        }
        for row in activity_types()
    ]


def clipped(text: str) -> str:
    """At most 2,000 UTF-16 units and an ellipsis, as the content producer cuts it."""
    if len(text) <= TEXT_UNITS_MAX // 2:
        return text
    units = text.encode("utf-16-le")
    if len(units) <= TEXT_UNITS_MAX * 2:
        return text
    return units[: TEXT_UNITS_MAX * 2].decode("utf-16-le", errors="ignore") + "..."

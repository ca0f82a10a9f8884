"""What a simulated community delivered, and what is true in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from cdp.simulate import Community, Tally

ACTIVITIES = 20_000


@dataclass
class Told:
    community: Community
    tally: Tally = field(default_factory=Tally)
    delivered: dict[str, list[bytes]] = field(default_factory=dict)
    truth: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Records that count in the end, by data source."""
    truth_without_tombstones: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def record(row: bytes) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(row)
    return document.get("record", document)

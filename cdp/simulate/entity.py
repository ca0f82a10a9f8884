"""A row of one data source through its life: its versions, and perhaps its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from cdp.moments import iso
from cdp.records import message

FLAT = frozenset({"activities"})
"""Data sources that are posted without the change capture envelope."""


class Version(NamedTuple):
    due: int
    """When it is delivered, unless the way is troubled."""
    row: bytes


@dataclass(slots=True)
class Entity:
    datasource: str
    versions: list[Version]
    """Oldest first; each has a later `updatedAt` than the one before."""
    tombstone: Version | None = None
    inverted: bool = False
    """The last version overtakes the one before."""
    traits: frozenset[str] = field(default=frozenset())
    """What a tally counts about it, such as `late`."""


def entity(
    datasource: str, record: dict[str, Any], since: int, changes: Iterable[tuple[int, dict[str, Any]]] = ()
) -> Entity:
    """The row as it is created, followed by what changes later: (seconds, new values)."""
    record = {**record, "createdAt": iso(since), "updatedAt": iso(since)}
    versions = [Version(since, message(datasource, record, record["updatedAt"]))]
    for seconds, values in changes:
        versions.append(Version(seconds, updated(datasource, record, seconds, values)))
    return Entity(datasource, versions)


def updated(datasource: str, record: dict[str, Any], seconds: int, values: dict[str, Any]) -> bytes:
    """Changes `record` and says so."""
    at = iso(seconds)
    values = {**values, "updatedAt": at}
    before = {name: record[name] for name, value in values.items() if record.get(name, value) != value}
    record.update(values)
    if datasource in FLAT:
        return orjson.dumps(record)
    return message(datasource, record, at, "update", before)

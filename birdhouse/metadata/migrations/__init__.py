"""Numbered changes of the metadata database. A released migration is never edited: add the next number.

Each is a module with `NUMBER` and `STATEMENTS`, and is listed here.
"""

from __future__ import annotations

from dataclasses import dataclass

from birdhouse.metadata.migrations import (
    m0001_initial,
    m0002_schedules,
    m0003_connections,
    m0004_releases,
    m0005_shares,
)


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    statements: tuple[str, ...]


MIGRATIONS = (
    Migration(m0001_initial.NUMBER, m0001_initial.STATEMENTS),
    Migration(m0002_schedules.NUMBER, m0002_schedules.STATEMENTS),
    Migration(m0003_connections.NUMBER, m0003_connections.STATEMENTS),
    Migration(m0004_releases.NUMBER, m0004_releases.STATEMENTS),
    Migration(m0005_shares.NUMBER, m0005_shares.STATEMENTS),
)

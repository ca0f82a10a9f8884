"""The way rows take: on time as a rule, sometimes twice, late, or one before the other.

Of a row that is deleted, the tombstone comes last, whatever happened on the way: change capture keeps the versions of
one key in order up to there, and what comes after a tombstone would live again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from cdp.simulate.entity import Entity
from cdp.simulate.report import RELATIONS, Shares
from cdp.simulate.scale import DAY

BATCH_ROWS_MAX = 4_000
_DELAY_SECONDS_MAX = 6 * 3_600
_REPEAT_SECONDS_MAX = 2 * 3_600

DATASOURCES = (
    "activityTypes", "segments", "integrations", "insightsProjects", "repositories",
    "organizations", "organizationIdentities", "members", "memberIdentities",
    "memberOrganizations", "maintainersInternal",
    "activities", "activityRelations",
)  # fmt: skip
"""In the order of delivery within a batch: what a row refers to comes before it."""


class Batch(NamedTuple):
    datasource: str
    rows: list[bytes]
    """Each one JSON object without a line end."""


@dataclass(slots=True)
class Tally:
    """What was delivered."""

    activities: int = 0
    """Different ones, those included that are deleted later."""
    late: int = 0
    updates: int = 0
    """Newer versions of activities."""
    deletes: int = 0
    """Tombstones of activities."""
    duplicates: int = 0
    """Second deliveries, of any data source."""
    disordered: int = 0
    """Deliveries after their turn, of any data source."""
    rows: dict[str, int] = field(default_factory=dict)
    """By data source, duplicates included."""

    def meet(self, entity: Entity) -> None:
        if entity.datasource == RELATIONS:
            self.activities += 1
            self.late += "late" in entity.traits
            self.updates += len(entity.versions) - 1
            self.deletes += entity.tombstone is not None


class Delivery:
    def __init__(self, rng: Random, shares: Shares, tally: Tally) -> None:
        self._rng = rng
        self._shares = shares
        self._tally = tally
        self._days: dict[int, list[tuple[int, int, str, bytes]]] = {}
        self._today = 0
        self._number = 0
        self._taken: dict[str, list[bytes]] = {name: [] for name in DATASOURCES}
        self._taken_rows = 0

    def put(self, entity: Entity) -> None:
        self._tally.meet(entity)
        rng, shares = self._rng, self._shares
        versions, last = entity.versions, 0
        if entity.inverted:
            overtaken = versions[-2]._replace(due=versions[-1].due + 60)
            versions = [*versions[:-2], overtaken, versions[-1]]
        for version in versions:
            due = version.due
            if rng.random() < shares.disordered:
                due += 1 + int(rng.random() * _DELAY_SECONDS_MAX)
                self._tally.disordered += 1
            self._plan(due, entity.datasource, version.row)
            if rng.random() < shares.duplicated:
                due += 1 + int(rng.random() * _REPEAT_SECONDS_MAX)
                self._tally.duplicates += 1
                self._plan(due, entity.datasource, version.row)
            last = max(last, due)
        if entity.tombstone is not None:
            self._plan(max(last + 1, entity.tombstone.due), entity.datasource, entity.tombstone.row)

    def _plan(self, due: int, datasource: str, row: bytes) -> None:
        day = max(due // DAY, self._today)
        planned = self._days.get(day)
        if planned is None:
            planned = self._days[day] = []
        self._number += 1
        planned.append((due, self._number, datasource, row))

    def batches_until(self, midnight: int) -> Iterator[Batch]:
        """What is due before `midnight`, when it is worth a batch."""
        until = midnight // DAY
        for day in range(self._today, until) if self._today else sorted(self._days):
            if day < until:
                self._take(day)
        self._today = until
        if self._taken_rows >= BATCH_ROWS_MAX:
            yield from self._batches()

    def rest(self) -> Iterator[Batch]:
        for day in sorted(self._days):
            self._take(day)
            if self._taken_rows >= BATCH_ROWS_MAX:
                yield from self._batches()
        yield from self._batches()

    def _take(self, day: int) -> None:
        planned = self._days.pop(day, [])
        planned.sort()
        self._taken_rows += len(planned)
        for _, _, datasource, row in planned:
            self._taken[datasource].append(row)

    def _batches(self) -> Iterator[Batch]:
        for datasource, rows in self._taken.items():
            for start in range(0, len(rows), BATCH_ROWS_MAX):
                batch = Batch(datasource, rows[start : start + BATCH_ROWS_MAX])
                self._tally.rows[datasource] = self._tally.rows.get(datasource, 0) + len(batch.rows)
                yield batch
        self._taken = {name: [] for name in DATASOURCES}
        self._taken_rows = 0

"""Requests to the Events API, gathered by data source and second: there can be thousands in one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from birdhouse.catalog.resources import DataSource
from birdhouse.clock import Clock
from birdhouse.usage.operations import EventType, Operation

GATHERED_MAX = 10_000
"""How many sums are kept between two writes; further ones are not recorded."""


@dataclass(frozen=True, slots=True)
class EventAppend:
    """One request: what came of it, or why nothing did. Bytes are those of rows as they are written."""

    seconds: float
    rows: int = 0
    quarantined_rows: int = 0
    written_bytes: int = 0
    quarantined_bytes: int = 0
    error: str | None = None


@dataclass(slots=True)
class _Sum:
    at: datetime
    datasource_name: str
    request_id: str
    requests: int = 0
    seconds: float = 0.0
    rows: int = 0
    quarantined_rows: int = 0
    written_bytes: int = 0
    quarantined_bytes: int = 0

    def add(self, append: EventAppend) -> None:
        self.requests += 1
        self.seconds += append.seconds
        self.rows += append.rows
        self.quarantined_rows += append.quarantined_rows
        self.written_bytes += append.written_bytes
        self.quarantined_bytes += append.quarantined_bytes


_Key = tuple[str, str, int, str | None]
"""Workspace, data source, second, error."""


class EventAppends:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sums: dict[_Key, _Sum] = {}

    def add(self, workspace_id: str, datasource: DataSource, request_id: str, append: EventAppend) -> None:
        now = self._clock.now()
        key = (workspace_id, datasource.id, int(now.timestamp()), append.error)
        found = self._sums.get(key)
        if found is None:
            if len(self._sums) >= GATHERED_MAX:
                return
            found = self._sums[key] = _Sum(now, datasource.name, request_id)
        found.add(append)

    def operations(self) -> list[Operation]:
        """What came since the last time: one operation for each data source, second and error.

        `elapsed_time` is the mean, `request_id` that of the first, and the option `requests` says how many there were.
        """
        sums, self._sums = self._sums, {}
        return [
            Operation(
                workspace_id=workspace_id,
                timestamp=each.at,
                event_type=EventType.APPEND_HFI,
                datasource_id=datasource_id,
                datasource_name=each.datasource_name,
                elapsed_time=each.seconds / each.requests,
                error=error,
                options={"requests": str(each.requests)},
                request_id=each.request_id,
                rows=each.rows,
                rows_quarantine=each.quarantined_rows,
                written_rows=each.rows,
                written_bytes=each.written_bytes,
                written_rows_quarantine=each.quarantined_rows,
                written_bytes_quarantine=each.quarantined_bytes,
            )
            for (workspace_id, datasource_id, _, error), each in sums.items()
        ]

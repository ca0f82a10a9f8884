"""Operations on data sources: `tinybird.datasources_ops_log`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from birdhouse.catalog.resources import DataSource, Pipe
from birdhouse.metadata.identifiers import new_id
from birdhouse.usage.request import current_request_id
from birdhouse.usage.row import Row

BLOCK_IDS_MAX = 1_000
ERROR_CHARACTERS_MAX = 10_000


class EventType(StrEnum):
    CREATE = "create"
    APPEND = "append"
    APPEND_HFI = "append-hfi"
    """Through the Events API."""
    REPLACE = "replace"
    DELETE = "delete"
    """Of the data source, or with the option `delete_condition` of rows."""
    TRUNCATE = "truncate"
    RENAME = "rename"
    EXCHANGE = "exchange"
    ALTER = "alter"
    COPY = "copy"
    POPULATE_QUEUED = "populateview-queued"
    POPULATE = "populateview"


REACH_VIEWS = frozenset({EventType.APPEND, EventType.APPEND_HFI, EventType.REPLACE, EventType.COPY, EventType.POPULATE})
MODE = "mode"
"""The option that says whether a copy or populate adds rows to its target or takes its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Row):
    """One operation on one data source. Operations with one `operation_id` belong together.

    `rows` and `rows_quarantine` are None where nobody counts them. An `error` makes the result `error`.
    """

    TABLE = "datasources_ops_log"

    workspace_id: str
    timestamp: datetime
    event_type: str
    datasource_id: str
    datasource_name: str
    elapsed_time: float = 0.0
    error: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    request_id: str = field(default_factory=current_request_id)
    import_id: str | None = None
    job_id: str | None = None
    rows: int | None = None
    rows_quarantine: int | None = None
    blocks_ids: tuple[str, ...] = ()
    operation_id: str = field(default_factory=new_id)
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    written_rows_quarantine: int = 0
    written_bytes_quarantine: int = 0
    pipe_id: str = ""
    pipe_name: str = ""

    @property
    def triggers_views(self) -> bool:
        """Rows that come in go through the views, and where rows are replaced what views made of them is made again."""
        return self.event_type in REACH_VIEWS and self.error is None

    def stored(self) -> dict[str, object]:
        stored = Row.stored(self)
        del stored["options"]
        return stored | {
            "result": "ok" if self.error is None else "error",
            "error": None if self.error is None else self.error[:ERROR_CHARACTERS_MAX],
            "Options.Names": list(self.options),
            "Options.Values": list(self.options.values()),
            "blocks_ids": self.blocks_ids[:BLOCK_IDS_MAX],
        }


def triggered(operation: Operation, views: Iterable[tuple[Pipe, DataSource]]) -> list[Operation]:
    """The same insert as its views saw it, one row for each. How many rows each of them wrote nobody tells."""
    return [
        replace(
            operation,
            datasource_id=target.id, datasource_name=target.name, pipe_id=pipe.id, pipe_name=pipe.name,
            rows=None, rows_quarantine=None, written_rows=0, written_bytes=0,
            written_rows_quarantine=0, written_bytes_quarantine=0,
        )
        for pipe, target in views
    ]  # fmt: skip

"""Runs of sinks: `tinybird.sinks_ops_log`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from birdhouse.usage.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkRun(Row):
    """One run. `output` names the files that were written, `parameters` are the template's. No secrets in `options`."""

    TABLE = "sinks_ops_log"

    workspace_id: str
    timestamp: datetime
    service: str
    pipe_id: str
    pipe_name: str
    job_id: str | None = None
    error: str | None = None
    elapsed_time: float = 0.0
    read_rows: int = 0
    written_rows: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    output: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    token_name: str = ""

    def stored(self) -> dict[str, object]:
        return Row.stored(self) | {"result": "ok" if self.error is None else "error"}

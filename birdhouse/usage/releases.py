"""Deployments of whole projects: `tinybird.releases_log`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from birdhouse.usage.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(Row):
    """One deployment, done or refused. `token` is the id of the token it came with."""

    TABLE = "releases_log"

    workspace_id: str
    timestamp: datetime
    event_type: str
    commit: str
    token: str
    token_name: str
    error: str = ""

    def stored(self) -> dict[str, object]:
        return Row.stored(self) | {"result": "error" if self.error else "ok"}

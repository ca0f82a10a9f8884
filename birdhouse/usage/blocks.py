"""The blocks in which files are imported: `tinybird.block_log`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from birdhouse.usage.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(Row):
    """One block of a file. `source` is the name or URL of the file; with a `processing_error` nothing was written."""

    TABLE = "block_log"

    workspace_id: str
    timestamp: datetime
    request_id: str
    import_id: str
    job_id: str | None
    source: str
    block_id: str
    datasource_id: str
    datasource_name: str
    rows: int | None = None
    parser: str | None = None
    quarantine_lines: int | None = None
    bytes: int | None = None
    processing_time: float | None = None
    processing_error: str | None = None

    def stored(self) -> dict[str, object]:
        return Row.stored(self) | {"status": "done" if self.processing_error is None else "error"}


def public_url(url: str) -> str:
    """The URL of a file without user, query and fragment: there its secrets are, and records are read by many."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

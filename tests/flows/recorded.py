"""What the server recorded about requests: rows come into `tinybird.pipe_stats_rt` a moment after the answer."""

from __future__ import annotations

import time
from typing import Any

from flows.flow_server import Server

RECORDED_SECONDS_MAX = 20.0


def recorded_requests(server: Server, pipe: str, count: int) -> list[dict[str, Any]]:
    """The rows about a pipe, oldest first, once there are `count`."""
    deadline = time.monotonic() + RECORDED_SECONDS_MAX
    while True:
        rows = server.sql(f"SELECT * FROM tinybird.pipe_stats_rt WHERE pipe_name = '{pipe}' ORDER BY start_datetime")
        if len(rows) >= count or time.monotonic() > deadline:
            assert len(rows) == count, rows
            return rows
        time.sleep(0.1)

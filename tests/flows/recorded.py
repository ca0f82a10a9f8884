"""What the server recorded about requests."""

from __future__ import annotations

import time
from typing import Any

from flows.flow_server import Server

NOTED_SECONDS_MAX = 20.0
"""A request is noted when its answer ends, which its client may not have waited for."""


def recorded_requests(server: Server, pipe: str, count: int) -> list[dict[str, Any]]:
    """The rows about a pipe, oldest first, once there are `count`."""
    deadline = time.monotonic() + NOTED_SECONDS_MAX
    while True:
        assert server.post("/v0/service_datasources/refresh").status_code == 200
        rows = server.sql(f"SELECT * FROM tinybird.pipe_stats_rt WHERE pipe_name = '{pipe}' ORDER BY start_datetime")
        if len(rows) >= count or time.monotonic() > deadline:
            assert len(rows) == count, rows
            return rows
        time.sleep(0.1)

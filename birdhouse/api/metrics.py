"""The counters that `/metrics` shows. They belong to the process: one process is one server."""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from birdhouse.api.parts import Parts

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

REQUESTS = Counter(
    "birdhouse_requests_total",
    "Requests answered, by kind and status.",
    ["kind", "status"],
    registry=REGISTRY,
)
SECONDS = Histogram(
    "birdhouse_query_seconds",
    "Time to answer an endpoint call or a query.",
    ["kind"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
_requests = cache(REQUESTS.labels)
_seconds = cache(SECONDS.labels)
EVENT_ROWS = Counter(
    "birdhouse_event_rows_total", "Rows taken by the Events API, by outcome.", ["outcome"], registry=REGISTRY
)
RESOURCES = Gauge("birdhouse_resources", "Data sources and pipes, by kind.", ["kind"], registry=REGISTRY)


def observe_parts(parts: Parts) -> None:
    """Brings the gauges up to date."""
    workspaces = list(parts.catalog.workspaces())
    RESOURCES.labels("datasource").set(sum(len(list(each.datasources())) for each in workspaces))
    RESOURCES.labels("pipe").set(sum(len(list(each.pipes())) for each in workspaces))


def observe_query(kind: str, status: int, seconds: float) -> None:
    """Counts one answer. `kind` is `endpoint` or `sql`."""
    _requests(kind, str(status)).inc()
    _seconds(kind).observe(seconds)

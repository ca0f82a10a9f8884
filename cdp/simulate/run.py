"""Delivers a community to a sink: one batch travels while the next is made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from cdp.simulate.community import Community
from cdp.simulate.delivery import Tally
from cdp.sink import Sink


class Progress(NamedTuple):
    """How far a simulation is, once everything counted here is durable."""

    activities: int
    """Told so far; some of them are still on their way."""
    activities_total: int
    sent_rows: int


@dataclass(slots=True)
class SimulationSummary:
    seed: int
    destination: str
    members: int
    organizations: int
    projects: int
    tally: Tally = field(default_factory=Tally)
    sent_rows: int = 0
    quarantined_rows: dict[str, int] = field(default_factory=dict)
    """By data source; empty when everything fitted."""
    seconds: float = 0.0


async def simulate(
    community: Community, *, sink: Sink, progress: Callable[[Progress], None] | None = None
) -> SimulationSummary:
    """Sends every row in the order of delivery. A broken simulation starts over: rows sent before are not doubled."""
    started = time.monotonic()
    scale = community.scale
    summary = SimulationSummary(scale.seed, sink.destination, scale.members, scale.organizations, scale.projects)
    batches = community.batches(summary.tally)
    making = asyncio.create_task(asyncio.to_thread(next, batches, None))
    try:
        # Shielded: a generator cannot be closed while its thread is in it, so a cancelled simulation lets it finish.
        while (batch := await asyncio.shield(making)) is not None:
            making = asyncio.create_task(asyncio.to_thread(next, batches, None))
            receipt = await sink.send(batch.datasource, batch.rows)
            summary.sent_rows += receipt.rows
            if receipt.quarantined_rows:
                before = summary.quarantined_rows.get(batch.datasource, 0)
                summary.quarantined_rows[batch.datasource] = before + receipt.quarantined_rows
            if progress is not None:
                progress(Progress(summary.tally.activities, scale.activities, summary.sent_rows))
    finally:
        await asyncio.wait([making])
        if not making.cancelled():
            making.exception()
    summary.seconds = time.monotonic() - started
    return summary

"""One community of 20,000 activities, told once for all tests."""

from __future__ import annotations

import pytest
from told_community import ACTIVITIES, Told, record

from cdp.simulate import Community


@pytest.fixture(scope="session")
def told() -> Told:
    told = Told(Community(seed=1, activities=ACTIVITIES))
    for batch in told.community.batches(told.tally):
        told.delivered.setdefault(batch.datasource, []).extend(batch.rows)
    for truth, tombstones in ((told.truth, True), (told.truth_without_tombstones, False)):
        for datasource, row in told.community.final_state(tombstones=tombstones):
            truth.setdefault(datasource, []).append(record(row))
    return told

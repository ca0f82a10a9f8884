"""Nightly snapshots over days that a clock in a data source tells: the pipes are the project's own but for `now()`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from flows.flow_server import Server, running_server
from insights_project import append, run_copies, slice_of

MERGER = "activityRelations_snapshot_merger_copy"
BOOTSTRAP = "activityRelations_enrich_initial_snapshot"
CLOCK = "SCHEMA >\n    `at` DateTime `json:$.at`\n\nENGINE MergeTree\nENGINE_SORTING_KEY at\n"
SERVING = "activityRelations_enriched_deduplicated_ds"
DAYS = 6
KEYS = 40

Version = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    files = slice_of([MERGER, BOOTSTRAP])
    for path, text in files.items():
        files[path] = text.replace("now()", "(SELECT max(at) FROM test_clock)")
    assert sum("test_clock" in text for text in files.values()) == 2
    with running_server(tmp_path_factory.mktemp("snapshots") / "data", follow_schedules=False) as server:
        server.deploy({**files, "datasources/test_clock.datasource": CLOCK})
        yield server


@pytest.fixture
def empty(server: Server) -> Server:
    for each in server.get("/v0/datasources").json()["datasources"]:
        assert server.post(f"/v0/datasources/{each['name']}/truncate").status_code in (200, 204, 205)
    return server


class Nights:
    """Days of the future, so that no row is older than the tables keep it. Keeps what a snapshot has to hold."""

    def __init__(self, server: Server, seed: int) -> None:
        self._server = server
        self._rng = Random(seed)
        self._first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self._score = 0
        self.today = 0
        self.delivered: list[Version] = []

    def day(self, number: int) -> datetime:
        return self._first + timedelta(days=number)

    def deliver(self) -> None:
        """New versions of some relations during today, in disorder and some of them twice, in several blocks."""
        self.send([self._version() for _ in range(self._rng.randrange(5, 60))])

    def send(self, versions: list[Version]) -> None:
        self.delivered += versions
        sent = [*versions, *self._rng.sample(versions, len(versions) // 3)]
        self._rng.shuffle(sent)
        while sent:
            block = [sent.pop() for _ in range(min(len(sent), self._rng.randrange(10, 60)))]
            append(self._server, "activityRelations", [json.dumps({"record": each}).encode() for each in block])

    def _version(self) -> Version:
        self._score = (self._score + 1) % 100
        number = self._rng.randrange(KEYS)
        at = self.day(self.today) + timedelta(milliseconds=self._rng.randrange(86_400_000))
        made = self._first - timedelta(days=number)
        return relation(number, made, at, self._score)

    def merge(self) -> None:
        """The night after today."""
        self.today += 1
        self.set_clock(self.day(self.today) + timedelta(hours=1))
        run_copies(self._server, MERGER)

    def set_clock(self, at: datetime) -> None:
        append(self._server, "test_clock", [json.dumps({"at": f"{at:%Y-%m-%d %H:%M:%S}"}).encode()])

    def newest(self, before: datetime | None = None) -> dict[str, tuple[str, int]]:
        """Of what was delivered, and was updated before that moment: version and score by activity."""
        found: dict[str, tuple[str, int]] = {}
        for each in self.delivered:
            if before is None or each["updatedAt"] < before.isoformat():
                version = (each["updatedAt"], each["score"])
                found[each["activityId"]] = max(found.get(each["activityId"], version), version)
        return found

    def snapshot(self) -> dict[str, tuple[str, int]]:
        """The latest one, in the same form; there once is every relation."""
        rows = self._server.sql(
            f"SELECT activityId, toUnixTimestamp64Milli(updatedAt) AS at, score FROM {SERVING} "
            f"WHERE snapshotId = (SELECT max(snapshotId) FROM {SERVING})"
        )
        assert len(rows) == len({row["activityId"] for row in rows})
        moments = ((row, datetime.fromtimestamp(int(row["at"]) / 1000, UTC)) for row in rows)
        return {row["activityId"]: (at.isoformat(), row["score"]) for row, at in moments}

    def doubled(self) -> list[dict[str, Any]]:
        """Relations that some snapshot has more than once."""
        key = "segmentId, timestamp, type, platform, channel, sourceId"
        return self._server.sql(
            f"SELECT snapshotId, {key} FROM {SERVING} GROUP BY snapshotId, {key} HAVING count() > 1"
        )

    def latest(self) -> str:
        return str(self._server.sql(f"SELECT toString(max(snapshotId)) AS at FROM {SERVING}")[0]["at"])


def relation(number: int, made: datetime, updated: datetime, score: int) -> Version:
    return {
        "activityId": f"activity-{number}",
        "createdAt": made.isoformat(),
        "updatedAt": updated.isoformat(),
        "memberId": f"member-{score % 7}",
        "platform": "github",
        "segmentId": f"segment-{number % 5}",
        "username": "ada",
        "sourceId": f"source-{number}",
        "type": "issues-opened",
        "timestamp": made.isoformat(),
        "channel": "https://github.com/birds/nest",
        "score": score,
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_every_night_makes_a_snapshot_of_the_newest_versions(empty: Server, seed: int) -> None:
    """Also after nights without a run, and when the copy runs twice in a night."""
    nights, chance = Nights(empty, seed), Random(seed + 100)
    for _ in range(DAYS):
        nights.deliver()
        if nights.today > 0 and chance.random() < 0.3:
            nights.today += 1  # nothing runs this night
            continue
        nights.merge()
        assert nights.snapshot() == nights.newest(nights.day(nights.today))
        if chance.random() < 0.3:
            run_copies(empty, MERGER)
        assert nights.doubled() == []


def test_a_snapshot_is_made_although_nothing_came(empty: Server) -> None:
    nights = Nights(empty, 3)
    nights.deliver()
    nights.merge()
    before = nights.snapshot()
    nights.merge()
    assert (nights.snapshot(), nights.latest()) == (before, f"{nights.day(2):%Y-%m-%d %H:%M:%S}")


def test_the_nights_go_on_from_the_bootstrap(empty: Server) -> None:
    """What was updated on the day of the bootstrap is in it, comes once more at night, and is there once."""
    nights = Nights(empty, 4)
    nights.deliver()
    nights.today += 1
    nights.deliver()
    nights.set_clock(nights.day(nights.today) + timedelta(hours=15))
    run_copies(empty, BOOTSTRAP)
    assert nights.snapshot() == nights.newest()
    nights.deliver()
    nights.merge()
    assert nights.snapshot() == nights.newest(nights.day(nights.today))
    assert nights.doubled() == []


def test_what_is_updated_after_midnight_waits_for_the_next_night(empty: Server) -> None:
    nights = Nights(empty, 5)
    old, new = (relation(1, nights.day(-1), nights.day(0) + timedelta(hours=hours), hours) for hours in (23, 24))
    nights.send([old, new])
    nights.merge()
    assert nights.snapshot() == {"activity-1": (old["updatedAt"], 23)}
    nights.merge()
    assert nights.snapshot() == {"activity-1": (new["updatedAt"], 24)}

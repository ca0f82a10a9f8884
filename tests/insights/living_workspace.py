"""A workspace that rows come into and that is read all the time, with what it must answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from insights_project import INSIGHTS

from buckets.city_hash import city_hash_64

FIXTURES = (
    "activityRelations",
    "activityTypes",
    "insightsProjects",
    "integrations",
    "members",
    "memberIdentities",
    "organizations",
    "repositories",
)
PROJECTS = {
    "nest": "00000000-0000-0000-0000-000000000000",
    "perch": "00000000-0000-0000-0000-000000000003",
    "flock": "00000000-0000-0000-0000-000000000010",
}
"""Some stay in their bucket when there are twice as many, some move."""
UNION = "activityRelations_deduplicated_cleaned_bucket_union"
REMEMBERED_SECONDS = 1.0
"""How long a reader remembers the bucket of a project."""
PAUSE_SECONDS = 0.25


def fixture_rows(name: str) -> list[dict[str, Any]]:
    lines = (INSIGHTS / "fixtures" / f"{name}.ndjson").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def identity(record: Mapping[str, Any]) -> tuple[str, ...]:
    """What makes a relation the same in another version."""
    names = ("segmentId", "timestamp", "type", "platform", "channel", "sourceId")
    return tuple(str(record[name] or "") for name in names)


@dataclass
class Life:
    """Calls may fail while the server is away, when `is_patient`; every other failure is noted."""

    url: Callable[[], str]
    token: Callable[[], str]
    buckets: int
    """How many there will be."""
    is_patient: bool = False
    written: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)
    """The newest version of every relation that was acknowledged."""
    failures: list[str] = field(default_factory=list)
    answers: int = 0
    rows_sent: int = 0
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))
    _stopped: threading.Event = field(default_factory=threading.Event)
    _may_refresh: threading.Lock = field(default_factory=threading.Lock)
    _held: bool = False

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Writes, refreshes and reads during the body."""
        threads = [threading.Thread(target=self._write), threading.Thread(target=self._refresh)]
        threads += [threading.Thread(target=self._read_project, args=(each,)) for each in PROJECTS]
        threads.append(threading.Thread(target=self._read_union))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()
            self._http.close()

    def hold_schedules(self, held: bool) -> None:
        """As the server does when the copies have no schedule any more."""
        with self._may_refresh:
            self._held = held

    def remember(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            before = self.written.get(identity(record))
            if before is None or before["updatedAt"] <= record["updatedAt"]:
                self.written[identity(record)] = record

    def _attempt(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """None when the server is away."""
        headers = {"Authorization": f"Bearer {self.token()}"}
        try:
            return self._http.request(method, f"{self.url()}{path}", headers=headers, **options)
        except httpx.HTTPError as error:
            if not self.is_patient:
                self.failures.append(f"{path}: {error!r}")
            return None

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """The answer, unless it is a failure: that is noted, or forgiven when the server may be away."""
        answer = self._attempt(method, path, **options)
        if answer is not None and answer.status_code == 200:
            self.answers += 1
            return answer
        if answer is not None and not (self.is_patient and answer.status_code == 503):
            self.failures.append(f"{path}: {answer.status_code} {answer.text}")
        time.sleep(PAUSE_SECONDS)
        return None

    def _write(self) -> None:
        """New relations, now and then one again, and newer versions of old ones."""
        number = 0
        began = datetime.now(UTC)
        while not self._stopped.is_set():
            records = []
            for project, segment in PROJECTS.items():
                number += 1
                records.append(relation(number, project, segment, began + timedelta(milliseconds=number)))
            if number % 5 == 0:
                older = relation(number // 2, *_project_of(number // 2), began + timedelta(milliseconds=number))
                records += [records[0], older]
            body = "\n".join(json.dumps({"record": record}) for record in records)
            while not self._stopped.is_set():
                answer = self._call(
                    "POST", "/v0/events", params={"name": "activityRelations", "wait": "true"}, content=body
                )
                if answer is not None:
                    if answer.json()["quarantined_rows"]:
                        self.failures.append(answer.text)
                    self.remember(records)
                    self.rows_sent += len(records)
                    break
                if not self.is_patient:
                    break
            time.sleep(PAUSE_SECONDS)

    def _refresh(self) -> None:
        """As the schedules of the cleaned buckets would, one after the other and without the pauses of an hour."""
        bucket = 0
        while not self._stopped.is_set():
            bucket = (bucket + 1) % self.buckets
            pipe = f"activityRelations_bucket_clean_enrich_copy_pipe_{bucket}"
            with self._may_refresh:
                answer = None if self._held else self._attempt("POST", f"/v0/pipes/{pipe}/copy")
            while answer is not None and answer.status_code == 200 and not self._stopped.is_set():
                job = answer.json().get("job") or answer.json()
                if job["status"] not in ("waiting", "working"):
                    break
                time.sleep(PAUSE_SECONDS)
                answer = self._attempt("GET", f"/v0/jobs/{job['job_id']}")
            time.sleep(PAUSE_SECONDS)

    def _read_project(self, project: str) -> None:
        """As a gateway does: it asks for the bucket once in a while, and passes it on."""
        last, bucket, asked = 0, "", 0.0
        while not self._stopped.is_set():
            time.sleep(PAUSE_SECONDS)
            if not bucket or time.monotonic() - asked > REMEMBERED_SECONDS:
                asked = time.monotonic()
                answer = self._call("GET", "/v0/pipes/project_buckets.json", params={"project": project})
                if answer is None:
                    bucket = ""
                    continue
                bucket = str(answer.json()["data"][0]["bucketId"])
            parameters = {"project": project, "bucketId": bucket, "includeCollaborations": "true"}
            answer = self._call("GET", "/v0/pipes/activities_count.json", params=parameters)
            if answer is not None:
                count = answer.json()["data"][0]["activityCount"]
                if count < last:
                    self.failures.append(f"{project} had {last} activities and has {count} (bucket {bucket})")
                last = max(last, count)

    def _read_union(self) -> None:
        last = 0
        query = f"SELECT count() AS rows, uniqExact(activityId) AS activities FROM {UNION} FORMAT JSON"
        while not self._stopped.is_set():
            time.sleep(PAUSE_SECONDS)
            answer = self._call("POST", "/v0/sql", content=query)
            if answer is not None:
                row = answer.json()["data"][0]
                if row["rows"] != row["activities"]:
                    self.failures.append(f"{row['rows']} rows are about {row['activities']} activities")
                if row["activities"] < last:
                    self.failures.append(f"there were {last} activities and are {row['activities']}")
                last = max(last, row["activities"])


def relation(number: int, project: str, segment: str, updated: datetime) -> dict[str, Any]:
    at = datetime(2024, 5, 1, tzinfo=UTC) + timedelta(seconds=number)
    return {
        "activityId": f"grown-{number}",
        "createdAt": at.isoformat(),
        "updatedAt": updated.isoformat(timespec="milliseconds"),
        "memberId": "10000000-0000-0000-0000-000000000001",
        "organizationId": "20000000-0000-0000-0000-000000000001",
        "platform": "discord",
        "segmentId": segment,
        "username": "ada",
        "sourceId": f"grown-{number}",
        "type": "message",
        "timestamp": at.isoformat(),
        "channel": f"{project}-talk",
        "score": number % 100,
    }


def _project_of(number: int) -> tuple[str, str]:
    return list(PROJECTS.items())[(number - 1) % len(PROJECTS)]


def check_final_state(sql: Callable[[str], list[dict[str, Any]]], life: Life, buckets: int) -> None:
    """Every acknowledged relation is in the raw bucket of its segment, in its newest version, and in no other."""
    found = []
    for bucket in range(buckets):
        rows = sql(
            "SELECT activityId, segmentId, score, toUnixTimestamp64Milli(updatedAt) AS version "
            f"FROM activityRelations_bucket_MV_ds_{bucket} FINAL"
        )
        found += [(bucket, row["activityId"], row["score"], int(row["version"])) for row in rows]
    expected = [
        (
            city_hash_64(each["segmentId"]) % buckets,
            each["activityId"],
            each["score"] if each["score"] is not None else -1,
            round(datetime.fromisoformat(each["updatedAt"]).timestamp() * 1000),
        )
        for each in life.written.values()
    ]
    assert sorted(found) == sorted(expected)
    counted = sql(f"SELECT count() AS rows, uniqExact(activityId) AS activities FROM {UNION}")[0]
    assert counted["rows"] == counted["activities"]
    unbucketed = sql(
        "SELECT count() AS rows FROM activityRelations FINAL WHERE memberId IN (SELECT id FROM members_sorted) "
        "AND (platform NOT IN ('git', 'gerrit', 'github', 'gitlab') OR (channel, segmentId) IN "
        "(SELECT channel, segmentId FROM repository_channels WHERE enabled AND insightsProjectId IN "
        "(SELECT id FROM insightsProjects FINAL WHERE deletedAt IS NULL)))"
    )[0]
    assert counted["rows"] == unbucketed["rows"]

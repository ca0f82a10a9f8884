"""What an hourly refresh of all cleaned buckets costs, and how that grows."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from benchmarks.answer import Answer
from benchmarks.server import Server
from benchmarks.streaming_memory import Sampled
from birdhouse.cli.project import bundled_insights, read_project

QUESTION = "How long does it take to clean all buckets, with more relations and with more buckets?"

BUCKETS = (10, 20)
RELATIONS = (1_000_000, 10_000_000)
SEGMENTS = 200
MEMBERS = 5_000
BUDGET_BYTES = 1_000_000_000
BUDGET_MB = BUDGET_BYTES / 1e6
FILLING_BYTES = 8_000_000_000
CLEAN = "activityRelations_bucket_clean_enrich_copy_pipe_{}"

# Of ten rows one is a later version of the row before it, and one of six members is no valid one.
RELATION = f"""\
        toString(number) AS activityId,
        toDateTime64('2021-01-01 00:00:00', 3) + place * 13 AS timestamp,
        timestamp AS createdAt,
        timestamp + number % 10 AS updatedAt,
        concat('member-', toString(sipHash64(place) % {MEMBERS * 6 // 5})) AS memberId,
        if(place % 4 = 0, concat('organization-', toString(place % 300)), '') AS organizationId,
        'github' AS platform,
        concat('segment-', toString(cityHash64(place) % {SEGMENTS})) AS segmentId,
        'someone' AS username,
        toString(place) AS sourceId,
        ['pull_request-opened', 'issues-opened', 'authored-commit', 'star'][place % 4 + 1] AS type,
        concat('https://example.org/', segmentId) AS channel,
        toUInt32(place % 700) AS gitInsertions,
        toUInt32(place % 90) AS gitDeletions,
        toInt8(-1) AS sentimentScore"""


def run() -> list[Answer]:
    seconds: dict[tuple[int, int], float] = {}
    answers: list[Answer] = []
    for buckets in BUCKETS:
        with tempfile.TemporaryDirectory(prefix="birdhouse-bench-") as folder:
            settings = {"job_memory_bytes_max": BUDGET_BYTES, "follow_schedules": False}
            with Server(Path(folder) / "server", settings) as server:
                server.client.deploy(_project(Path(folder) / "insights", buckets))
                for name in ("country_mapping_copy", "fill_members", "fill_repositories", "fill_projects"):
                    server.copy(name)
                for relations in RELATIONS:
                    _fill(server, buckets, relations)
                    before_mb = server.resident_mb()
                    with Sampled(server) as sampled:
                        seconds[buckets, relations] = _refreshed(server, buckets)
                    subject = f"{buckets} buckets, {relations // 1_000_000} M relations"
                    answers.append(Answer(subject, seconds[buckets, relations], "s"))
        growth_mb = sampled.peak_mb - before_mb
        answers.append(Answer(f"{buckets} buckets, growth of memory", growth_mb, "MB", at_most=BUDGET_MB))
    few, many = RELATIONS
    for buckets in BUCKETS:
        growth = seconds[buckets, many] / seconds[buckets, few]
        answers.append(Answer(f"{buckets} buckets, {many // few} times the relations", growth, "×"))
    answers.append(Answer("20 buckets against 10", seconds[BUCKETS[1], many] / seconds[BUCKETS[0], many], "×"))
    return answers


def _refreshed(server: Server, buckets: int) -> float:
    """The seconds for which the copies ran, one after the other."""
    jobs = [server.copy(CLEAN.format(number)) for number in range(buckets)]
    return sum((_time(job["updated_at"]) - _time(job["started_at"])).total_seconds() for job in jobs)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _fill(server: Server, buckets: int, relations: int) -> None:
    for number in range(buckets):
        server.copy(f"fill_bucket_{number}", {"relations": str(relations)})


def _project(folder: Path, buckets: int) -> dict[str, str]:
    """The datafiles of insights for that many buckets, and copies that fill its tables."""
    shutil.copytree(bundled_insights(), folder)
    subprocess.run([sys.executable, folder / "scripts" / "grow_buckets", str(buckets)], check=True, capture_output=True)
    files = read_project(folder)
    files["pipes/fill_members.pipe"] = _copy(
        f"SELECT concat('member-', toString(number)) AS id, now64(3) AS joinedAt FROM numbers({MEMBERS})",
        "members_sorted",
    )
    files["pipes/fill_repositories.pipe"] = _copy(
        "SELECT toString(number) AS id, concat('segment-', toString(number)) AS segmentId, "
        "concat('https://example.org/', segmentId) AS url, concat('project-', toString(number)) AS insightsProjectId, "
        f"true AS enabled, now64(3) AS createdAt, now64(3) AS updatedAt FROM numbers({SEGMENTS})",
        "repositories",
    )
    files["pipes/fill_projects.pipe"] = _copy(
        "SELECT concat('project-', toString(number)) AS id, id AS name, id AS slug, "
        "concat('segment-', toString(number)) AS segmentId, 1 AS enabled, now64(3) AS createdAt, now64(3) AS updatedAt "
        f"FROM numbers({SEGMENTS})",
        "insightsProjects",
    )
    for number in range(buckets):
        files[f"pipes/fill_bucket_{number}.pipe"] = _copy(
            "%\n    SELECT * EXCEPT place FROM (SELECT intDiv(number * 9, 10) AS place,\n"
            f"{RELATION}\n    FROM numbers({{{{Int(relations, 0)}}}}))\n"
            f"    WHERE cityHash64(segmentId) % {buckets} = {number}",
            f"activityRelations_bucket_MV_ds_{number}",
        )
    return files


def _copy(sql: str, target: str) -> str:
    """Making the rows is no part of the question, so it has a budget of its own."""
    budget = f'TAGS "job_memory_bytes_max={FILLING_BYTES}"'
    return f"NODE rows\nSQL >\n    {sql}\n\nTYPE COPY\nTARGET_DATASOURCE {target}\nCOPY_MODE replace\n{budget}\n"

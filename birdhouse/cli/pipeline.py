"""The first run of the copies of the insights project, and the timeline of what ran."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from birdhouse.cli import output
from birdhouse.client import Client
from birdhouse.errors import BirdhouseError

POLL_SECONDS = 0.1
STAGE_SECONDS_MAX = 3600.0

BUCKETS = "activityRelations_bucket_clean_enrich_copy_pipe_"
BOARDS = "leaderboards_"
FIRST_RUN: tuple[tuple[str, ...], ...] = (
    ("country_mapping_copy", "country_mapping_no_flags_copy", "activities_deduplicated_copy_pipe"),
    ("members_sorted_copy_pipe", "security_deduplicated_merged_copy_pipe"),
    (BUCKETS, "activityRelations_enrich_initial_snapshot"),
    (
        "members_public_names_copy_pipe",
        "maintainers_roles_copy",
        "issue_analysis_copy_pipe",
        "segmentId_aggregates_snapshot",
        "pull_request_analysis_initial_snapshot",
        "cdp_member_segment_aggregates_initial_snapshot",
        "cdp_organization_segment_aggregates_initial_snapshot",
    ),
    ("members_sorted_copy_pipe", "pull_request_analysis_snapshot_merger_copy", "cdp_segment_metrics_copy_pipe"),
    ("contributions_with_local_time", "segments_aggregates_with_ids_copy"),
    ("health_score_copy",),
    ("insights_projects_populated_copy",),
    ("org_dash_metric_copy_pipe", "project_insights_copy"),
    (BOARDS,),
    ("project_insights_copy", "activities_backup_consistency_audit_copy_pipe"),
)
"""Stages, one after the other: each reads what those before have written. A name that ends in `_` stands for a family.

Members get their public names from the buckets, which are made of the members: those run twice. So do the insights,
which hold the places on the boards, of which some read the insights.
"""
NOT_AT_FIRST = (
    "activities_deduplicated_copy_pipe_append_mode",
    "activityRelations_snapshot_merger_copy",
    "activityRelations_bucket_MV_snapshot_",
)
"""They go on from a first run, or fill buckets with rows from before there were views."""


class CopyFailed(BirdhouseError):
    """A copy of the first run did not end well."""


@dataclass(frozen=True, slots=True)
class CopyRun:
    """`waited_for` is what its job said while it waited; empty when it began at once."""

    name: str
    asked_at: datetime
    waited_seconds: float
    ran_seconds: float
    rows: int
    waited_for: str


def members(stage: Iterable[str], names: Iterable[str]) -> list[str]:
    """The names of a stage, with those of the project in the place of a family."""
    known = sorted(names)
    return [
        name
        for each in stage
        for name in ([found for found in known if found.startswith(each)] if each.endswith("_") else [each])
    ]


def run_first(client: Client) -> list[CopyRun]:
    """Asks for all copies of a stage at once and waits for them. Raises CopyFailed."""
    names = client.pipe_names()
    stages = [members(stage, names) for stage in FIRST_RUN]
    total = sum(map(len, stages))
    with output.progress("Running the pipeline", total) as bar:
        first_run = _FirstRun(client, bar)
        for stage in stages:
            first_run.run(stage)
    output.done(f"Ran {total} copies in {len(stages)} stages")
    return first_run.runs


class _FirstRun:
    """`runs` are those that have ended, in that order."""

    def __init__(self, client: Client, bar: output.Bar) -> None:
        self.runs: list[CopyRun] = []
        self._client = client
        self._bar = bar
        self._reasons: dict[str, str] = {}

    def run(self, stage: Iterable[str]) -> None:
        left = {self._client.run_copy(name): name for name in stage}
        deadline = time.monotonic() + STAGE_SECONDS_MAX
        while left:
            left = {job_id: name for job_id, name in left.items() if not self._has_ended(job_id, name)}
            if left and time.monotonic() > deadline:
                raise CopyFailed(f"The copy {next(iter(left.values()))} does not end")
            time.sleep(POLL_SECONDS if left else 0)

    def _has_ended(self, job_id: str, name: str) -> bool:
        job = self._client.job(job_id)
        match job["status"]:
            case "waiting":
                self._reasons[job_id] = _reason(job["waiting_for"]) or self._reasons.get(job_id, "")
            case "working":
                self._bar.to(len(self.runs), text=f"Copying {name}")
            case "done":
                self.runs.append(_run(name, job, self._reasons.get(job_id, "")))
            case status:
                raise CopyFailed(f"The copy {name} ended as {status}", detail=str(job.get("error", "")))
        return str(job["status"]) == "done"


def _reason(waits: Sequence[dict[str, Any]]) -> str:
    """What it waits for, in few words."""
    return ", ".join(dict.fromkeys(wait["name"] or f"a free {wait['kind']}" for wait in waits))


def _run(name: str, job: dict[str, Any], reason: str) -> CopyRun:
    created, started, ended = (_time(job[key]) for key in ("created_at", "started_at", "updated_at"))
    rows = job.get("statistics", {}).get("row_count", 0)
    return CopyRun(name, created, (started - created).total_seconds(), (ended - started).total_seconds(), rows, reason)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def show_timeline(runs: Sequence[CopyRun]) -> None:
    """What ran, when it was asked for from the first on, what it waited for and for how long."""
    output.heading("What ran")
    first = min(run.asked_at for run in runs)
    cells = [
        (
            f"{(run.asked_at - first).total_seconds():.1f}",
            run.name,
            f"{run.waited_seconds:.2f}",
            run.waited_for,
            f"{run.ran_seconds:.2f}",
            run.rows,
        )
        for run in runs
    ]
    columns = ("at s", "copy", "waited s", "for", "ran s", "rows")
    output.table(columns, cells, numbers=("at s", "waited s", "ran s", "rows"))

"""What the demo shows of an imported history, and how it compares it with git's own figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

from birdhouse.cli import output
from birdhouse.cli.pipeline import CopyRun
from birdhouse.client import Client
from cdp.importers.git.totals import Totals

Key = TypeVar("Key")

COMMIT = "authored-commit"
SHOWN_ROWS = 10
SHOWN_MONTHS = 12
NOTES_SECONDS_MAX = 30.0
NOTES_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    holds: bool
    text: str


def check_totals(client: Client, project: str, totals: Totals) -> list[Finding]:
    """Overall, per author and per month: what is stored, and what the endpoints make of it, against git."""
    segment = client.sql(f"SELECT segmentId FROM insightsProjects FINAL WHERE slug = {_text(project)}")[0]["segmentId"]
    stored = client.sql(
        f"SELECT count() AS commits FROM activityRelations FINAL "
        f"WHERE segmentId = {_text(segment)} AND type = '{COMMIT}'"
    )[0]["commits"]
    authors = client.sql(
        "SELECT JSONExtractString(attributes, 'name') AS name, JSONExtractString(attributes, 'email') AS email, "
        f"count() AS commits FROM activities FINAL WHERE segmentId = {_text(segment)} AND type = '{COMMIT}' "
        "GROUP BY name, email"
    )
    months = client.sql(
        f"SELECT formatDateTime(timestamp, '%Y-%m') AS month, count() AS commits FROM activityRelations FINAL "
        f"WHERE segmentId = {_text(segment)} AND type = '{COMMIT}' GROUP BY month"
    )
    per_author = {(row["name"], row["email"]): row["commits"] for row in authors}
    per_month = {row["month"]: row["commits"] for row in months}
    return [
        Finding(stored == totals.commits, f"{stored:,} commits; git rev-list --count says {totals.commits:,}"),
        _same("author", per_author, totals.per_author, "git shortlog -sne"),
        _same("month", per_month, totals.per_month, "git log"),
        _endpoint_finding(client, project, str(segment)),
    ]


def _same(what: str, ours: Mapping[Key, int], theirs: Mapping[Key, int], source: str) -> Finding:
    differing = [key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)]
    if not differing:
        return Finding(True, f"{output.counted(len(ours), what)}; {source} counts the same for each")
    first = differing[0]
    pair = f"{first}: {ours.get(first, 0)} here, {theirs.get(first, 0)} there"
    return Finding(
        False, f"{len(differing):,} of {output.counted(len(theirs), what)} differ from {source}, such as {pair}"
    )


def _endpoint_finding(client: Client, project: str, segment: str) -> Finding:
    """The endpoints leave programs out: their figure is that of the valid members, counted without any bucket."""
    parameters = {**page(client, project), "activity_type": COMMIT}
    answered = client.endpoint("activities_count", parameters)[0]["activityCount"]
    valid = client.sql(
        f"SELECT count() AS commits FROM activityRelations FINAL WHERE segmentId = {_text(segment)} "
        f"AND type = '{COMMIT}' AND memberId IN (SELECT id FROM members FINAL WHERE NOT isBot)"
    )[0]["commits"]
    return Finding(answered == valid, f"{answered:,} commits of people by the endpoint; {valid:,} by plain SQL")


def check_monitoring(client: Client, runs: Sequence[CopyRun]) -> Finding:
    """What ran is what the monitoring pipe of the project says of it. It reads notes that are written with a delay."""
    names = {run.name for run in runs if run.asked_at.date() == runs[-1].asked_at.date()}  # it tells of today alone
    deadline = time.monotonic() + NOTES_SECONDS_MAX
    while True:
        gauges = client.endpoint("monitoring_copy_pipe_executions")
        good = {
            each["labels"]["pipe_name"] for each in gauges if each["value"] == 1 and each["labels"]["status"] == "ok"
        }
        if names <= good or time.monotonic() > deadline:
            return Finding(names <= good, f"{len(names & good)} of {len(names)} copies ended well, says the monitoring")
        time.sleep(NOTES_POLL_SECONDS)


def page(client: Client, project: str) -> dict[str, str]:
    """The parameters that every endpoint of a project's page takes."""
    buckets = client.endpoint("project_buckets", {"project": project})
    return {"project": project, **({"bucketId": str(buckets[0]["bucketId"])} if buckets else {})}


def show_findings(client: Client, url: str, token: str, project: str) -> None:
    parameters = page(client, project)
    _show_leaders(client, parameters, "Top contributors", "contributors_leaderboard")
    _show_leaders(client, parameters, "Organizations", "organizations_leaderboard")
    _show_months(client, parameters)
    output.heading("Try an endpoint")
    output.line(f"  export TB_TOKEN={token}")
    for name, more in (
        ("activities_count", {"granularity": "monthly"}),
        ("contributors_leaderboard", {"limit": "5"}),
        ("active_contributors", {"granularity": "yearly"}),
        ("contributor_dependency", {}),
    ):
        output.line(f'  curl "{url}/v0/pipes/{name}.json?{urlencode({**parameters, **more})}&token=$TB_TOKEN"')

    output.line(f'  curl "{url}/v0/pipes/monitoring_copy_pipe_executions.prometheus?token=$TB_TOKEN"')


def _show_leaders(client: Client, parameters: dict[str, str], title: str, endpoint: str) -> None:
    rows = client.endpoint(endpoint, {**parameters, "limit": str(SHOWN_ROWS)})
    output.heading(title)
    if not rows:
        output.line("  none")
        return
    cells = [(row["displayName"], row["contributionCount"], f"{row['contributionPercentage']} %") for row in rows]
    output.table(("name", "activities", "share"), cells, numbers=("activities", "share"))


def _show_months(client: Client, parameters: dict[str, str]) -> None:
    rows = client.endpoint("activities_count", {**parameters, "granularity": "monthly"})[-SHOWN_MONTHS:]
    output.heading(f"Activities per month, the last {len(rows)}")
    most = max((row["activityCount"] for row in rows), default=0) or 1
    cells = [(row["startDate"][:7], row["activityCount"], "▇" * (30 * row["activityCount"] // most)) for row in rows]
    output.table(("month", "activities", ""), cells, numbers=("activities",))


def _text(value: object) -> str:
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"

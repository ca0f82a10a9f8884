"""The chapter "Creating a Backup Datasource" of the community analytics guide, as the official client runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flows.flow_server import Server
from tb_client import REPOSITORY, Tb

ACTIVITIES = (REPOSITORY / "insights" / "datasources" / "activities.datasource").read_text("utf-8")
ENGINE = "\n\nENGINE ReplacingMergeTree\nENGINE_SORTING_KEY id\nENGINE_VER updatedAt\n"
BACKUP = ACTIVITIES.partition("\n\nINDEXES")[0] + ENGINE
VIEW = """NODE all_activities
SQL >
    SELECT * FROM activities

TYPE materialized
DATASOURCE activities_backup
"""
QUERIES = (
    "SELECT uniqExact(id) FROM activities",
    "SELECT uniqExact(id) FROM activities_backup",
    "SELECT count() FROM activities FINAL",
    "SELECT count() FROM activities_backup FINAL",
)


def activity(number: int, second: int = 0) -> dict[str, Any]:
    moment = f"2024-05-01 12:00:{second:02}.000"
    known = {"id": f"a-{number}", "type": "commit", "platform": "git", "sourceId": "s", "attributes": "{}"}
    return {**known, "timestamp": "2024-05-01 12:00:00", "createdAt": moment, "updatedAt": moment}


def send(server: Server, *records: dict[str, Any]) -> None:
    body = "\n".join(map(json.dumps, records))
    answer = server.post("/v0/events", params={"name": "activities", "wait": "true"}, content=body)
    assert answer.json() == {"successful_rows": len(records), "quarantined_rows": 0}


def check(server: Server, *options: str, code: int) -> str:
    command = [sys.executable, "-m", "birdhouse", "backup", "check", "activities", "activities_backup", *options]
    done = subprocess.run([*command, "--host", server.url], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def project(tb: Tb) -> Path:
    tb.write(
        {
            "datasources/activities.datasource": ACTIVITIES,
            "datasources/activities_backup.datasource": BACKUP,
            "pipes/activities_backup_mv.pipe": VIEW,
        }
    )
    return tb.folder


def test_a_backup_is_filled_kept_in_step_and_validated(project: Path, tb: Tb, server: Server) -> None:
    tb("push", "datasources/activities.datasource")
    send(server, *(activity(number) for number in range(50)))
    send(server, *(activity(number, second=1) for number in range(10)))
    tb("push", "datasources/activities_backup.datasource")
    tb("push", "pipes/activities_backup_mv.pipe", "--populate", "--force")
    (job,) = [each for each in server.get("/v0/jobs").json()["jobs"] if each["kind"] == "populateview"]
    assert server.finished(job["id"])["status"] == "done"
    send(server, activity(7, second=2), activity(50), activity(50, second=1))

    answers = [tb("sql", query) for query in QUERIES]
    assert all("51" in answer for answer in answers), answers

    assert "✓ activities_backup is consistent with activities" in check(server, code=0)
    found = json.loads(check(server, "--json", code=0))
    assert found == {
        "datasource": "activities", "backup": "activities_backup", "key": "id",
        "ids": 51, "backup_ids": 51, "rows": 51, "backup_rows": 51,
        "consistent": True, "differing": [], "more_differ": False,
    }  # fmt: skip


def test_what_differs_is_named(tb: Tb, server: Server, project: Path) -> None:
    """As many ids and rows on both sides, and yet not the same; of many differences some are shown."""
    tb("push", "datasources/activities.datasource", "datasources/activities_backup.datasource")
    server.delete("/v0/pipes/activities_backup_mv")
    send(server, activity(99))
    body = json.dumps(activity(98))
    server.post("/v0/events", params={"name": "activities_backup", "wait": "true"}, content=body)
    output = check(server, code=1)
    assert "✗ activities_backup is not consistent with activities" in output
    assert "a-98: 0 in activities, 1 in activities_backup" in output
    assert "a-99: 1 in activities, 0 in activities_backup" in output
    found = json.loads(check(server, "--json", code=1))
    assert [each["id"] for each in found["differing"]] == ["a-98", "a-99"]
    assert found["ids"] == found["backup_ids"] and found["rows"] == found["backup_rows"]
    send(server, *(activity(200 + number) for number in range(25)))
    assert "and others; 20 are shown" in check(server, code=1)

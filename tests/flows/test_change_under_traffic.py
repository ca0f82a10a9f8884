"""The three changes of the chapter "How to Iterate on Data", each as one command, while rows arrive and are read.

No downtime is measured as: no call of an endpoint fails, no event fails, and every acknowledged row is there once.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flows.flow_server import Server, running_server
from flows.traffic import Traffic, traffic

INSIGHTS = Path(__file__).parent.parent.parent / "insights" / "datasources"
ACTIVITIES = (INSIGHTS / "activities.datasource").read_text("utf-8")
MEMBERS = (INSIGHTS / "members.datasource").read_text("utf-8")
BACKUP = ACTIVITIES.replace("toYear(createdAt)", "''")
NOON = "2024-05-01 12:00:00.000"
OLD_ROWS = 5_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path / "data") as server:
        yield server


def activity(identity: str) -> dict[str, Any]:
    text = {"sourceId": identity, "attributes": "{}", "country": "DE", "title": f"about {identity}"}
    times = {"timestamp": "2024-05-01 12:00:00", "createdAt": NOON, "updatedAt": NOON}
    return {"id": identity, "type": "commit", "platform": "git", **text, **times}


def member(identity: str, **more: Any) -> dict[str, Any]:
    times = {"joinedAt": NOON, "createdAt": NOON, "updatedAt": NOON}
    return {"record": {"id": identity, "displayName": identity, "attributes": "{}", **times, **more}}


def send(server: Server, name: str, *records: dict[str, Any]) -> None:
    body = "\n".join(map(json.dumps, records))
    answer = server.post("/v0/events", params={"name": name, "wait": "true"}, content=body)
    assert answer.json() == {"successful_rows": len(records), "quarantined_rows": 0}


def birdhouse(server: Server, *arguments: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "birdhouse", *arguments, "--host", server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def pipe(sql: str, *more: str) -> str:
    return "\n".join(["NODE n", "SQL >", f"    {sql}", "", *more, ""])


def refuse_loss(server: Server, seen: Traffic, name: str, old: int) -> None:
    """Every acknowledged row is there, once as readers see it, and nothing else is."""
    rows = server.sql(f"SELECT count() AS n, uniqExact(id) AS ids FROM {name} FINAL")[0]
    assert rows == {"n": old + len(seen.acknowledged), "ids": old + len(seen.acknowledged)}
    live = {row["id"] for row in server.sql(f"SELECT id FROM {name} WHERE id LIKE 'live-%'")}
    assert live == set(seen.acknowledged)


def test_a_new_field_on_activities(server: Server, tmp_path: Path) -> None:
    server.deploy(
        {
            "activities.datasource": ACTIVITIES,
            "activities_backup.datasource": BACKUP,
            "activities_backup_mv.pipe": pipe(
                "SELECT * FROM activities", "TYPE materialized", "DATASOURCE activities_backup"
            ),
            "total.pipe": pipe("SELECT count() AS n FROM activities"),
        }
    )
    send(server, "activities", *(activity(f"old-{number}") for number in range(OLD_ROWS)))
    new, new_backup = tmp_path / "activities.datasource", tmp_path / "activities_backup.datasource"
    country = "    `country` LowCardinality(String) `json:$.country` DEFAULT 'unknown',\n    `title` String"
    text = ACTIVITIES.replace("    `title` String", country)
    new_backup.write_text(BACKUP.replace("    `title` String", country), "utf-8")
    new.write_text(text.replace("ENGINE_SORTING_KEY id", "ENGINE_SORTING_KEY platform, id"), "utf-8")
    fill = "country=if(startsWith(id, 'old'), upper(title), 'unknown')"
    with traffic(server, "activities", activity, "total") as seen:
        refused = birdhouse(server, "evolve", "activities", "--to", str(new), "--fill", fill, code=1)
        assert "does not fit the Data Source 'activities_backup'" in refused and "country" in refused
        assert "altered in place" in birdhouse(server, "evolve", "activities_backup", "--to", str(new_backup))
        shown = birdhouse(server, "evolve", "activities", "--to", str(new), "--fill", fill, "--dry-run")
        assert "fill `country` LowCardinality(String) with" in shown and "steps would be taken, by a job" in shown
        assert "✓ activities has its new definition" in birdhouse(
            server, "evolve", "activities", "--to", str(new), "--fill", fill, "--keep", "activities_before"
        )
    refuse_loss(server, seen, "activities", OLD_ROWS)
    counts = [int(answer["n"]) for answer in seen.answers]
    assert counts == sorted(counts), "a reader has seen fewer rows than before"
    filled = server.sql("SELECT country, count() AS n FROM activities WHERE id LIKE 'old-1%' GROUP BY country")
    assert {(row["country"], row["n"]) for row in filled} == {
        (f"ABOUT OLD-{number}", 1) for number in range(OLD_ROWS) if str(number).startswith("1")
    }
    assert server.sql("SELECT DISTINCT country FROM activities WHERE id = 'live-0'") == [{"country": "unknown"}]
    assert server.sql(f"SELECT country FROM activities WHERE id = '{seen.acknowledged[-1]}'") == [{"country": "DE"}]
    # The view is the same, and was fed once with every row; the old rows are a data source.
    backup = server.sql("SELECT count() AS n, uniqExact(id) AS ids FROM activities_backup FINAL")[0]
    assert backup == {"n": OLD_ROWS + len(seen.acknowledged), "ids": OLD_ROWS + len(seen.acknowledged)}
    assert server.sql("SELECT count() AS n FROM activities_before")[0]["n"] >= OLD_ROWS
    assert "nothing to change" in birdhouse(server, "evolve", "activities", "--to", str(new))


def test_the_change_can_be_undone_with_the_datafile_of_before(server: Server, tmp_path: Path) -> None:
    server.deploy({"activities.datasource": ACTIVITIES, "total.pipe": pipe("SELECT count() AS n FROM activities")})
    send(server, "activities", *(activity(f"old-{number}") for number in range(100)))
    old, new = tmp_path / "old.datasource", tmp_path / "activities.datasource"
    old.write_text(ACTIVITIES, "utf-8")
    country = "    `country` String `json:$.country`,\n    `title` String"
    new.write_text(ACTIVITIES.replace("    `title` String", country).replace("KEY id", "KEY id, country"), "utf-8")
    with traffic(server, "activities", activity, "total") as seen:
        birdhouse(server, "evolve", "activities", "--to", str(new))
        refused = birdhouse(server, "evolve", "activities", "--to", str(old), code=1)
        assert "The column 'country' of 'activities' would be lost with its values" in refused
        birdhouse(server, "evolve", "activities", "--to", str(old), "--drop", "country")
    refuse_loss(server, seen, "activities", 100)
    assert server.get("/v0/datasources/activities.datasource").text == ACTIVITIES


def test_a_replicated_data_source_is_recreated_and_backfilled(server: Server, tmp_path: Path) -> None:
    """The backfill sends the rows that the database has: one of the old ones is gone from it, all have a new field."""
    server.deploy({"members.datasource": MEMBERS, "total.pipe": pipe("SELECT uniqExact(id) AS n FROM members")})
    send(server, "members", *(member(f"old-{number}") for number in range(1_000)))
    server.post("/v0/events", params={"name": "members"}, content='{"record": {"id": 5}}')
    new, records = tmp_path / "members.datasource", tmp_path / "members.ndjson"
    field = "    `reach` Int32 `json:$.record.reach` DEFAULT -1,\n    `score`"
    new.write_text(MEMBERS.replace("    `score`", field), "utf-8")
    rows = (member(f"old-{number}", reach=number) for number in range(1, 1_000))
    records.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    url = shlex.quote("/v0/events?name=members&wait=true")
    backfill = f'curl -sf "$TB_HOST"{url} -H "Authorization: Bearer $TB_TOKEN" --data-binary @{records}'
    with traffic(server, "members", member, "total") as seen:
        arguments = ("recreate", "members", "--to", str(new), "--backfill")
        failed = birdhouse(server, *arguments, "exit 3", code=1)
        assert "The backfill command ended with 3. Readers of 'members' see the old rows." in failed
        seen.wait_for_rows(5)
        early = birdhouse(server, *arguments, "true", code=1)
        assert "does not look complete" in early
        before = len(seen.acknowledged)
        done = birdhouse(server, *arguments, backfill)
        assert "✓ members has what was sent: " in done
    # Rows from before the first attempt went into the old table alone, and the backfill does not send them.
    live = {row["id"] for row in server.sql("SELECT id FROM members WHERE id LIKE 'live-%'")}
    assert set(seen.acknowledged[before:]) <= live <= set(seen.acknowledged)
    old = server.sql(
        "SELECT count() AS n, uniqExact(id) AS ids, sum(reach) AS r FROM members FINAL WHERE id LIKE 'old-%'"
    )
    assert old == [{"n": 999, "ids": 999, "r": sum(range(1_000))}]
    assert server.sql("SELECT count() AS n FROM members_quarantine") == [{"n": 1}]
    names = {each["name"] for each in server.get("/v0/datasources").json()["datasources"]}
    assert names == {"members"}
    assert {each["name"] for each in server.get("/v0/pipes").json()["pipes"]} == {"total"}


def test_a_backfill_can_be_given_up_and_ended_by_hand(server: Server) -> None:
    server.deploy({"members.datasource": MEMBERS, "total.pipe": pipe("SELECT uniqExact(id) AS n FROM members")})
    send(server, "members", *(member(f"old-{number}") for number in range(10)))
    assert "collected in members_backfill" in birdhouse(server, "recreate", "members", "--begin")
    send(server, "members", member("new-1"))
    state = server.get("/v0/datasources/members/backfill").json()
    assert (state["old_rows"], state["new_rows"], state["seems_complete"]) == (11, 1, False)
    assert "✓ members keeps all its rows" in birdhouse(server, "recreate", "members", "--abort")
    assert server.get("/v0/datasources/members/backfill").status_code == 404
    assert server.sql("SELECT count() AS n FROM members") == [{"n": 11}]
    birdhouse(server, "recreate", "members", "--begin")
    send(server, "members", member("new-2"))
    assert "members has what was sent: 1 row;" in birdhouse(server, "recreate", "members", "--finish", "--fewer")
    assert server.sql("SELECT id FROM members") == [{"id": "new-2"}]
    send(server, "members", member("new-3"))
    assert server.sql("SELECT count() AS n FROM members") == [{"n": 2}]
    assert "Give one of --backfill" in birdhouse(server, "recreate", "members", code=1)
    assert "No backfill of 'members' is under way" in birdhouse(server, "recreate", "members", "--finish", code=1)


def test_a_new_table_with_its_view_and_endpoint(server: Server, tmp_path: Path) -> None:
    server.deploy({"activities.datasource": ACTIVITIES, "total.pipe": pipe("SELECT count() AS n FROM activities")})
    project = tmp_path / "project"
    project.mkdir()
    (project / "members.datasource").write_text(MEMBERS, "utf-8")
    view = pipe("SELECT id, platform FROM activities", "TYPE materialized", "DATASOURCE platforms")
    (project / "platforms_mv.pipe").write_text(view, "utf-8")
    (project / "platforms.datasource").write_text(
        "SCHEMA >\n    `id` String,\n    `platform` String\n\nENGINE MergeTree\nENGINE_SORTING_KEY id\n", "utf-8"
    )
    (project / "people.pipe").write_text(pipe("SELECT count() AS n FROM members"), "utf-8")
    with traffic(server, "activities", activity, "total") as seen:
        birdhouse(server, "deploy", str(project))
        send(server, "members", member("first"))
        assert server.get("/v0/pipes/people.json").json()["data"] == [{"n": 1}]
        seen.wait_for_rows(5)
        after = len(seen.acknowledged)
    refuse_loss(server, seen, "activities", 0)
    viewed = server.sql("SELECT count() AS n, uniqExact(id) AS ids FROM platforms")[0]
    assert viewed["n"] == viewed["ids"]
    ids = {row["id"] for row in server.sql("SELECT id FROM platforms")}
    assert set(seen.acknowledged[after:]) <= ids <= set(seen.acknowledged)

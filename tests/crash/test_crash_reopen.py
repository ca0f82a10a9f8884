"""The same directory opened again gives everything back: after a stop, after a kill, in another time zone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from crash_server import Make, ServerProcess, copy, datasource, pipe, view

PROJECT = {
    "datasources/rows.datasource": 'TOKEN "writer" APPEND\n\n' + datasource("id UInt64", "at DateTime"),
    "datasources/ids.datasource": datasource("id UInt64"),
    "datasources/copied.datasource": datasource("id UInt64"),
    "pipes/to_ids.pipe": view("SELECT id FROM rows", "ids"),
    "pipes/copying.pipe": copy("SELECT id FROM rows", "copied", "append"),
    "pipes/total.pipe": 'TOKEN "reader" READ\n\n' + pipe("SELECT count() AS n FROM ids"),
}


def everything(server: ServerProcess) -> dict[str, Any]:
    """What a client can see, without what may differ: when it was looked at."""
    pipes = server.http.get("/v0/pipes").json()["pipes"]
    tokens = server.http.get("/v0/tokens").json()["tokens"]
    return {
        "local": server.http.get("/tokens").json(),
        "tokens": sorted((each["name"], each["token"], str(each["scopes"])) for each in tokens),
        "pipes": sorted((each["name"], each["id"], str(each.get("endpoint"))) for each in pipes),
        "datasources": sorted(
            (each["name"], each["id"]) for each in server.http.get("/v0/datasources").json()["datasources"]
        ),
        "texts": [
            server.http.get(f"/v0/{kind}/{name}").text
            for kind, name in (("pipes", "total.pipe"), ("pipes", "to_ids.pipe"), ("datasources", "rows.datasource"))
        ],
        "rows": [server.sql(f"SELECT * FROM {name} ORDER BY id") for name in ("rows", "ids", "copied")],
        "quarantine": server.value("SELECT count() FROM rows_quarantine"),
        "endpoint": server.http.get("/v0/pipes/total.json").json()["data"],
        "jobs": [(each["id"], each["status"]) for each in server.http.get("/v0/jobs").json()["jobs"]],
    }


def filled(server: ServerProcess) -> None:
    server.deploy(PROJECT)
    rows = [{"id": each, "at": "2024-05-01 10:00:00"} for each in range(5)]
    assert server.post_events("rows", *rows, {"id": "no number", "at": "2024-05-01"}).status_code == 200
    assert server.finished(server.post_copy("copying"))["status"] == "done"


def stopped(server: ServerProcess) -> None:
    assert server.stop() == 0


@pytest.mark.parametrize("end", [stopped, ServerProcess.kill])
def test_a_directory_that_is_opened_again_has_everything(
    server: ServerProcess, end: Callable[[ServerProcess], None]
) -> None:
    filled(server)
    before = everything(server)
    assert before["endpoint"] == [{"n": 5}]
    assert {"writer", "reader"} <= {name for name, _, _ in before["tokens"]}
    for _ in range(2):
        end(server)
        server.start()
        assert everything(server) == before


def test_the_time_zone_of_the_process_changes_no_answer(make_server: Make) -> None:
    server = make_server(environment={"TZ": "America/New_York"}).start()
    filled(server)
    answer = server.sql(
        "SELECT toString(now()) = toString(now('UTC')) AS same, toDateTime('2024-05-01 10:00:00') AS parsed, "
        "toUnixTimestamp(toDateTime('2024-05-01 10:00:00')) AS seconds, toDate(toDateTime(1714535999)) AS day, "
        "min(at) AS stored, toStartOfDay(min(at)) AS midnight, timezone() AS zone FROM rows"
    )
    assert answer == [
        {
            "same": 1,
            "parsed": "2024-05-01 10:00:00",
            "seconds": 1714557600,
            "day": "2024-05-01",
            "stored": "2024-05-01 10:00:00",
            "midnight": "2024-05-01 00:00:00",
            "zone": "UTC",
        }
    ]
    before = everything(server)
    server.stop()
    elsewhere = make_server(server.data_dir, environment={"TZ": "Asia/Kolkata"}).start()
    assert everything(elsewhere) == before
    zoned = "toUnixTimestamp(min(at)) AS seconds, toString(min(at)) AS text, toStartOfDay(min(at)) AS midnight"
    assert elsewhere.sql(f"SELECT {zoned} FROM rows") == [
        {"seconds": 1714557600, "text": "2024-05-01 10:00:00", "midnight": "2024-05-01 00:00:00"}
    ]
    assert elsewhere.post_events("rows", {"id": 9, "at": "2024-05-01 23:00:00"}).status_code == 200
    assert elsewhere.value("SELECT toUnixTimestamp(max(at)) FROM rows") == 1714604400


def test_rows_with_a_default_of_now_are_stored_in_utc_in_any_time_zone(make_server: Make) -> None:
    server = make_server(environment={"TZ": "America/New_York"}).start()
    server.deploy(
        {
            "datasources/stamped.datasource": (
                "SCHEMA >\n    `id` UInt64 `json:$.id`,\n    `at` DateTime `json:$.at` DEFAULT now(),\n"
                "    `day` Date `json:$.day` DEFAULT toDate(at)\n\nENGINE MergeTree\nENGINE_SORTING_KEY id\n"
            )
        }
    )
    assert server.post_events("stamped", {"id": 1}, {"id": 2, "at": "2024-05-01 23:30:00"}).status_code == 200
    rows = server.sql(
        "SELECT id, abs(toUnixTimestamp(at) - toUnixTimestamp(now())) < 60 AS fresh, day FROM stamped ORDER BY id"
    )
    assert [row["fresh"] for row in rows] == [1, 0]
    assert rows[1]["day"] == "2024-05-01"


def test_migrating_a_directory_again_changes_nothing(server: ServerProcess) -> None:
    filled(server)
    before = everything(server)

    def migrations() -> list[tuple[int]]:
        with sqlite3.connect(server.data_dir / "metadata.sqlite") as database:
            found: list[tuple[int]] = database.execute("SELECT number FROM migrations ORDER BY number").fetchall()
        database.close()
        return found

    assert server.stop() == 0
    known = migrations()
    assert known != []
    server.start()
    assert everything(server) == before
    assert server.stop() == 0
    assert migrations() == known


def test_a_directory_without_the_service_tables_of_today_gets_them(server: ServerProcess) -> None:
    """As one made by an older version would be: its service data sources are fewer."""
    filled(server)
    before = everything(server)
    assert server.stop() == 0
    with sqlite3.connect(server.data_dir / "metadata.sqlite") as database:
        database.execute(
            "DELETE FROM resources WHERE workspace_id = (SELECT id FROM workspaces WHERE name = 'tinybird')"
        )
    database.close()
    server.start()
    assert everything(server) == before
    assert server.value("SELECT count() >= 0 FROM tinybird.pipe_stats_rt") == 1


OF_THE_FIRST_VERSION = ("pipe_stats", "pipe_stats_rt", "pipe_stats_per_day")


def test_a_directory_of_the_first_version_keeps_its_statistics_and_gets_the_other_tables(server: ServerProcess) -> None:
    filled(server)
    assert server.http.get("/v0/pipes/total.json").status_code == 200
    recorded = "SELECT sum(view_count) FROM tinybird.pipe_stats WHERE pipe_name = 'total'"
    assert server.stop() == 0  # which writes what was noted
    with sqlite3.connect(server.data_dir / "metadata.sqlite") as database:
        services = "workspace_id = (SELECT id FROM workspaces WHERE name = 'tinybird')"
        database.execute(f"DELETE FROM resources WHERE {services} AND name NOT IN {OF_THE_FIRST_VERSION}")
        database.execute(f"UPDATE resources SET datafile = replace(datafile, '1000 * ', '') WHERE {services}")
    database.close()
    server.start()
    assert server.value(recorded) == 1
    assert server.http.get("/v0/pipes/total.json").status_code == 200
    assert server.http.post("/v0/service_datasources/refresh").status_code == 200
    assert server.value(recorded) == 2
    assert server.value("SELECT count() FROM tinybird.jobs_log WHERE job_type = 'copy'") == 1
    for table in ("datasources_ops_log", "block_log", "endpoint_errors", "sinks_ops_log", "releases_log"):
        assert server.value(f"SELECT count() FROM tinybird.{table}") == 0


def test_a_job_that_ended_right_before_a_crash_has_ended_in_the_log(server: ServerProcess) -> None:
    filled(server)
    job = server.finished(server.post_copy("copying"))
    server.kill()
    server.start()
    assert server.http.post("/v0/service_datasources/refresh").status_code == 200
    assert server.value(f"SELECT status FROM tinybird.jobs_log WHERE job_id = '{job['id']}'") == "done"

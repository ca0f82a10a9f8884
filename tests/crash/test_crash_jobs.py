"""A kill while copies run: a target is old or new, nothing is doubled, and every job and round comes to an end."""

from __future__ import annotations

import random
import time

import pytest
from crash_server import ServerProcess, copy, datasource, view, wait_for

OLD_ROWS = 1_000
NEW_ROWS = 1_200_000

PROJECT = {
    "datasources/target.datasource": datasource("n UInt64", "text String"),
    "datasources/seen.datasource": datasource("n UInt64"),
    "pipes/to_seen.pipe": view("SELECT n FROM target WHERE n % 1000 = 0", "seen"),
    "pipes/old.pipe": copy(f"SELECT number AS n, 'old' AS text FROM numbers({OLD_ROWS})", "target", "replace"),
    "pipes/replace_all.pipe": copy(
        f"SELECT number AS n, hex(sipHash128(number)) AS text FROM numbers({NEW_ROWS})", "target", "replace"
    ),
    "pipes/append_all.pipe": copy(
        f"SELECT number + {OLD_ROWS} AS n, hex(sipHash128(number)) AS text FROM numbers({NEW_ROWS})", "target", "append"
    ),
}


def prepared(server: ServerProcess) -> None:
    server.deploy(PROJECT)
    assert server.finished(server.post_copy("old"))["status"] == "done"


def rows(server: ServerProcess) -> dict[str, int]:
    return server.sql("SELECT count() AS rows, uniqExact(n) AS different, countIf(text = 'old') AS old FROM target")[0]


OLD = {"rows": OLD_ROWS, "different": OLD_ROWS, "old": OLD_ROWS}
REPLACED = {"rows": NEW_ROWS, "different": NEW_ROWS, "old": 0}
APPENDED = {"rows": OLD_ROWS + NEW_ROWS, "different": OLD_ROWS + NEW_ROWS, "old": OLD_ROWS}


def kill_and_check(server: ServerProcess, pipe: str, after: dict[str, int], seconds: float) -> None:
    job = server.post_copy(pipe)
    time.sleep(seconds)
    server.kill()
    server.start()
    seen = rows(server)
    ended = server.finished(job, seconds=60)
    assert ended["status"] == "done", ended
    assert rows(server) == after
    if pipe == "replace_all":
        assert seen in (OLD, REPLACED)
    else:
        assert OLD_ROWS <= seen["rows"] == seen["different"]
    assert server.stop() == 0
    assert server.tables_left_over() == []


@pytest.mark.parametrize("seconds", [0.02, 0.3])
def test_a_replace_copy_that_is_killed_leaves_old_or_new_rows(server: ServerProcess, seconds: float) -> None:
    prepared(server)
    kill_and_check(server, "replace_all", REPLACED, seconds)


@pytest.mark.parametrize("seconds", [0.1, 0.6])
def test_an_append_copy_that_is_killed_adds_every_row_once(server: ServerProcess, seconds: float) -> None:
    prepared(server)
    kill_and_check(server, "append_all", APPENDED, seconds)
    server.start()
    expected = len(range(0, OLD_ROWS + NEW_ROWS, 1000))
    appended = server.sql("SELECT count() AS rows, uniqExact(n) AS different FROM seen WHERE n >= 1000")[0]
    assert appended == {"rows": expected - 1, "different": expected - 1}


@pytest.mark.torture
@pytest.mark.parametrize(("pipe", "after"), [("replace_all", REPLACED), ("append_all", APPENDED)])
def test_copies_survive_kills_at_any_moment(server: ServerProcess, pipe: str, after: dict[str, int]) -> None:
    for _ in range(25):
        prepared(server)
        kill_and_check(server, pipe, after, random.uniform(0, 2.5))
        server.start()


def test_a_job_that_is_killed_again_and_again_still_ends(server: ServerProcess) -> None:
    prepared(server)
    job = server.post_copy("append_all")
    for seconds in (0.1, 0.5, 0.2):
        time.sleep(seconds)
        server.restarted()
    assert server.finished(job, seconds=60)["status"] == "done"
    assert rows(server) == APPENDED


def test_left_over_tables_of_jobs_that_are_gone_are_dropped_at_the_start(server: ServerProcess) -> None:
    prepared(server)
    databases = [each.stem for each in (server.data_dir / "engine" / "metadata").glob("w_*.sql")]
    assert server.stop() == 0
    table = "staging_0123456789abcdef0123456789abcdef_rows"
    rows = "ENGINE = MergeTree ORDER BY n AS SELECT number AS n FROM numbers(10)"
    server.run_in_engine(*(f"CREATE TABLE {database}.{table} {rows}" for database in databases))
    assert len(server.tables_left_over()) == len(databases) == 2
    server.start()
    assert server.stop() == 0
    assert server.tables_left_over() == []


ROUND_ROWS = 150_000
ROUND = {
    "datasources/springs.datasource": datasource("n UInt64", "round DateTime"),
    "datasources/rivers.datasource": datasource("n UInt64", "round DateTime"),
    "datasources/seas.datasource": datasource("round DateTime", "rows UInt64", "sum UInt64"),
    "datasources/started.datasource": datasource("n UInt64"),
    "pipes/to_springs.pipe": copy(
        f"SELECT number AS n, toDateTime({{{{ String(job_timestamp) }}}}, 'UTC') AS round FROM numbers({ROUND_ROWS})",
        "springs",
        "replace",
    ).replace("    SELECT", "    %\n    SELECT"),
    "pipes/to_rivers.pipe": copy("SELECT n, round FROM springs", "rivers", "append")
    + 'TAGS "run_after=upstream&shard_key=n&shards=3"\n',
    "pipes/to_seas.pipe": copy(
        "SELECT round, count() AS rows, sum(n) AS sum FROM rivers GROUP BY round", "seas", "replace"
    )
    + 'TAGS "run_after=upstream"\n',
    "pipes/at_start.pipe": copy("SELECT 1 AS n", "started", "append") + "COPY_SCHEDULE @once\n",
}
"""Springs are replaced, rivers take each round of them, and seas sum up the rivers."""


def round_ended(server: ServerProcess) -> bool:
    """Whether nothing waits or works any more, and what followed the springs has followed."""
    jobs = server.http.get("/v0/jobs").json()["jobs"]
    done = [job["pipe_name"] for job in jobs if job["status"] == "done"]
    unfinished = [job for job in jobs if job["status"] in ("waiting", "working", "cancelling")]
    assert [job for job in jobs if job["status"] in ("error", "cancelled")] == []
    counts = {done.count(name) for name in ("to_springs", "to_rivers", "to_seas")}
    return not unfinished and len(counts) == 1 and counts != {0}


def kill_in_round(server: ServerProcess, rounds: int, kills: list[float]) -> None:
    server.post_copy("to_springs")
    for seconds in kills:
        time.sleep(seconds)
        server.restarted()
    wait_for(lambda: round_ended(server), seconds=90)
    (found,) = server.sql("SELECT count() AS rounds, min(rows) AS least, max(rows) AS most, max(sum) AS sum FROM seas")
    total = ROUND_ROWS * (ROUND_ROWS - 1) // 2
    assert found == {"rounds": rounds, "least": ROUND_ROWS, "most": ROUND_ROWS, "sum": total}
    assert server.value("SELECT count() - uniqExact(n, round) FROM rivers") == 0
    assert server.value("SELECT count() FROM springs") == ROUND_ROWS


def test_a_round_that_is_killed_ends_as_one_that_is_not(server: ServerProcess) -> None:
    server.deploy(ROUND)
    kill_in_round(server, 1, [0.3, 0.5])
    assert server.value("SELECT count() FROM started") == 1
    kill_in_round(server, 2, [])
    assert server.stop() == 0
    assert server.tables_left_over() == []


@pytest.mark.torture
def test_rounds_survive_kills_at_any_moment(server: ServerProcess) -> None:
    server.deploy(ROUND)
    for rounds in range(1, 21):
        kill_in_round(server, rounds, [random.uniform(0, 2) for _ in range(random.randint(1, 2))])
    assert server.value("SELECT count() FROM started") == 1
    assert server.stop() == 0
    assert server.tables_left_over() == []

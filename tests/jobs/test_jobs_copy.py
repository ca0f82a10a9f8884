from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from jobs_home import Home, copy_pipe, numbers_table, view_pipe

from birdhouse.deploy.draft import Desired
from birdhouse.errors import Conflict, InvalidParameter
from birdhouse.jobs import copy, staging
from birdhouse.jobs.copy import copy_payload
from birdhouse.jobs.job import JobStatus
from birdhouse.language.datafile.parse import parse_pipe


async def _push(home: Home, sql: str, mode: str = "append", **more: str) -> None:
    await home.push(source=numbers_table("a"), target=numbers_table("a", "b"), p=copy_pipe(sql, mode=mode), **more)
    await home.append("source", "a", [1, 2, 3])


async def test_append_adds_rows_by_column_name_and_triggers_views(home: Home) -> None:
    seen = {"seen": numbers_table("a"), "v": view_pipe("SELECT a FROM target", "seen")}
    await _push(home, "SELECT a * 10 AS b, a FROM source", **seen)
    for _ in range(2):
        job = await home.queue.finished((await home.copy("p")).id)
        assert job.status is JobStatus.DONE, job.error
        assert job.statistics["row_count"] == 3 and job.statistics["bytes"] > 0
    assert await home.ask("count(), sum(a), sum(b)", "target") == "6\t12\t120"
    assert await home.ask("count()", "seen") == "6"
    assert await home.staging_tables() == []


async def test_replace_takes_the_place_of_what_was_there(home: Home) -> None:
    await _push(home, "SELECT a FROM source", mode="replace")
    await home.append("target", "a", [77])
    job = await home.queue.finished((await home.copy("p")).id)
    assert job.status is JobStatus.DONE, job.error
    assert await home.ask("arraySort(groupArray(a))", "target") == "[1,2,3]"
    assert await home.staging_tables() == []


async def test_a_run_may_choose_its_mode_and_parameters(home: Home) -> None:
    await _push(home, "%\n    SELECT a + {{UInt64(plus, 0)}} AS a FROM source")
    await home.append("target", "a", [77])
    job = await home.copy("p", mode="replace", parameters={"plus": "100"})
    assert (await home.queue.finished(job.id)).error is None
    assert await home.ask("arraySort(groupArray(a))", "target") == "[101,102,103]"


async def test_job_timestamp_is_the_time_of_asking(home: Home) -> None:
    await _push(
        home, "%\n    SELECT toUnixTimestamp(toDateTime({{String(job_timestamp)}}, 'UTC')) AS a FROM source LIMIT 1"
    )
    await home.queue.finished((await home.copy("p")).id)
    assert await home.ask("max(a)", "target") == str(int(home.clock.now().timestamp()))


async def test_a_copy_needs_a_copy_pipe_and_a_known_mode(home: Home) -> None:
    await _push(home, "SELECT a FROM source", plain="NODE n\nSQL >\n    SELECT 1 AS a\n")
    with pytest.raises(Conflict):
        copy_payload(home.workspace, "plain", {}, at=home.clock.now())
    with pytest.raises(InvalidParameter):
        copy_payload(home.workspace, "p", {}, at=home.clock.now(), mode="upsert")


async def test_a_reader_never_sees_a_replaced_target_empty_or_half(home: Home) -> None:
    await home.push(target=numbers_table("a"), p=copy_pipe("SELECT number AS a FROM numbers(200000)", mode="replace"))
    await home.load("target", "SELECT number FROM numbers(200000)")
    seen: set[str] = set()

    async def read() -> None:
        while True:
            seen.add(await home.ask("count()", "target"))

    reader = asyncio.create_task(read())
    for _ in range(5):
        assert (await home.queue.finished((await home.copy("p")).id)).status is JobStatus.DONE
    reader.cancel()
    (ending,) = await asyncio.gather(reader, return_exceptions=True)
    assert isinstance(ending, asyncio.CancelledError), ending
    assert seen == {"200000"}


@pytest.mark.parametrize("mode", ["append", "replace"])
async def test_a_result_may_have_types_that_no_table_can_have(home: Home, mode: str) -> None:
    await _push(home, "SELECT toLowCardinality(a) AS a, NULL AS b FROM source", mode=mode)
    job = await home.queue.finished((await home.copy("p")).id)
    assert job.error is None
    assert await home.ask("groupArray((a, b))", "target") == "[(1,0),(2,0),(3,0)]"


@pytest.mark.parametrize("mode", ["append", "replace"])
async def test_a_failing_copy_leaves_the_target_as_it_was(home: Home, mode: str) -> None:
    sql = "SELECT number + throwIf(number = 2000000) AS a FROM numbers(3000000)"
    await _push(home, sql, mode=mode)
    await home.append("target", "a", [77])
    job = await home.queue.finished((await home.copy("p")).id)
    assert job.status is JobStatus.ERROR and "throwIf" in (job.error or "")
    assert await home.ask("groupArray(a)", "target") == "[77]"
    assert await home.staging_tables() == []


async def test_a_result_with_a_column_the_target_lacks_is_refused(home: Home) -> None:
    await _push(home, "%\n    SELECT a{% if defined(z) %}, 1 AS z{% end %} FROM source")
    job = await home.queue.finished((await home.copy("p", parameters={"z": "1"})).id)
    assert job.status is JobStatus.ERROR and "'z'" in (job.error or "") and "a, b" in (job.error or "")


@pytest.mark.parametrize("mode", ["append", "replace"])
async def test_a_running_copy_can_be_cancelled(home: Home, mode: str) -> None:
    sql = "SELECT max(number) AS a FROM numbers(10000000000000) WHERE sipHash64(number) % 3 = 1"
    await _push(home, sql, mode=mode)
    await home.append("target", "a", [77])
    running = asyncio.Event()

    async def tell() -> None:
        running.set()

    home.gate.before["INSERT INTO `"] = tell
    job = await home.copy("p")
    await running.wait()
    assert (await home.queue.cancel(job.id)).status is JobStatus.CANCELLING
    assert (await home.queue.finished(job.id)).status is JobStatus.CANCELLED
    assert await home.ask("groupArray(a)", "target") == "[77]"
    assert await home.staging_tables() == []


IN_STEPS = ["CREATE TABLE", "sipHash64", "insert_deduplication_token"]
AT_ONCE = ["CREATE TABLE", "sipHash64", "EXCHANGE"]


@pytest.mark.parametrize(
    ("mode", "has_view", "moment"),
    [
        *(("append", True, moment) for moment in IN_STEPS),
        *(("append", False, moment) for moment in (*AT_ONCE, "ATTACH PARTITION")),
        *(("replace", True, moment) for moment in AT_ONCE),
    ],
)
@pytest.mark.parametrize("side", ["before", "after"])
async def test_an_interrupted_copy_is_done_exactly_once_by_the_next_start(
    home: Home, monkeypatch: pytest.MonkeyPatch, mode: str, has_view: bool, moment: str, side: str
) -> None:
    monkeypatch.setattr(staging, "MOVED_ROWS_MAX", 1000)
    monkeypatch.setattr(copy, "MOVED_ROWS_MAX", 1000)
    seen = {"seen": numbers_table("a"), "v": view_pipe("SELECT a FROM target", "seen")} if has_view else {}
    await home.push(
        target=numbers_table("a"),
        p=copy_pipe("SELECT number AS a FROM numbers(3500) WHERE sipHash64(number) >= 0", mode=mode),
        **seen,
    )
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        await never.wait()

    getattr(home.gate, side)[moment] = hang
    job = await home.copy("p")
    await reached.wait()
    await home.restart()
    ended = await home.queue.finished(job.id)
    assert ended.status is JobStatus.DONE, ended.error
    assert await home.ask("count(), uniqExact(a)", "target") == "3500\t3500"
    if has_view:
        assert await home.ask("count(), uniqExact(a)", "seen") == "3500\t3500"
    assert await home.staging_tables() == []


@pytest.mark.parametrize("rows", [3500, 0])
async def test_an_append_that_was_interrupted_when_all_was_done_is_done(home: Home, rows: int) -> None:
    await home.push(target=numbers_table("a"), p=copy_pipe(f"SELECT number AS a FROM numbers({rows})"))
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        await never.wait()

    async def watch_the_last_drop() -> None:
        home.gate.after["_rows` SYNC"] = hang

    home.gate.after["INSERT INTO `"] = watch_the_last_drop  # the rows are gathered by then
    await home.push(seen=numbers_table("a"), v=view_pipe("SELECT a FROM target", "seen"))
    job = await home.copy("p")
    await reached.wait()
    assert await home.staging_tables() == []
    await home.restart()
    ended = await home.queue.finished(job.id)
    assert (ended.status, ended.statistics["row_count"]) == (JobStatus.DONE, rows), ended.error
    assert await home.ask("count()", "target") == str(rows)


MANY = 150_000
"""More than one step takes."""


async def test_many_appended_rows_come_behind_those_that_are_there_or_arrive(home: Home) -> None:
    """Of rows with one key, the engine keeps the last one."""
    engine = "\nENGINE ReplacingMergeTree\nENGINE_SORTING_KEY a\n"
    table = f"SCHEMA >\n    `a` UInt64,\n    `b` UInt64\n{engine}"
    await home.push(target=table, p=copy_pipe(f"SELECT number AS a, 2 AS b FROM numbers({MANY})"))
    await home.load("target", f"SELECT number * 2, 1 FROM numbers({MANY})")

    async def arrive() -> None:
        await home.append("target", "a", [1, MANY * 2 + 1])

    home.gate.after["INSERT INTO `"] = arrive
    ended = await home.queue.finished((await home.copy("p")).id)
    assert (ended.error, ended.statistics["row_count"]) == (None, MANY)
    assert await home.query("SELECT b, count() FROM target FINAL GROUP BY b ORDER BY b") == [
        "0\t1",
        f"1\t{MANY // 2}",
        f"2\t{MANY}",
    ]
    assert await home.staging_tables() == []


async def test_an_append_that_reads_its_own_target_doubles_it_once(home: Home) -> None:
    await home.push(target=numbers_table("a"), p=copy_pipe(f"SELECT a + {MANY} AS a FROM target"))
    await home.load("target", f"SELECT number FROM numbers({MANY})")
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        await never.wait()

    home.gate.after["EXCHANGE TABLES"] = hang
    job = await home.copy("p")
    await reached.wait()
    await home.restart()
    ended = await home.queue.finished(job.id)
    assert (ended.error, ended.statistics["row_count"]) == (None, MANY)
    assert await home.ask("count(), uniqExact(a)", "target") == f"{MANY * 2}\t{MANY * 2}"


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_replace_that_reads_its_own_target_runs_once_whatever_interrupts_it(home: Home, moment: str) -> None:
    await home.push(target=numbers_table("a"), p=copy_pipe("SELECT a + 1 AS a FROM target", mode="replace"))
    await home.append("target", "a", [1, 2])
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        await never.wait()

    getattr(home.gate, moment)["EXCHANGE TABLES"] = hang
    job = await home.copy("p")
    await reached.wait()
    await home.restart()
    ended = await home.queue.finished(job.id)
    assert (ended.status, ended.statistics["row_count"]) == (JobStatus.DONE, 2), ended.error
    assert await home.ask("arraySort(groupArray(a))", "target") == "[2,3]"
    assert await home.staging_tables() == []


async def test_an_append_whose_gathered_rows_are_gone_says_so(home: Home) -> None:
    await _push(home, "SELECT a FROM source")
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        await never.wait()

    home.gate.before["insert_deduplication_token"] = hang
    job = await home.copy("p")
    await reached.wait()
    await home.queue.stop()
    (table,) = await home.staging_tables()
    await home.gate.execute(f"TRUNCATE TABLE `{home.workspace.database}`.`{table}`")
    await home.restart()
    ended = await home.queue.finished(job.id)
    assert ended.status is JobStatus.ERROR and "0 of 3 rows" in (ended.error or "")
    assert await home.ask("count()", "target") == "0"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def csv_url(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "x.csv").write_text("5\n6\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/x.csv"
        server.shutdown()
        thread.join()


async def test_a_copy_may_read_from_outside(home: Home, csv_url: str) -> None:
    await home.push(target=numbers_table("a"))
    text = copy_pipe(f"SELECT a FROM url('{csv_url}', 'CSV', 'a UInt64')")
    wanted = [Desired(parse_pipe(text, name="p"), text)]
    await home.deployer.deploy(home.workspace_id, wanted, ignore_sql_errors=True)
    job = await home.queue.finished((await home.copy("p")).id)
    assert job.status is JobStatus.DONE, job.error
    assert await home.ask("arraySort(groupArray(a))", "target") == "[5,6]"


async def test_each_step_of_an_append_is_one_block(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "MOVED_ROWS_MAX", 90_000)
    await home.push(target=numbers_table("a"), p=copy_pipe("SELECT number AS a FROM numbers_mt(250000)"))
    await home.push(seen=numbers_table("a"), v=view_pipe("SELECT a FROM target", "seen"))
    assert (await home.queue.finished((await home.copy("p")).id)).error is None
    assert await home.ask("count(), uniqExact(a), uniqExact(_block_number)", "target") == "250000\t250000\t3"


@pytest.mark.parametrize("mode", ["append", "replace"])
@pytest.mark.parametrize(
    "change",
    ["ADD COLUMN c UInt8", "MODIFY TTL toDateTime(a) + INTERVAL 90 YEAR", "ADD INDEX i a TYPE minmax GRANULARITY 1"],
)
async def test_a_target_that_was_altered_meanwhile_is_left_as_it_is(
    home: Home, monkeypatch: pytest.MonkeyPatch, mode: str, change: str
) -> None:
    monkeypatch.setattr(copy, "MOVED_ROWS_MAX", 2)
    await _push(home, "SELECT a FROM source", mode=mode)
    table = home.workspace.datasource("target").table

    async def alter() -> None:
        await home.gate.execute(f"ALTER TABLE {table} {change}")

    home.gate.after["INSERT INTO `"] = alter
    job = await home.queue.finished((await home.copy("p")).id)
    assert job.status is JobStatus.ERROR
    assert job.error == "The definition of 'target' was changed meanwhile. Run it again."
    assert await home.staging_tables() == []

"""What becomes of the targets of views when the rows of their source are appended, replaced, deleted or truncated."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jobs_home import LIMITS, Home, Hook, copy_pipe, numbers_table, view_pipe

from birdhouse.deploy.apply import finish_interrupted
from birdhouse.engine.exchange import Exchange
from birdhouse.engine.tables import stored_tables
from birdhouse.engine.types import TableName
from birdhouse.errors import BirdhouseError, Conflict
from birdhouse.ingest.files import FileFormat, Files, Imported
from birdhouse.ingest.replace import Replacements
from birdhouse.ingest.target import Target
from birdhouse.ingest.truncate import truncate
from birdhouse.jobs.condition import checked_condition
from birdhouse.jobs.delete import delete_payload
from birdhouse.jobs.job import JobKind, JobStatus

SUMS = "SCHEMA >\n    `k` UInt64,\n    `n` UInt64\n\nENGINE SummingMergeTree\nENGINE_SORTING_KEY k\n"
"""How many rows there are of each number modulo 2."""
BY_TENS = 'ENGINE_PARTITION_KEY "intDiv(a, 10)"\n'


async def cascade(home: Home) -> None:
    """source → doubled → per_two, and source with a join → named."""
    await home.push(
        source=numbers_table("a"),
        doubled=numbers_table("a"),
        per_two=SUMS,
        lookup=numbers_table("a", "b"),
        named=numbers_table("a", "b"),
    )
    await home.load("lookup", "SELECT number, number * 100 FROM numbers(1000)")
    await home.push(
        to_doubled=view_pipe("SELECT a * 2 AS a FROM source", "doubled"),
        to_per_two=view_pipe("SELECT a % 4 AS k, count() AS n FROM doubled GROUP BY k", "per_two"),
        to_named=view_pipe("SELECT s.a AS a, l.b AS b FROM source s JOIN lookup l ON s.a = l.a", "named"),
    )
    await home.append("source", "a", list(range(10)))


async def agree(home: Home) -> list[int]:
    """The rows of the source, once everything below is what they give."""
    rows = await home.values("source")
    assert await home.values("doubled") == [2 * each for each in rows]
    per_two = [sum(2 * each % 4 == k for each in rows) for k in (0, 2)]
    assert await home.ask("sumIf(n, k = 0), sumIf(n, k = 2)", "per_two") == f"{per_two[0]}\t{per_two[1]}"
    assert await home.values("named", "b") == [100 * each for each in rows]
    assert await home.staging_tables() == []
    return rows


async def replace(
    home: Home, tmp_path: Path, name: str, rows: list[int], condition: str | None = None, **options: Any
) -> Imported:
    """As an import with mode replace does."""
    datasource = home.workspace.datasource(name)
    path = tmp_path / f"{uuid.uuid4().hex}.csv"
    path.write_text("a\n" + "".join(f"{each}\n" for each in rows))
    files, import_id = Files(home.gate, tmp_path), uuid.uuid4().hex

    def fill(target: Target) -> Awaitable[Imported]:
        return files.append(target, path, FileFormat.CSV, import_id=import_id)

    target = Target(datasource.table, datasource.quarantine, datasource.definition.columns, name)
    if condition is not None:
        condition = checked_condition(home.workspace, condition)
    replacements = Replacements(home.gate, home.catalog, LIMITS)
    return await replacements.replace(
        home.workspace_id, target, fill, import_id=import_id, condition=condition, **options
    )


async def copied(home: Home, pipe: str) -> None:
    job = await home.queue.finished((await home.copy(pipe)).id)
    assert job.status is JobStatus.DONE, job.error


async def test_an_append_reaches_every_view_once(home: Home) -> None:
    await cascade(home)
    assert await agree(home) == list(range(10))
    await home.push(p=copy_pipe("SELECT number + 20 AS a FROM numbers(5)", "source"))
    await copied(home, "p")
    assert await agree(home) == [*range(10), *range(20, 25)]


async def test_truncating_and_deleting_go_no_further(home: Home) -> None:
    await cascade(home)
    payload = delete_payload(home.workspace, "source", "a < 5")
    job = await home.queue.finished((await home.queue.submit(home.workspace_id, JobKind.DELETE, payload)).id)
    assert job.status is JobStatus.DONE, job.error
    assert await home.values("source") == [5, 6, 7, 8, 9]
    await truncate(home.gate, home.workspace, home.workspace.datasource("source"))
    assert await home.values("source") == []
    assert len(await home.values("doubled")) == len(await home.values("named")) == 10


async def test_a_file_in_place_of_all_rows_is_followed_by_what_views_made_of_them(home: Home, tmp_path: Path) -> None:
    await cascade(home)
    imported = await replace(home, tmp_path, "source", [100, 101, 102])
    assert imported.rows == 3
    assert await agree(home) == [100, 101, 102]
    await home.append("source", "a", [7])
    assert await agree(home) == [7, 100, 101, 102]


async def test_a_copy_in_place_of_all_rows_is_followed_by_what_views_made_of_them(home: Home) -> None:
    await cascade(home)
    await home.push(p=copy_pipe("SELECT number + 50 AS a FROM numbers(4)", "source", mode="replace"))
    await copied(home, "p")
    assert await agree(home) == [50, 51, 52, 53]
    await copied(home, "p")
    assert await agree(home) == [50, 51, 52, 53]


async def test_a_target_that_is_replaced_itself_leaves_its_source_alone(home: Home, tmp_path: Path) -> None:
    await cascade(home)
    await replace(home, tmp_path, "doubled", [4, 6])
    assert len(await home.values("source")) == 10
    assert await home.values("doubled") == [4, 6]
    assert await home.ask("sumIf(n, k = 0), sumIf(n, k = 2)", "per_two") == "1\t1"


async def partitioned(home: Home, *, target_key: str = BY_TENS) -> None:
    """source → same → last, all in partitions of ten; 0 to 39 are in."""
    await home.push(
        source=numbers_table("a") + BY_TENS,
        same=numbers_table("a") + target_key,
        last=numbers_table("a") + BY_TENS,
        to_same=view_pipe("SELECT a FROM source", "same"),
        to_last=view_pipe("SELECT a FROM same", "last"),
    )
    await home.append("source", "a", list(range(40)))


async def all_are(home: Home, expected: list[int], *names: str) -> None:
    for name in names or ("source", "same", "last"):
        assert await home.values(name) == expected, name
    assert await home.staging_tables() == []


async def test_a_condition_makes_the_partitions_it_touches_again(home: Home, tmp_path: Path) -> None:
    await partitioned(home)
    # What these tables have in partitions that are not touched is not of the source, and stays.
    await home.append("same", "a", [399])
    imported = await replace(home, tmp_path, "source", [15, 25, 99], "a IN (12, 13, 15, 25)")
    assert imported.rows == 2
    expected = sorted({*range(40)} - {12, 13})
    await all_are(home, expected, "source")
    await all_are(home, [*expected, 399], "same", "last")


async def test_a_condition_that_touches_nothing_changes_nothing(home: Home, tmp_path: Path) -> None:
    await partitioned(home)
    assert (await replace(home, tmp_path, "source", [1, 2], "a > 1000")).rows == 0
    await all_are(home, list(range(40)))


async def test_without_partitions_everything_below_is_made_again(home: Home, tmp_path: Path) -> None:
    await cascade(home)
    await replace(home, tmp_path, "source", [3, 300], "a = 3 OR a >= 8")
    assert await agree(home) == [0, 1, 2, 3, 4, 5, 6, 7, 300]


@pytest.mark.parametrize("condition", [None, "a >= 0"])
async def test_other_partitions_below_are_refused_or_left_alone(
    home: Home, tmp_path: Path, condition: str | None
) -> None:
    await partitioned(home, target_key='ENGINE_PARTITION_KEY "a % 2"\n')
    if condition is not None:
        with pytest.raises(Conflict, match="fill 'same' from it") as refused:
            await replace(home, tmp_path, "source", [5], condition)
        assert "skip_incompatible_partition_key" in refused.value.hint
        await all_are(home, list(range(40)))
        await replace(home, tmp_path, "source", [5], condition, skip_incompatible=True)
        await all_are(home, [5], "source")
        await all_are(home, list(range(40)), "same", "last")
    else:
        await replace(home, tmp_path, "source", [5])
        await all_are(home, [5])


async def test_a_view_that_moves_rows_to_other_partitions_is_refused(home: Home, tmp_path: Path) -> None:
    await partitioned(home)
    await home.push(moved=numbers_table("a") + BY_TENS, to_moved=view_pipe("SELECT a + 10 AS a FROM source", "moved"))
    with pytest.raises(Conflict, match="fill 'moved' from it"):
        await replace(home, tmp_path, "source", [5], "a < 10")
    await all_are(home, list(range(40)))


async def test_rows_that_come_while_some_are_replaced_stay(home: Home, tmp_path: Path) -> None:
    """Also those for which the condition holds: they came after the moment of the replace."""
    await partitioned(home)
    home.gate.after["AS SELECT * FROM"] = soon(home, partial(home.append, "source", "a", [5, 6, 41]))
    home.gate.before["INSERT INTO `"] = partial(home.append, "source", "a", [17])
    home.gate.before["EXCHANGE"] = soon(home, partial(home.append, "source", "a", [8]))
    await replace(home, tmp_path, "source", [1, 2], "a < 10")
    await done(home)
    await all_are(home, sorted([1, 2, 5, 6, 8, 17, 41, *range(10, 40)]))


def soon(home: Home, hook: Hook) -> Hook:
    """For a moment in which inserts are held: they wait, so nobody may wait for them here."""

    async def begin() -> None:
        home.tasks.append(asyncio.ensure_future(hook()))
        await asyncio.sleep(0)

    return begin


async def done(home: Home) -> None:
    while home.tasks:
        await home.tasks.pop()


async def test_rows_that_come_while_all_are_replaced_go_with_the_others(home: Home, tmp_path: Path) -> None:
    await cascade(home)
    home.gate.before["EXCHANGE"] = soon(home, partial(home.append, "source", "a", [9]))
    home.gate.after_insert["_new_"] = partial(home.append, "source", "a", [7])
    await replace(home, tmp_path, "source", [1, 2])
    await done(home)
    assert await agree(home) == [1, 2, 9]


async def two_feeders(home: Home, other: str) -> None:
    """`first` and `second` both feed `both`, which feeds `further`."""
    await home.push(
        first=numbers_table("a"), second=other, both=numbers_table("a"), further=numbers_table("a"),
        from_first=view_pipe("SELECT a FROM first", "both"),
        from_second=view_pipe("SELECT a + 1000 AS a FROM second", "both"),
        to_further=view_pipe("SELECT a FROM both", "further"),
    )  # fmt: skip
    await home.append("first", "a", [1, 2])
    await home.append("second", "a", [1, 2])


async def test_rows_of_another_feeder_stay_also_those_that_come_meanwhile(home: Home, tmp_path: Path) -> None:
    await two_feeders(home, numbers_table("a"))
    home.gate.after["CLONE AS"] = soon(home, partial(home.append, "second", "a", [3]))
    home.gate.after_insert["_new_"] = partial(home.append, "second", "a", [4])
    await replace(home, tmp_path, "first", [7])
    await home.append("second", "a", [5])
    await done(home)
    for name in ("both", "further"):
        assert await home.values(name) == [7, 1001, 1002, 1003, 1004, 1005]
    assert await home.staging_tables() == []


@pytest.mark.parametrize(
    "other",
    [
        numbers_table("a").replace("ENGINE MergeTree\nENGINE_SORTING_KEY a", "ENGINE Null"),
        numbers_table("a", "t") + 'ENGINE_TTL "toDateTime(t) + toIntervalYear(200)"\n',
    ],
    ids=["stores nothing", "forgets"],
)
async def test_rows_of_a_feeder_that_could_not_be_made_again_stop_the_replace(
    home: Home, tmp_path: Path, other: str
) -> None:
    await two_feeders(home, other)
    with pytest.raises(Conflict, match="'from_second' made of 'second', which does not keep its rows"):
        await replace(home, tmp_path, "first", [7])
    assert await home.values("first") == [1, 2]
    assert await home.values("both") == [1, 2, 1001, 1002]
    assert await home.staging_tables() == []


async def test_a_view_that_fails_on_the_new_rows_leaves_everything_as_it_was(home: Home, tmp_path: Path) -> None:
    await cascade(home)
    await home.push(bad=numbers_table("a"), to_bad=view_pipe("SELECT a + throwIf(a = 100) AS a FROM doubled", "bad"))
    with pytest.raises(Conflict, match="'to_bad' fails on the new rows"):
        await replace(home, tmp_path, "source", [50])
    await home.push(p=copy_pipe("SELECT 50 AS a", "source", mode="replace"))
    job = await home.queue.finished((await home.copy("p")).id)
    assert job.status is JobStatus.ERROR
    assert await agree(home) == list(range(10))


async def test_a_failing_exchange_takes_back_those_before_it(home: Home, tmp_path: Path) -> None:
    await cascade(home)

    async def fail() -> None:
        raise BirdhouseError("no")

    async def fail_at_the_next() -> None:
        home.gate.before["EXCHANGE"] = fail

    home.gate.after["EXCHANGE"] = fail_at_the_next
    with pytest.raises(BirdhouseError, match="no"):
        await replace(home, tmp_path, "source", [50])
    assert await agree(home) == list(range(10))
    assert await home.catalog.exchanges(home.workspace_id) == ()


async def test_exchanges_that_a_crash_interrupted_are_finished(home: Home) -> None:
    await home.push(one=numbers_table("a"), two=numbers_table("a"))
    exchanges = []
    for number, name in enumerate(("one", "two")):
        table = home.workspace.datasource(name).table
        stage = TableName(table.database, f"staging_x_{name}")
        await home.gate.execute(f"CREATE TABLE {stage} AS {table}")
        await home.gate.execute(f"INSERT INTO {stage} SELECT {number}")
        stored = await stored_tables(home.gate, table.database, [stage.table])
        exchanges.append(Exchange(stage, table, stored[stage.table].uuid))
    await home.catalog.keep_exchanges(home.workspace_id, exchanges)
    await home.gate.execute(f"EXCHANGE TABLES {exchanges[0].stage} AND {exchanges[0].table}")
    for _ in range(2):
        await finish_interrupted(home.gate, home.catalog, home.workspace)
        assert [await home.values(name) for name in ("one", "two")] == [[0], [1]]
        assert await home.catalog.exchanges(home.workspace_id) == ()


async def test_readers_never_see_a_target_empty_or_half(home: Home) -> None:
    await home.push(
        source=numbers_table("a"), target=numbers_table("a"), v=view_pipe("SELECT a FROM source"),
        p=copy_pipe("SELECT number AS a FROM numbers(200000)", "source", mode="replace"),
    )  # fmt: skip
    await copied(home, "p")
    seen: set[str] = set()

    async def read() -> None:
        while True:
            seen.add(await home.ask("count()", "target"))

    reader = asyncio.create_task(read())
    for _ in range(3):
        await copied(home, "p")
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    assert seen == {"200000"}


async def test_views_that_change_meanwhile_stop_the_replace(home: Home, tmp_path: Path) -> None:
    await cascade(home)
    change = partial(home.push, to_doubled=view_pipe("SELECT a * 2 AS a FROM source WHERE a != 55", "doubled"))
    home.gate.after_insert["_new_"] = change
    with pytest.raises(Conflict, match="views on 'source' were changed meanwhile"):
        await replace(home, tmp_path, "source", [55])
    assert await agree(home) == list(range(10))


async def test_a_target_that_is_dropped_meanwhile_stops_the_replace(home: Home, tmp_path: Path) -> None:
    await cascade(home)
    table = home.workspace.datasource("named").table
    home.gate.after_insert["_new_"] = partial(home.gate.execute, f"DROP TABLE {table} SYNC")
    with pytest.raises(Conflict, match="definition of 'named' was changed meanwhile"):
        await replace(home, tmp_path, "source", [55])
    assert await home.values("source") == list(range(10))


async def test_the_last_row_still_wins_where_no_column_says_which_is_newer(home: Home, tmp_path: Path) -> None:
    """Rows that come while others are brought in are newer than those, whatever is stored first."""
    latest = "SCHEMA >\n    `k` UInt64 DEFAULT 0,\n    `a` UInt64\n\nENGINE ReplacingMergeTree\nENGINE_SORTING_KEY k\n"
    await home.push(source=latest, target=latest, v=view_pipe("SELECT k, a FROM source"))
    await home.load("source", "SELECT number, 10 FROM numbers(3)")
    home.gate.before["INSERT INTO `"] = partial(home.append, "source", "a", [11])
    await replace(home, tmp_path, "source", [], "k = 1")
    for name in ("source", "target"):
        await home.gate.execute(f"OPTIMIZE TABLE {home.workspace.datasource(name).table} FINAL")
        assert await home.ask("arraySort(groupArray((k, a)))", name) == "[(0,11),(2,10)]"

"""A data source gets another definition: every row is there once, in its new form, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
from deploy.evolve_home import EvolveHome, open_evolve_home
from jobs.jobs_home import copy_pipe, view_pipe

from birdhouse.deploy.evolve import Asked
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Insert, Query
from birdhouse.errors import BirdhouseError, Conflict, DeploymentRefused, InvalidInput, NothingToAlter, PartialWrite
from birdhouse.ingest import delivery
from birdhouse.ingest.batch import Batches
from birdhouse.ingest.events import Encoders, Events
from birdhouse.ingest.target import Target
from birdhouse.jobs.job import Job, JobStatus


def table(*columns: str, engine: str = "MergeTree", key: str = "id", more: str = "") -> str:
    """Columns as in a datafile, `id UInt64` in front."""
    lines = ",\n".join(f"    {column}" for column in ("`id` UInt64", *columns))
    return f"SCHEMA >\n{lines}\n\nENGINE {engine}\nENGINE_SORTING_KEY {key}\n{more}"


PLAIN = table("`n` Int32", "`text` String")


@pytest_asyncio.fixture
async def home(engine: Engine) -> AsyncIterator[EvolveHome]:
    home = await open_evolve_home(engine)
    yield home
    await home.home.close()


async def filled(home: EvolveHome, definition: str = PLAIN, rows: int = 3) -> None:
    await home.home.push(source=definition)
    await home.home.load(
        "source", f"SELECT number AS id, number * 10 AS n, concat('t', toString(number)) AS text FROM numbers({rows})"
    )


async def contents(home: EvolveHome, columns: str, name: str = "source") -> list[list[str]]:
    found = await home.home.ask(
        f"arrayStringConcat([{', '.join(f'ifNull(toString({c}), $$NULL$$)' for c in columns.split())}], ' ')", f"{name}"
    )
    return sorted(line.split(" ") for line in found.splitlines())


def done(job: Job) -> None:
    assert job.status is JobStatus.DONE, job.error


BOTH = ("`n` Int32", "`text` String")
CHANGES: dict[str, tuple[str, dict[str, Any], str, list[str]]] = {
    "a column more": (
        table(*BOTH, "`extra` String DEFAULT 'new'"), {"keep": "old"},
        "id extra", ["0 new", "1 new", "2 new"],
    ),
    "a column more that is filled": (
        table(*BOTH, "`extra` String"), {"fills": {"extra": "concat(text, toString(n))"}},
        "id extra", ["0 t00", "1 t110", "2 t220"],
    ),
    "columns filled with what others become": (
        table("`n` String", "`text` String"), {"fills": {"n": "text", "text": "toString(n)"}},
        "n text", ["t0 0", "t1 10", "t2 20"],
    ),
    "a narrower type": (table("`n` UInt8", "`text` String"), {}, "id n text", ["0 0 t0", "1 10 t1", "2 20 t2"]),
    "wider types": (table("`n` Int64", "`text` LowCardinality(String)"), {}, "n text", ["0 t0", "10 t1", "20 t2"]),
    "a number as text": (table("`n` String", "`text` String"), {}, "id n", ["0 0", "1 10", "2 20"]),
    "a column less": (table("`n` Int32"), {"drops": ["text"]}, "id n", ["0 0", "1 10", "2 20"]),
    "another sorting key": (table(*BOTH, key="text, id"), {}, "id text", ["0 t0", "1 t1", "2 t2"]),
    "a partition key": (
        table(*BOTH, more="ENGINE_PARTITION_KEY id % 2\n"), {}, "id _partition_id", ["0 0", "1 1", "2 0"],
    ),
    "another engine": (table(*BOTH, engine="ReplacingMergeTree"), {}, "id text", ["0 t0", "1 t1", "2 t2"]),
    "a computed column": (
        table(*BOTH, "`twice` Int64 MATERIALIZED n * 2", key="text"), {}, "id twice", ["0 0", "1 20", "2 40"],
    ),
    "columns in another order": (
        table("`text` String", "`n` Int32", key="n"), {}, "id n text", ["0 0 t0", "1 10 t1", "2 20 t2"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
async def test_rows_follow_into_the_new_definition(home: EvolveHome, change: str) -> None:
    new, options, columns, expected = CHANGES[change]
    await filled(home)
    done(await home.evolve("source", text=new, **options))
    assert await contents(home, columns) == [line.split(" ") for line in expected]
    datasource = home.home.workspace.datasource("source")
    assert datasource.text == new
    assert await home.home.staging_tables() == []
    await home.home.append("source", "id", [9])
    assert "9" in [row[0] for row in await contents(home, "id")]


async def test_a_stored_computed_column_can_become_a_plain_one(home: EvolveHome) -> None:
    await filled(home, table("`n` Int32", "`text` String", "`twice` Int64 MATERIALIZED n * 2"))
    done(await home.evolve("source", text=table("`n` Int32", "`text` String", "`twice` Int64", key="id, n")))
    assert await contents(home, "id twice") == [["0", "0"], ["1", "20"], ["2", "40"]]


async def test_null_needs_a_place(home: EvolveHome) -> None:
    await home.home.push(source=table("`n` Nullable(Int32)"))
    await home.home.load("source", "SELECT 1 AS id, NULL AS n UNION ALL SELECT 2, 7")
    plain = table("`n` Int32")
    with pytest.raises(InvalidInput, match="1 values of 'n' do not fit"):
        await home.evolve("source", text=plain)
    done(await home.evolve("source", text=plain, fills={"n": "ifNull(n, -1)"}))
    assert await contents(home, "id n") == [["1", "-1"], ["2", "7"]]


BY_N = table(*BOTH, key="n")
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "values": (table("`n` Int8", "`text` String"), {}, "values of 'n' do not fit: convert `n` from Int32 to Int8"),
    "texts": (table("`n` Int32", "`text` UInt64"), {}, "values of 'text' do not fit"),
    "loss": (table("`n` Int32"), {}, "'text' of 'source' would be lost with its values"),
    "drop of what stays": (BY_N, {"drops": ["n"]}, "it is in the new datafile"),
    "drop of what is not there": (BY_N, {"drops": ["x"]}, "there is none"),
    "fill of what is not there": (PLAIN, {"fills": {"txt": "1"}}, "no column 'txt' to fill"),
    "nonsense": (PLAIN, {"fills": {"text": "1 +"}}, "The column 'text' cannot be filled with that"),
    "a statement": (PLAIN, {"fills": {"text": "1) FROM x; DROP TABLE y; --"}}, "cannot be filled"),
    "a file": (PLAIN, {"fills": {"text": "file('/etc/passwd')"}}, "cannot be filled"),
    "tables of others": (PLAIN, {"fills": {"text": "(SELECT name FROM system.tables LIMIT 1)"}}, "cannot be filled"),
    "a missing column": (PLAIN, {"fills": {"text": "missing"}}, "The column 'text' cannot be made"),
    "another type": (PLAIN, {"fills": {"n": "[1, 2]"}}, "The column 'n' cannot be made"),
    "a datafile that cannot be read": ("SCHEMA >\n    `id` Strin\n", {}, "Strin"),
    "a table that cannot be": (table(*BOTH, key="nix"), {}, "nix"),
    "a name that is taken": (BY_N, {"keep": "source"}, "already a resource"),
    "a name that is none": (BY_N, {"keep": "a-b"}, "a-b"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_what_would_lose_or_spoil_something_is_refused_before_anything_is_done(
    home: EvolveHome, case: str
) -> None:
    text, options, message = REFUSED[case]
    await filled(home, rows=100)
    before = home.home.workspace
    with pytest.raises(BirdhouseError) as refused:
        await home.submit("source", text=text, **options)
    assert message in str(refused.value)
    assert home.home.workspace is before


async def test_a_pipe_that_needs_a_column_keeps_it(home: EvolveHome) -> None:
    await filled(home)
    await home.home.push(
        seen=table("`text` String"),
        seen_mv=view_pipe("SELECT id, text FROM source", "seen"),
        texts="NODE n\nSQL >\n    SELECT text FROM source\n",
    )
    with pytest.raises(DeploymentRefused) as refused:
        await home.submit("source", text=table("`n` Int32"), drops=["text"])
    assert {name for name in ("seen_mv", "texts") if name in str(refused.value.problems)} == {"seen_mv", "texts"}


async def test_a_pipe_that_writes_a_column_keeps_it(home: EvolveHome) -> None:
    await filled(home)
    await home.home.push(more=PLAIN, copy=copy_pipe("SELECT id, text FROM more", "source"))
    with pytest.raises(BirdhouseError, match="has no column for: text String"):
        await home.submit("source", text=table("`n` Int32"), drops=["text"])


async def test_a_definition_that_is_there_already_changes_nothing(home: EvolveHome) -> None:
    await filled(home)
    with pytest.raises(NothingToAlter):
        await home.submit("source", text=PLAIN)


async def test_what_can_be_altered_is_altered_in_place(home: EvolveHome) -> None:
    await filled(home)
    text = table("`n` Int32", "`text` String", "`extra` Nullable(String)")
    evolution = await home.evolver.plan(home.home.workspace_id, "source", Asked(text))
    assert evolution.is_in_place
    assert evolution.steps == ("alter data source source: ADD COLUMN `extra` Nullable(String)",)


async def test_the_steps_say_what_will_be_done(home: EvolveHome) -> None:
    await filled(home)
    text = table("`n` UInt8", "`new` String", "`made` String", key="made, id")
    asked = Asked(text, fills={"made": "upper(text)"}, drops=["text"], keep="before")
    evolution = await home.evolver.plan(home.home.workspace_id, "source", asked)
    assert evolution.steps == (
        "make a table for the new 'source' beside the old one (MergeTree, sorting_key made, id)",
        "convert `n` from Int32 to UInt8",
        "add `new` String: the default of String",
        "fill `made` String with upper(text)",
        "drop `text` with its values",
        "copy 3 rows; rows that arrive meanwhile go into the old table and are collected, and follow",
        "hold inserts for a moment, copy the last rows, let the two tables change places",
        "keep the old rows as data source before",
    )


async def test_the_old_rows_can_be_kept_and_read(home: EvolveHome) -> None:
    await filled(home)
    done(await home.evolve("source", text=table("`n` Int32"), keep="before"))
    assert await contents(home, "id text", "before") == [["0", "t0"], ["1", "t1"], ["2", "t2"]]
    assert await contents(home, "id n") == [["0", "0"], ["1", "10"], ["2", "20"]]
    await home.home.append("before", "id", [7])
    await home.home.deployer.delete_datasource(home.home.workspace_id, "before", force=False, dry_run=False)
    assert await home.home.staging_tables() == []


async def test_rows_in_quarantine_follow_with_the_columns_they_have(home: EvolveHome) -> None:
    await filled(home)
    quarantine = home.home.workspace.datasource("source").quarantine
    await home.home.gate.execute(f"INSERT INTO {quarantine} (id, text, c__error) VALUES ('x', 'y', ['bad id'])")
    new = table("`n` Int32", "`extra` String", key="n")
    done(await home.evolve("source", text=new, drops=["text"]))
    result = await home.home.gate.select(Query(f"SELECT id, extra, c__error FROM {quarantine}", "TSVRaw"))
    assert result.body.decode() == "x\t\\N\t['bad id']\n"


async def test_views_go_on_with_the_columns_they_read(home: EvolveHome) -> None:
    await filled(home)
    await home.home.push(
        numbers=table("`n` Int64"),
        numbers_mv=view_pipe("SELECT id, n FROM source", "numbers"),
        everything=table("`n` Int64", "`text` String", "`extra` String"),
        everything_mv=view_pipe("SELECT * FROM source", "everything"),
    )
    done(await home.evolve("source", text=table("`n` Int64", "`text` String", "`extra` String", key="text")))
    await home.home.load("source", "SELECT 5 AS id, 6 AS n, 'seven' AS text, 'eight' AS extra")
    assert await contents(home, "id n", "numbers") == [["5", "6"]]
    assert await contents(home, "id n text extra", "everything") == [["5", "6", "seven", "eight"]]


async def test_of_rows_with_one_key_the_last_one_wins_as_before(home: EvolveHome) -> None:
    replacing = table("`n` Int32", engine="ReplacingMergeTree")
    await home.home.push(source=replacing)
    for n in (1, 2, 3):
        await home.home.load("source", f"SELECT number AS id, {n} AS n FROM numbers(5000)")

    async def newest() -> None:
        await home.home.load("source", "SELECT number AS id, 4 AS n FROM numbers(100)")

    home.home.gate.before["rows_source"] = newest
    home.home.gate.after["INSERT INTO `" + home.home.workspace.database + "`.`staging"] = newest
    done(await home.evolve("source", text=table("`n` Int64", engine="ReplacingMergeTree")))
    await home.home.gate.execute(f"OPTIMIZE TABLE {home.home.workspace.datasource('source').table} FINAL")
    assert await home.home.ask("countIf(n = 4), countIf(n = 3), count()", "source") == "100\t4900\t5000"


async def test_a_row_that_comes_at_any_step_is_there_once_and_in_its_view_once(home: EvolveHome) -> None:
    """In front of every statement of the job, and behind each, a row comes in."""
    await home.home.push(source=table("`n` Int32"), seen=table(), seen_mv=view_pipe("SELECT id FROM source", "seen"))
    await home.home.load("source", "SELECT number AS id, 1 AS n FROM numbers(10)")
    gate, execute = home.home.gate, type(home.home.gate).execute
    came = 0

    async def disturbed(statement: str, /, **options: object) -> object:
        nonlocal came
        side = gate._sides.get(home.home.workspace.database)
        if side is None or not side.held:
            await home.home.append("source", "id", [1000 + came])
            came += 1
        return await execute(gate, statement, **options)  # type: ignore[arg-type]

    gate.execute = disturbed  # type: ignore[assignment, method-assign]
    job = await home.evolve("source", text=table("`n` Int64", "`extra` String", key="id, n"))
    del gate.execute
    done(job)
    assert came > 15
    expected = [[str(each)] for each in (*range(10), *range(1000, 1000 + came))]
    assert await contents(home, "id") == await contents(home, "id", "seen") == sorted(expected)


async def test_rows_that_are_sent_again_because_a_view_fails_follow_once(
    home: EvolveHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PAUSES_SECONDS", (0.0, 0.0))
    await home.home.push(
        source=table("`n` Int32"),
        seen=table(),
        strict=table(),
        seen_mv=view_pipe("SELECT id FROM source", "seen"),
        strict_mv=view_pipe("SELECT id + throwIf(id = 1) AS id FROM source", "strict"),
    )
    source = home.home.workspace.datasource("source").table
    sent = 0

    async def come() -> None:
        nonlocal sent
        for block in (b"1\n2\n", b"3\n"):
            with suppress(PartialWrite):
                await home.home.delivery.insert(Insert(source, ("id",), "TSV", block, uuid.uuid4().hex))
        sent += 1

    await come()

    async def made_again() -> None:
        """The view that was made first comes first, mostly."""
        for pipe in home.home.workspace.pipes():
            await home.home.gate.execute(f"DROP VIEW {pipe.view} SYNC")
            await home.home.gate.execute(pipe.view_statement or "")
        await come()

    for number in range(5):
        home.home.gate.before["'disable', max_partitions"] = made_again
        done(await home.evolve("source", text=table("`n` Int64", key="id, n" if number % 2 else "id")))
    await come()
    assert sent == 7
    expected = sorted([["1"], ["2"], ["3"]] * sent)
    assert await contents(home, "id") == await contents(home, "id", "seen") == expected
    await home.home.push(strict_mv=view_pipe("SELECT id FROM source", "strict"))
    for job in await home.home.queue.list(home.home.workspace_id):
        done(await home.home.queue.finished(job.id))
    assert await contents(home, "id", "strict") == expected


async def test_many_rows_that_come_meanwhile_follow_in_rounds(home: EvolveHome) -> None:
    await filled(home)
    rounds = 3

    async def come() -> None:
        nonlocal rounds
        await home.home.load(
            "source", f"SELECT 1000000 * {rounds} + number AS id, 1 AS n, 'x' AS text FROM numbers(3000)"
        )
        rounds -= 1
        if rounds:
            home.home.gate.before["rows_taken` SYNC"] = come

    home.home.gate.after["CREATE MATERIALIZED VIEW"] = come
    done(await home.evolve("source", text=table("`n` Int64", "`text` String", key="n, id")))
    assert rounds == 0
    assert await home.home.ask("count(), uniqExact(id)", "source") == "9003\t9003"


async def test_a_value_that_does_not_fit_and_comes_meanwhile_fails_the_change_and_no_insert(home: EvolveHome) -> None:
    await filled(home)

    async def come() -> None:
        await home.home.load("source", "SELECT 9 AS id, 9 AS n, 'no number' AS text")

    home.home.gate.after["CREATE MATERIALIZED VIEW"] = come
    table_name = home.home.workspace.datasource("source").table
    await home.home.gate.execute(f"ALTER TABLE {table_name} UPDATE text = '1' WHERE 1 SETTINGS mutations_sync = 2")
    job = await home.evolve("source", text=table("`n` Int32", "`text` UInt64"))
    assert job.status is JobStatus.ERROR
    assert "no number" in str(job.error)
    assert len(await contents(home, "id")) == 4
    assert home.home.workspace.datasource("source").text == PLAIN
    assert await home.home.staging_tables() == []


async def test_rows_that_are_replaced_meanwhile_are_not_brought_back(home: EvolveHome) -> None:
    await filled(home)
    source = home.home.workspace.datasource("source").table

    async def replace() -> None:
        await home.home.gate.execute(f"CREATE TABLE {source.database}.other AS {source}")
        await home.home.gate.execute(f"EXCHANGE TABLES {source.database}.other AND {source}")
        await home.home.gate.execute(f"DROP TABLE {source.database}.other SYNC")

    home.home.gate.after["CREATE MATERIALIZED VIEW"] = replace
    job = await home.evolve("source", text=table("`n` Int64", "`text` String", key="n"))
    assert job.status is JobStatus.ERROR
    assert "were replaced meanwhile" in str(job.error)
    assert await contents(home, "id") == []


async def test_a_definition_that_changes_meanwhile_is_not_overwritten(home: EvolveHome) -> None:
    await filled(home)
    other = table("`n` Int32", "`text` String", "`extra` Nullable(String)")

    async def change() -> None:
        await home.home.push(source=other)

    home.home.gate.after["CREATE MATERIALIZED VIEW"] = change
    job = await home.evolve("source", text=table("`n` Int64", "`text` String", key="n"))
    assert job.status is JobStatus.ERROR and "was changed meanwhile" in str(job.error)
    assert home.home.workspace.datasource("source").text == other
    assert len(await contents(home, "id extra")) == 3


async def test_rows_cannot_be_truncated_while_they_are_written_again(home: EvolveHome) -> None:
    await filled(home)
    datasource = home.home.workspace.datasource("source")
    refused: list[Conflict] = []

    async def truncate() -> None:
        try:
            home.home.gate.layouts.refuse_while_rewritten(datasource.table, "source")
        except Conflict as error:
            refused.append(error)

    home.home.gate.after["CREATE MATERIALIZED VIEW"] = truncate
    done(await home.evolve("source", text=table("`n` Int64", "`text` String", key="n")))
    assert len(refused) == 1
    home.home.gate.layouts.refuse_while_rewritten(datasource.table, "source")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_job_that_is_killed_after_any_statement_is_done_by_the_next_start(home: EvolveHome) -> None:
    """With a view over a star, which is made again, and a quarantine that changes: all a change can consist of."""
    first = table("`n` Int32")
    second = table("`n` Int64", "`extra` String", key="id, n")
    everything = {
        "everything": table("`n` Int64", "`extra` String"),
        "mv": view_pipe("SELECT * FROM source", "everything"),
    }
    await home.home.push(source=first, **everything)
    await home.home.load("source", "SELECT number AS id, number AS n FROM numbers(5)")
    statements = 0
    while True:
        # There and back again; what goes is kept on the way back.
        text, keep = (first, f"kept_{statements}") if statements % 2 else (second, "")
        job = await home.submit("source", text=text, keep=keep)
        if not await home.killed_after(statements, job):
            break
        done(await home.home.queue.finished(job.id))
        assert home.home.workspace.datasource("source").text == text, statements
        await home.home.append("source", "id", [1000 + statements])
        for name in ("source", "everything"):
            counted = await home.home.ask("count(), uniqExact(id)", name)
            assert counted == f"{6 + statements}\t{6 + statements}", (statements, name)
        assert await home.home.staging_tables() == [], statements
        if keep:
            assert await home.home.ask("count()", keep) == f"{5 + statements}"
        statements += 1
    assert statements > 25


async def test_rows_that_are_under_way_when_a_type_changes_in_place_are_written_before_it(home: EvolveHome) -> None:
    definition = "SCHEMA >\n    `n` UInt8 `json:$.n`\n\nENGINE MergeTree\nENGINE_SORTING_KEY tuple()\n"
    await home.home.push(source=definition)
    gate, source = home.home.gate, home.home.workspace.datasource("source")
    batches = Batches(gate, batch_rows_max=100, batch_bytes_max=10_000, queued_bytes_max=10_000)
    events = Events(batches, Encoders(), body_bytes_max=10_000)

    async def send(text: bytes) -> None:
        async with gate.layouts.request(source.table):
            columns = home.home.workspace.datasource("source").definition.columns
            await events.append(Target(source.table, source.quarantine, columns, "source"), text)

    async with gate.held(source.database):
        first = asyncio.create_task(send(b'{"n": 7}'))
        await asyncio.sleep(0)
        change = asyncio.create_task(home.home.push(source=definition.replace("UInt8", "Nullable(UInt8)")))
        await asyncio.wait((change,), timeout=0.3)
        assert not change.done()
    await asyncio.gather(first, change)
    await send(b'{"n": null}')
    assert await contents(home, "n") == [["7"], ["NULL"]]

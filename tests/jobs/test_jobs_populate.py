from __future__ import annotations

import asyncio
from functools import partial

import pytest
from jobs_home import Home, Hook, copy_pipe, numbers_table, view_pipe

from birdhouse.deploy.deployer import Populating
from birdhouse.deploy.draft import Desired
from birdhouse.errors import BirdhouseError, Conflict, InvalidParameter, SqlError
from birdhouse.jobs.job import Job, JobKind, JobStatus
from birdhouse.jobs.populate import PopulateOptions, populate_payload, view_of
from birdhouse.language.datafile.parse import parse_pipe


async def _push_view(home: Home, sql: str = "SELECT a * 10 AS a FROM source") -> None:
    """The source has rows 0 to 9 from before the view was there."""
    await home.push(source=numbers_table("a"), target=numbers_table("a"))
    await home.append("source", "a", list(range(10)))
    await home.push(v=view_pipe(sql))


async def _populate(home: Home, options: PopulateOptions) -> Job:
    view = await view_of(home.gate, home.workspace, "v")
    payload = populate_payload(home.workspace, view, options)
    return await home.queue.submit(home.workspace_id, JobKind.POPULATE, payload)


async def _populated(home: Home, options: PopulateOptions) -> Job:
    job = await home.queue.finished((await _populate(home, options)).id)
    assert job.status is JobStatus.DONE, job.error
    assert await home.staging_tables() == []
    return job


async def test_a_populate_brings_the_rows_from_before_the_view(home: Home) -> None:
    await _push_view(home)
    job = await _populated(home, PopulateOptions())
    assert job.statistics["row_count"] == 10
    assert await home.ask("count(), sum(a)", "target") == "10\t450"


async def test_truncate_counts_every_row_once_whatever_came_through_the_view_before(home: Home) -> None:
    await _push_view(home)
    await home.append("source", "a", [10, 11])
    await home.append("target", "a", [777])
    await _populated(home, PopulateOptions(truncate=True))
    assert await home.ask("arraySort(groupArray(a))", "target") == str([10 * n for n in range(12)]).replace(" ", "")


@pytest.mark.parametrize("truncate", [False, True])
async def test_rows_that_arrive_meanwhile_are_neither_lost_nor_doubled(home: Home, truncate: bool) -> None:
    await _push_view(home)
    next_value = iter(range(10, 1000))

    async def arrive() -> None:
        await home.append("source", "a", [next(next_value)])

    home.gate.before["INSERT INTO `"] = arrive
    home.gate.before["EXCHANGE"] = _soon(home, arrive)
    home.gate.after["CLONE AS"] = _soon(home, arrive)
    home.gate.after["INSERT INTO `"] = arrive
    await _populated(home, PopulateOptions(truncate=truncate))
    await home.append("source", "a", [next(next_value)])
    while home.tasks:
        await home.tasks.pop()
    count = next(next_value)
    assert count == 15
    assert await home.ask("arraySort(groupArray(a))", "target") == str([10 * n for n in range(count)]).replace(" ", "")


def _soon(home: Home, arrive: Hook) -> Hook:
    """Rows that arrive while inserts are held: they wait, so nobody may wait for them here."""

    async def begin() -> None:
        home.tasks.append(asyncio.ensure_future(arrive()))
        await asyncio.sleep(0)

    return begin


async def test_readers_see_the_old_rows_until_a_truncating_populate_is_done(home: Home) -> None:
    await _push_view(home)
    await home.append("target", "a", [777])
    seen = []

    async def look() -> None:
        seen.append(await home.ask("groupArray(a)", "target"))

    home.gate.after["INSERT INTO `"] = look
    home.gate.before["EXCHANGE"] = look
    await _populated(home, PopulateOptions(truncate=True))
    assert seen == ["[777]", "[777]"]


async def test_what_others_write_into_the_target_meanwhile_stays(home: Home) -> None:
    await _push_view(home)

    async def write() -> None:
        await home.append("target", "a", [777])

    home.gate.after["INSERT INTO `"] = write
    await _populated(home, PopulateOptions(truncate=True))
    assert await home.ask("count(), max(a)", "target") == "11\t777"


@pytest.mark.parametrize("truncate", [False, True])
async def test_a_condition_chooses_rows_of_the_source(home: Home, truncate: bool) -> None:
    await _push_view(home)
    condition = "a >= 3 AND toString(a) != '4' AND a NOT IN (SELECT a FROM source WHERE a = 5)"
    await _populated(home, PopulateOptions(condition=condition, truncate=truncate))
    assert await home.ask("arraySort(groupArray(a))", "target") == "[30,60,70,80,90]"


async def test_a_subset_takes_a_fraction_of_the_rows(home: Home) -> None:
    await _push_view(home)
    await _populated(home, PopulateOptions(subset=0.25))
    assert await home.ask("count()", "target") == "3"
    await _populated(home, PopulateOptions(subset=0.1, condition="a = 7", truncate=True))
    assert await home.ask("groupArray(a)", "target") == "[70]"


async def test_a_view_behind_another_pipe_and_a_join_is_populated(home: Home) -> None:
    await home.push(source=numbers_table("a"), other=numbers_table("a", "b"), target=numbers_table("a", "b"))
    await home.append("source", "a", [1, 2, 3])
    await home.load("other", "SELECT number, number * 100 FROM numbers(3)")
    await home.push(
        mid="NODE n\nSQL >\n    SELECT a FROM source WHERE a > 1\n",
        v=view_pipe("SELECT mid.a AS a, other.b AS b FROM mid LEFT JOIN other ON mid.a = other.a"),
    )
    await _populated(home, PopulateOptions())
    assert await home.ask("arraySort(groupArray((a, b)))", "target") == "[(2,200),(3,0)]"


async def test_rows_of_a_populate_go_on_to_views_on_the_target(home: Home) -> None:
    await _push_view(home)
    await home.push(further=numbers_table("a"), w=view_pipe("SELECT a FROM target", "further"))
    await _populated(home, PopulateOptions())
    assert await home.ask("count()", "further") == "10"


async def test_a_failing_populate_leaves_the_target_and_unlinks_only_when_asked(home: Home) -> None:
    await _push_view(home, "SELECT a + throwIf(a = 5) AS a FROM source")
    for unlink in (False, True):
        options = PopulateOptions(truncate=True, unlink_on_error=unlink)
        job = await home.queue.finished((await _populate(home, options)).id)
        assert job.status is JobStatus.ERROR
        assert home.unlinked == [home.workspace.pipe("v").id] * unlink
        assert await home.staging_tables() == []
    await home.append("source", "a", [20])
    assert await home.ask("groupArray(a)", "target") == "[20]"


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("moment", ["CLONE AS", "INSERT INTO `", "EXCHANGE", "published"])
async def test_an_interrupted_populate_is_exact_after_the_next_start(home: Home, truncate: bool, moment: str) -> None:
    await _push_view(home)
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        await never.wait()

    async def hang_when_cleaning() -> None:
        home.gate.before["DROP TABLE"] = hang

    home.gate.after[moment.replace("published", "EXCHANGE")] = hang_when_cleaning if moment == "published" else hang
    job = await _populate(home, PopulateOptions(truncate=truncate))
    await reached.wait()
    await home.queue.stop()
    if truncate or moment != "CLONE AS":
        # Without truncate, a clone that was not yet stored as taken is taken again.
        await home.append("source", "a", [10])
    await home.restart()
    ended = await home.queue.finished(job.id)
    assert ended.status is JobStatus.DONE, ended.error
    expected = 11 if truncate or moment != "CLONE AS" else 10
    assert await home.ask("count(), uniqExact(a)", "target") == f"{expected}\t{expected}"
    assert await home.staging_tables() == []


async def test_only_materialized_pipes_are_populated(home: Home) -> None:
    await _push_view(home)
    await home.push(p=copy_pipe("SELECT a FROM source"))
    with pytest.raises(Conflict):
        await view_of(home.gate, home.workspace, "p")
    with pytest.raises(InvalidParameter):
        populate_payload(home.workspace, await view_of(home.gate, home.workspace, "v"), PopulateOptions(subset=2))


async def test_a_source_that_stores_nothing_has_nothing_to_populate(home: Home) -> None:
    landing = numbers_table("a").replace("ENGINE MergeTree\nENGINE_SORTING_KEY a", "ENGINE Null")
    await home.push(source=landing, target=numbers_table("a"))
    await home.push(v=view_pipe("SELECT a FROM source"))
    await home.append("source", "a", [1])
    assert (await _populated(home, PopulateOptions())).statistics["row_count"] == 0
    assert await home.ask("count()", "target") == "1"


async def _deploy_and_populate(home: Home, options: PopulateOptions = PopulateOptions(), sql: str = "") -> Job:  # noqa: B008
    """As a push of the pipe with populate does."""
    text = view_pipe(sql or "SELECT a * 10 AS a FROM source")
    wanted = [Desired(parse_pipe(text, name="v"), text)]
    populating = Populating("v", options, home.queue)
    deployment = await home.deployer.deploy(home.workspace_id, wanted, populating=populating)
    assert deployment.job is not None
    return deployment.job


async def _before_the_view(home: Home) -> None:
    await home.push(source=numbers_table("a"), target=numbers_table("a"))
    await home.append("source", "a", list(range(10)))


async def test_a_populate_that_comes_with_its_view_has_the_rows_from_before_it(home: Home) -> None:
    """Rows that come when the view is there and the job has not begun went through the view."""
    await _before_the_view(home)
    await home.append("target", "a", [777])
    made = f"CREATE MATERIALIZED VIEW `{home.workspace.database}`"
    home.gate.after[made] = _soon(home, partial(home.append, "source", "a", [10]))
    job = await _deploy_and_populate(home)
    await home.append("source", "a", [11])
    while home.tasks:
        await home.tasks.pop()
    ended = await home.queue.finished(job.id)
    assert ended.status is JobStatus.DONE, ended.error
    assert ended.statistics["row_count"] == 10
    assert await home.values("target") == [*(10 * n for n in range(12)), 777]
    assert await home.staging_tables() == []


async def test_a_populate_of_a_view_that_is_there_begins_with_the_job(home: Home) -> None:
    await _push_view(home)
    job = await _deploy_and_populate(home, PopulateOptions(condition="a < 5"))
    assert (await home.queue.finished(job.id)).error is None
    assert await home.values("target") == [0, 10, 20, 30, 40]


async def test_a_view_that_is_changed_and_populated_takes_the_rows_anew(home: Home) -> None:
    await _push_view(home)
    await home.append("source", "a", [10])
    job = await _deploy_and_populate(home, sql="SELECT a * 100 AS a FROM source")
    await home.append("source", "a", [11])
    assert (await home.queue.finished(job.id)).error is None
    assert await home.values("target") == sorted([100, *(100 * n for n in range(12))])


async def test_a_deployment_that_fails_leaves_neither_snapshot_nor_job(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _before_the_view(home)

    async def fail(*arguments: object, **options: object) -> None:
        raise BirdhouseError("no")

    monkeypatch.setattr(home.catalog, "commit", fail)
    with pytest.raises(BirdhouseError, match="no"):
        await _deploy_and_populate(home)
    assert await home.queue.list(home.workspace_id) == []
    assert await home.staging_tables() == []
    assert "v" not in home.workspace.resources


async def test_a_populate_that_is_cancelled_before_it_begins_leaves_no_snapshot(home: Home) -> None:
    await _before_the_view(home)
    await home.push(p=copy_pipe("SELECT max(number) AS a FROM numbers(10000000000000) WHERE sipHash64(number) % 3 = 1"))
    busy = await home.copy("p")
    job = await _deploy_and_populate(home)
    assert len(await home.staging_tables()) >= 1
    assert (await home.queue.cancel(job.id)).status is JobStatus.CANCELLED
    await home.queue.cancel(busy.id)
    await home.queue.finished(busy.id)
    assert await home.staging_tables() == []


async def test_an_impossible_condition_is_refused_with_the_push(home: Home) -> None:
    await _before_the_view(home)
    with pytest.raises(SqlError, match="nope") as refused:
        await _deploy_and_populate(home, PopulateOptions(condition="nope = 1"))
    assert "'source'" in refused.value.detail
    assert "v" not in home.workspace.resources


@pytest.mark.parametrize("truncate", [False, True])
async def test_targets_below_get_every_row_once(home: Home, truncate: bool) -> None:
    """Also those that come meanwhile; with truncate what they made of the old rows goes."""
    await _push_view(home)
    await home.push(
        below=numbers_table("a"), deepest=numbers_table("a"),
        to_below=view_pipe("SELECT a + 1 AS a FROM target", "below"),
        to_deepest=view_pipe("SELECT a + 1 AS a FROM below", "deepest"),
    )  # fmt: skip
    await home.append("target", "a", [777])
    home.gate.before["INSERT INTO `"] = partial(home.append, "source", "a", [10])
    home.gate.before["EXCHANGE"] = _soon(home, partial(home.append, "source", "a", [11]))
    await _populated(home, PopulateOptions(truncate=truncate))
    while home.tasks:
        await home.tasks.pop()
    expected = [10 * n for n in range(12)] + [777] * (not truncate)
    assert await home.values("target") == expected
    assert await home.values("below") == [each + 1 for each in expected]
    assert await home.values("deepest") == [each + 2 for each in expected]


async def test_a_source_that_is_replaced_meanwhile_stops_the_populate(home: Home) -> None:
    await _push_view(home)
    table, other = home.workspace.datasource("source").table, "staging_x"

    async def replace() -> None:
        await home.gate.execute(f"CREATE TABLE `{table.database}`.{other} AS {table}")
        await home.gate.execute(f"EXCHANGE TABLES `{table.database}`.{other} AND {table}")
        await home.gate.execute(f"DROP TABLE `{table.database}`.{other} SYNC")

    home.gate.after["INSERT INTO `"] = replace
    job = await home.queue.finished((await _populate(home, PopulateOptions())).id)
    assert job.status is JobStatus.ERROR
    assert job.error == "The data source 'source' was replaced meanwhile. Run it again."
    assert await home.staging_tables() == []


async def test_what_was_quarantined_is_populated_like_other_rows(home: Home) -> None:
    await home.push(source=numbers_table("a"), target=numbers_table("a"))
    quarantine = home.workspace.datasource("source").quarantine
    await home.gate.execute(f"INSERT INTO {quarantine} (a) SELECT '7'")
    await home.push(v=view_pipe("SELECT toUInt64OrZero(assumeNotNull(a)) AS a FROM source_quarantine"))
    await _populated(home, PopulateOptions())
    await home.gate.execute(f"INSERT INTO {quarantine} (a) SELECT '8'")
    assert await home.values("target") == [7, 8]


async def test_a_view_may_give_types_that_no_table_can_have(home: Home) -> None:
    await home.push(source=numbers_table("a"), target=numbers_table("a"))
    await home.append("source", "a", [1])
    await home.push(v=view_pipe("SELECT toLowCardinality(a) AS a FROM source"))
    await home.append("source", "a", [2])
    await _populated(home, PopulateOptions(truncate=True))
    assert await home.values("target") == [1, 2]

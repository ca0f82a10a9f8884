"""A view that fails on rows: what others get, what is kept for it, and how it gets that in the end."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest
from jobs_home import LIMITS, Home, copy_pipe, numbers_table, view_pipe

from birdhouse.engine.types import Insert
from birdhouse.errors import Conflict, PartialWrite
from birdhouse.ingest import missed
from birdhouse.ingest.batch import Batches, Rows
from birdhouse.ingest.files import FileFormat, Files
from birdhouse.ingest.missed import missed_rows
from birdhouse.ingest.replace import Replacements
from birdhouse.ingest.target import Target
from birdhouse.ingest.truncate import truncate
from birdhouse.jobs import staging
from birdhouse.jobs.job import Job, JobKind, JobStatus
from birdhouse.jobs.populate import PopulateOptions, populate_payload, view_of
from birdhouse.jobs.repair import repair_payload, submit_repairs

FAILS = "SELECT a + throwIf(a = 13, 'thirteen') AS a FROM source"
NULL = numbers_table("a").replace("ENGINE MergeTree\nENGINE_SORTING_KEY a", "ENGINE Null")


async def views(home: Home, source: str = "", *, failing: str = FAILS) -> None:
    """source → good → below, and source → bad with a view that takes no 13."""
    await home.push(
        source=source or numbers_table("a"),
        good=numbers_table("a"),
        below=numbers_table("a"),
        bad=numbers_table("a"),
        to_good=view_pipe("SELECT a FROM source", "good"),
        to_below=view_pipe("SELECT a FROM good", "below"),
        to_bad=view_pipe(failing, "bad"),
    )


async def correct(home: Home, sql: str = "SELECT a FROM source") -> None:
    """Deploys the view corrected, and waits for what follows from that."""
    await home.push(to_bad=view_pipe(sql, "bad"))
    await ended(home)


async def ended(home: Home) -> list[Job]:
    """All repairs so far, once they have ended."""
    found = [job for job in await home.queue.list(home.workspace_id) if job.kind == JobKind.REPAIR]
    return [await home.queue.finished(job.id) for job in found]


async def kept(home: Home) -> int:
    return sum(sum(each.values()) for each in (await missed_rows(home.gate, home.workspace.database)).values())


async def all_have(home: Home, rows: list[int], *names: str) -> None:
    for name in names:
        assert await home.values(name) == rows, name
    assert await home.staging_tables() == []


async def test_others_get_the_rows_and_the_failing_view_when_it_is_corrected(home: Home) -> None:
    await views(home)
    await home.deliver("source", [1])
    with pytest.raises(PartialWrite) as failure:
        await home.deliver("source", [2, 13])
    await home.deliver("source", [3])
    assert failure.value.is_settled
    assert str(failure.value) == (
        "The rows were written, but the materialized view of 'to_bad' could not take them (thirteen). "
        "Do not send them again. They are kept for it: deploy it corrected and it gets them, or populate it with "
        "missed=true."
    )
    await all_have(home, [1, 2, 3, 13], "source", "good", "below")
    await all_have(home, [1, 3], "bad")
    assert await kept(home) == 2
    await correct(home)
    await all_have(home, [1, 2, 3, 13], "bad")
    assert await kept(home) == 0


async def test_an_observer_is_told_which_view_missed_what(home: Home) -> None:
    await views(home)
    with pytest.raises(PartialWrite):
        await home.deliver("source", [2, 13])
    (failure,) = home.failures
    assert (failure.pipe_name, failure.datasource_name) == ("to_bad", "bad")
    assert (failure.error, failure.rows, failure.attempts, failure.is_kept) == ("thirteen", 2, 4, True)
    assert failure.workspace_id == home.workspace_id


async def test_a_view_that_works_again_in_time_costs_nothing(home: Home) -> None:
    fails = "SELECT a + throwIf((SELECT max(a) FROM switch) = 1) AS a FROM source"
    await home.push(switch=numbers_table("a"))
    await home.append("switch", "a", [1])
    await views(home, failing=fails)
    delivered = asyncio.ensure_future(home.deliver("source", [5]))
    await asyncio.sleep(0.1)
    await truncate(home.gate, home.workspace, home.workspace.datasource("switch"))
    await delivered
    await all_have(home, [5], "source", "good", "below", "bad")
    assert (home.failures, await kept(home)) == ([], 0)


async def test_each_failing_view_has_the_rows_of_its_own_source_kept(home: Home) -> None:
    """Also one that is fed by another, and two at a time."""
    await views(home)
    await home.push(
        twice=numbers_table("a"), deep=numbers_table("a"),
        to_twice=view_pipe("SELECT a * 2 AS a FROM source", "twice"),
        to_deep=view_pipe("SELECT a + throwIf(a = 26) AS a FROM twice", "deep"),
    )  # fmt: skip
    with pytest.raises(PartialWrite, match="'to_bad', 'to_deep'"):
        await home.deliver("source", [1, 13])
    await all_have(home, [1, 13], "source", "good", "below")
    await all_have(home, [2, 26], "twice")
    await all_have(home, [], "bad", "deep")
    assert {each.pipe_name: each.rows for each in home.failures} == {"to_bad": 2, "to_deep": 2}
    await home.push(to_deep=view_pipe("SELECT a FROM twice", "deep"))
    await ended(home)
    await all_have(home, [2, 26], "deep")
    await correct(home)
    await all_have(home, [1, 13], "bad")


async def test_a_source_that_stores_nothing_loses_nothing(home: Home) -> None:
    await views(home, NULL)
    with pytest.raises(PartialWrite):
        await home.deliver("source", [1, 13])
    await all_have(home, [1, 13], "good", "below")
    await correct(home)
    await all_have(home, [1, 13], "bad")


async def test_rows_of_a_repair_go_on_to_views_on_the_target(home: Home) -> None:
    await views(home)
    await home.push(beyond=numbers_table("a"), to_beyond=view_pipe("SELECT a FROM bad", "beyond"))
    with pytest.raises(PartialWrite):
        await home.deliver("source", [13])
    await correct(home)
    await all_have(home, [13], "bad", "beyond")


async def test_a_repair_that_fails_again_keeps_the_rows(home: Home) -> None:
    await views(home)
    for value in (13, 14):
        with pytest.raises(PartialWrite) if value == 13 else pytest.raises(AssertionError):
            await home.deliver("source", [value])
            raise AssertionError
    await correct(home, "SELECT a + throwIf(a = 13, 'again') AS a FROM source")
    (job,) = await ended(home)
    assert job.status is JobStatus.ERROR and "again" in (job.error or "")
    with pytest.raises(PartialWrite):
        await home.deliver("source", [13])
    assert await kept(home) == 2
    await correct(home)
    await all_have(home, [13, 13, 14], "source", "good", "below", "bad")


async def test_missed_rows_are_tried_again_at_a_start_and_when_asked(home: Home) -> None:
    await home.push(switch=numbers_table("a"))
    await home.append("switch", "a", [1])
    await views(home, failing="SELECT a + throwIf((SELECT max(a) FROM switch) = 1) AS a FROM source")
    with pytest.raises(PartialWrite):
        await home.deliver("source", [5])
    await truncate(home.gate, home.workspace, home.workspace.datasource("switch"))
    await submit_repairs(home.gate, home.queue, home.workspace)
    (job,) = await ended(home)
    assert (job.status, job.statistics["row_count"]) == (JobStatus.DONE, 1)
    await all_have(home, [5], "bad")
    view = await view_of(home.gate, home.workspace, "to_bad")
    again = await home.queue.submit(home.workspace_id, JobKind.REPAIR, repair_payload(home.workspace, view))
    assert (await home.queue.finished(again.id)).statistics["row_count"] == 0
    await submit_repairs(home.gate, home.queue, home.workspace)
    assert len(await ended(home)) == 2
    await all_have(home, [5], "bad")


async def test_a_source_that_got_columns_since_is_no_obstacle(home: Home) -> None:
    await views(home)
    with pytest.raises(PartialWrite):
        await home.deliver("source", [13])
    await home.push(source=numbers_table("a", "b"))
    with pytest.raises(PartialWrite):
        await home.deliver("source", [13])
    await correct(home, "SELECT a + b AS a FROM source")
    await all_have(home, [13, 13], "source", "bad")


@pytest.mark.parametrize("moment", ["RENAME", "INSERT INTO `", "EXCHANGE", "published"])
async def test_an_interrupted_repair_is_exact_after_the_next_start(home: Home, moment: str) -> None:
    await views(home)
    with pytest.raises(PartialWrite):
        await home.deliver("source", [1, 13])
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        await never.wait()

    async def hang_when_cleaning() -> None:
        home.gate.before["DROP TABLE"] = hang

    await home.push(to_bad=view_pipe("SELECT a FROM source WHERE a != 99", "bad"))
    await ended(home)
    await all_have(home, [1, 13], "bad")
    await home.push(to_bad=view_pipe(FAILS, "bad"))
    with pytest.raises(PartialWrite):
        await home.deliver("source", [2, 13])
    home.gate.after[moment.replace("published", "EXCHANGE")] = hang_when_cleaning if moment == "published" else hang
    await home.push(to_bad=view_pipe("SELECT a FROM source", "bad"))
    await reached.wait()
    await home.restart()
    assert {job.status for job in await ended(home)} == {JobStatus.DONE}
    await all_have(home, [1, 2, 13, 13], "bad")
    assert await kept(home) == 0


async def test_what_makes_the_target_anew_forgets_what_was_missed(home: Home, tmp_path: Path) -> None:
    await views(home)
    files = Files(home.gate, tmp_path)
    (tmp_path / "x.csv").write_text("a\n7\n")

    async def fail() -> None:
        with pytest.raises(PartialWrite):
            await home.deliver("source", [13])
        assert await kept(home) == 1

    async def replace(condition: str | None = None) -> None:
        datasource = home.workspace.datasource("source")
        target = Target(datasource.table, datasource.quarantine, datasource.definition.columns, "source")
        await Replacements(home.gate, home.catalog, LIMITS).replace(
            home.workspace_id, target,
            lambda shadow: files.append(shadow, tmp_path / "x.csv", FileFormat.CSV, import_id="i"),
            import_id=uuid.uuid4().hex, condition=condition,
        )  # fmt: skip

    await fail()
    with pytest.raises(Conflict, match="'to_bad' has missed rows of 'source'"):
        await replace("a = 7")
    await replace()
    assert await kept(home) == 0
    await all_have(home, [7], "source", "good", "below", "bad")

    await fail()
    await truncate(home.gate, home.workspace, home.workspace.datasource("bad"))
    assert await kept(home) == 0

    await fail()
    await home.deployer.unlink(home.workspace_id, "to_bad")
    assert await kept(home) == 0


@pytest.mark.parametrize("whole", [True, False])
async def test_a_populate_of_all_rows_brings_the_missed_ones_too(home: Home, whole: bool) -> None:
    await home.push(switch=numbers_table("a"))
    await home.append("switch", "a", [1])
    await views(home, failing="SELECT a + throwIf((SELECT max(a) FROM switch) = 1) AS a FROM source")
    with pytest.raises(PartialWrite):
        await home.deliver("source", [5])
    await truncate(home.gate, home.workspace, home.workspace.datasource("switch"))
    view = await view_of(home.gate, home.workspace, "to_bad")
    options = PopulateOptions() if whole else PopulateOptions(condition="a = 6")
    payload = populate_payload(home.workspace, view, options)
    job = await home.queue.submit(home.workspace_id, JobKind.POPULATE, payload)
    assert (await home.queue.finished(job.id)).error is None
    await submit_repairs(home.gate, home.queue, home.workspace)
    await ended(home)
    await all_have(home, [5], "bad")


async def test_more_than_the_limit_is_not_kept(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed, "MISSED_ROWS_MAX", 2)
    await views(home)
    for hint in ("They are kept", "They are kept", "Populate it with truncate=true"):
        with pytest.raises(PartialWrite) as failure:
            await home.deliver("source", [13])
        assert hint in failure.value.hint
    assert [each.is_kept for each in home.failures] == [True, True, False]
    assert await kept(home) == 2


async def test_a_copy_ends_well_and_says_which_view_failed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "MOVED_ROWS_MAX", 10)
    await views(home)
    await home.push(p=copy_pipe("SELECT number AS a FROM numbers(30)", "source"))
    job = await home.queue.finished((await home.copy("p")).id)
    assert job.status is JobStatus.DONE
    assert job.result["view_failures"] == ["The materialized view of 'to_bad' could not take 10 rows: thirteen"]
    await all_have(home, list(range(30)), "source", "good", "below")
    await all_have(home, [*range(10), *range(20, 30)], "bad")
    await correct(home)
    await all_have(home, list(range(30)), "bad")


async def test_a_file_is_imported_to_its_end(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await views(home)
    (tmp_path / "x.csv").write_text("a\n1\n13\n2\n")
    datasource = home.workspace.datasource("source")
    target = Target(datasource.table, datasource.quarantine, datasource.definition.columns, "source")
    files = Files(home.gate, tmp_path, home.delivery)
    imported = await files.append(target, tmp_path / "x.csv", FileFormat.CSV, import_id="i")
    assert imported.rows == 3
    assert "'to_bad' could not take them" in imported.view_failures[0]
    await all_have(home, [1, 2, 13], "source", "good", "below")


async def test_requests_that_were_written_together_have_the_same_answer(home: Home) -> None:
    await views(home)
    table = home.workspace.datasource("source").table
    batches = Batches(home.delivery, batch_rows_max=100, batch_bytes_max=1000, queued_bytes_max=1000)
    parts = [Rows(table, ("a",), b"\0" + value.to_bytes(8, "little"), 1) for value in (1, 2, 13, 3)]
    outcomes = await asyncio.gather(*map(batches.write, parts), return_exceptions=True)
    assert {type(each) for each in outcomes} == {PartialWrite}
    await all_have(home, [1, 2, 3, 13], "source", "good", "below")
    await correct(home)
    await all_have(home, [1, 2, 3, 13], "bad")


async def test_a_replace_does_not_come_between_the_attempts(home: Home, tmp_path: Path) -> None:
    """Tokens are remembered by tables: one that had taken another's place would take the same rows again."""
    await views(home)
    held = asyncio.Event()

    async def exchange() -> None:
        async with home.gate.held(home.workspace.database):
            held.set()
            assert await home.values("good") in ([], [13])
            assert len(await home.values("source")) == len(await home.values("good"))

    home.gate.before["CREATE TABLE"] = _soon(home, exchange)
    with pytest.raises(PartialWrite):
        await home.deliver("source", [13])
    await asyncio.gather(*home.tasks)
    assert held.is_set()


def _soon(home: Home, work: object) -> object:
    async def begin() -> None:
        home.tasks.append(asyncio.ensure_future(work()))  # type: ignore[operator]
        await asyncio.sleep(0.05)

    return begin


async def test_a_table_without_views_of_pipes_fails_as_it_is(home: Home) -> None:
    """Such as a shadow: what fails there fails for the work that it is for."""
    await home.push(source=numbers_table("a"), good=numbers_table("a"))
    table = home.workspace.datasource("source").table
    good = home.workspace.datasource("good").table
    await home.gate.execute(
        f"CREATE MATERIALIZED VIEW `{table.database}`.x TO {good} AS SELECT a + throwIf(a = 13) AS a FROM {table}"
    )
    with pytest.raises(PartialWrite) as failure:
        await home.delivery.insert(Insert(table, ("a",), "TSV", b"13\n", "token"))
    assert not failure.value.is_settled and failure.value.view == "x"

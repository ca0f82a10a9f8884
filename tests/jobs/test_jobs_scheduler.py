from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from timetable import AFTER, Timetable, copy, project, table

from birdhouse.errors import Conflict
from birdhouse.jobs import store
from birdhouse.jobs.job import BY_SCHEDULE, JobStatus
from birdhouse.jobs.scheduler import Scheduler
from birdhouse.metadata.database import Database
from birdhouse.metadata.migrate import migrate


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database.open("sqlite://")
    migrate(database)
    yield database
    database.close()


@pytest.fixture
async def times(database: Database) -> AsyncIterator[Timetable]:
    times = await Timetable(database).open()
    yield times
    for event in times.runs.slow.values():
        event.set()
    await times.queue.stop()


async def test_a_copy_runs_at_each_tick_of_its_schedule(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds", "0,20 * * * *")))
    ran = {time: await times.until(time) for time in ("09:59", "10:00", "10:01", "10:19", "10:25", "11:00")}
    expected: dict[str, list[str]] = {"10:00": ["a 10:00"], "10:25": ["a 10:20"], "11:00": ["a 11:00"]}
    assert ran == {time: expected.get(time, []) for time in ran}
    job = (await times.jobs())[0]
    assert (job.status, job.asked_by, job.is_scheduled) == (JobStatus.DONE, BY_SCHEDULE, True)
    assert job.scheduled_for == times.clock.now()


async def test_a_copy_on_demand_does_not_run_by_itself(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds"), b=copy("raw", "b_ds", "@on-demand")))
    assert await times.until("23:59") == []
    assert times.scheduler.status(times.workspace, times.pipe("a")) is None


async def test_once_is_once(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds", "@once")))
    assert times.runs.ran == [] and [job.status for job in await times.jobs()] == ["done"]
    assert await times.restart(at="12:00") == []


async def test_ticks_that_were_missed_run_once(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds", "0 * * * *")))
    assert await times.until("10:00") == ["a 10:00"]
    assert await times.restart(at="17:20") == ["a 17:00"]
    assert await times.restart() == []
    assert await times.until("18:00") == ["a 18:00"]


async def test_a_schedule_makes_up_for_nothing_from_before_it_was_written(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds")))
    await times.until("10:10")
    await times.push(project(a=copy("raw", "a_ds", "0 * * * *")))
    assert await times.until("10:50") == []
    assert await times.until("11:00") == ["a 11:00"]
    await times.push(project(a=copy("raw", "a_ds", "30 * * * *")))
    assert await times.until("11:29") == []
    assert await times.until("11:31") == ["a 11:30"]
    await times.push(project(a=copy("raw", "a_ds")))
    assert await times.until("23:00") == []
    await times.push(project(a=copy("raw", "a_ds", "30 * * * *")))
    assert await times.settle() == []


async def test_no_copy_overlaps_itself_and_ticks_that_wait_become_one(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds", "*/10 * * * *")))
    times.runs.slow["a"] = asyncio.Event()
    assert await times.until("10:00") == ["a 10:00"]
    assert await times.until("10:10") == []
    assert await times.until("10:20") == []
    assert await times.until("10:30") == []
    (reason,) = (await times.waiting())["a"]
    assert reason == "a: A job that came before it is working."
    times.runs.slow.pop("a").set()
    assert await times.settle() == ["a 10:30"]
    assert [job.scheduled_for and job.scheduled_for.minute for job in await times.jobs()] == [30, 0]


async def test_a_tick_is_queued_once_even_with_two_schedulers(tmp_path: Path) -> None:
    """Two processes: each has its own connection, queue and scheduler, and they share the metadata database."""
    url = f"sqlite:///{tmp_path}/metadata.sqlite"
    databases = [Database.open(url), Database.open(url)]
    migrate(databases[0])
    first, second = Timetable(databases[0]), Timetable(databases[1])
    await first.open()
    await first.push(project(a=copy("raw", "a_ds", "* * * * *"), b=copy("a_ds", "b_ds", tags=AFTER)))
    await second.catalog.load()
    second.workspace_id = first.workspace_id
    await second.queue.start()
    minutes = 20
    for minute in range(1, minutes + 1):
        for each in (first, second):
            each.clock.advance(first.clock.now() - each.clock.now())
        await asyncio.gather(first.until(f"10:{minute:02}"), second.until(f"10:{minute:02}"))
    jobs = await first.jobs()
    ticks = [(job.payload["pipe_name"], job.scheduled_for) for job in jobs]
    assert len(ticks) == len(set(ticks))
    assert [name for name, _ in ticks].count("a") == minutes
    for each in (first, second):
        await each.queue.stop()
        each.database.close()


async def test_the_database_refuses_a_second_job_for_a_tick(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds", "0 * * * *")))
    await times.until("10:00")
    job = (await times.jobs())[0]
    with pytest.raises(Conflict):
        await times.database.run(lambda connection: store.add(connection, replace(job, id="another")))


async def test_a_clock_that_was_wrong_costs_no_more_than_the_times_it_repeats(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds", "0 * * * *"), b=copy("a_ds", "b_ds", tags=AFTER)))
    assert await times.until("10:00") == ["a 10:00", "b 10:00"]
    times.clock.advance(timedelta(days=365))
    assert await times.settle() == ["a 10:00", "b 10:00"]
    times.clock.advance(-timedelta(days=365))
    assert await times.until("10:59") == []
    assert await times.until("11:00") == ["a 11:00", "b 11:00"]
    times.clock.advance(-timedelta(minutes=90))
    assert await times.until("10:00") == []
    assert await times.until("11:00") == []
    assert await times.until("12:00") == ["a 12:00", "b 12:00"]


async def test_a_tag_that_is_taken_away_and_written_again_leaves_out_the_round(times: Timetable) -> None:
    follower = copy("a_ds", "b_ds", tags=AFTER)
    await times.push(project(a=copy("raw", "a_ds", "0 * * * *"), b=follower))
    times.runs.slow["a"] = asyncio.Event()
    assert await times.until("10:00") == ["a 10:00"]
    await times.push({"b.pipe": copy("a_ds", "b_ds")})
    await times.push({"b.pipe": follower})
    times.runs.slow.pop("a").set()
    assert await times.settle() == []
    assert await times.until("11:00") == ["a 11:00", "b 11:00"]


async def test_pause_and_resume(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds", "0 * * * *")))
    await times.scheduler.pause(times.workspace, times.pipe("a"))
    assert await times.until("10:30") == []
    status = times.scheduler.status(times.workspace, times.pipe("a"))
    assert status is not None and status.is_paused and status.next_at is None
    assert await times.restart(at="12:30") == []
    await times.scheduler.resume(times.workspace, times.pipe("a"))
    assert await times.settle() == []
    assert await times.until("13:00") == ["a 13:00"]
    await times.scheduler.resume(times.workspace, times.pipe("a"))
    assert await times.until("14:00") == ["a 14:00"]


async def test_only_a_pipe_with_a_schedule_is_paused(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds")))
    with pytest.raises(Conflict, match="has no schedule"):
        await times.scheduler.pause(times.workspace, times.pipe("a"))


async def test_a_copy_starts_when_the_one_it_reads_has_succeeded(times: Timetable) -> None:
    await times.push(
        project(
            a=copy("raw", "a_ds", "0 * * * *"), b=copy("a_ds", "b_ds", tags=AFTER), c=copy("b_ds", "c_ds", tags=AFTER)
        )
    )
    times.runs.slow["a"] = asyncio.Event()
    assert await times.until("10:00") == ["a 10:00"]
    assert await times.waiting() == {"b": ["a: Its run is working."], "c": ["b: Its run is waiting."]}
    times.runs.slow.pop("a").set()
    assert await times.settle() == ["b 10:00", "c 10:00"]
    assert await times.until("11:03") == ["a 11:00", "b 11:00", "c 11:00"]


async def test_the_graph_leads_through_pipes_and_views(times: Timetable) -> None:
    view = "NODE n\nSQL >\n    SELECT a FROM a_ds\n\nTYPE materialized\nDATASOURCE seen\n"
    plain = "NODE m\nSQL >\n    SELECT a FROM seen\n"
    await times.push({
        **project(a=copy("raw", "a_ds", "0 * * * *")),
        "seen.datasource": table(), "v.pipe": view, "passed_on.pipe": plain,
        "b_ds.datasource": table(), "b.pipe": copy("passed_on", "b_ds", tags=AFTER),
    })  # fmt: skip
    assert await times.until("10:00") == ["a 10:00", "b 10:00"]


async def test_a_view_is_not_waited_for_through_what_it_only_looks_up(times: Timetable) -> None:
    sql = "SELECT raw.a AS a FROM raw ANY LEFT JOIN a_ds USING a"
    view = f"NODE n\nSQL >\n    {sql}\n\nTYPE materialized\nDATASOURCE seen\n"
    await times.push({
        **project(a=copy("raw", "a_ds", "0 * * * *")),
        "seen.datasource": table(), "v.pipe": view,
        "b_ds.datasource": table(), "b.pipe": copy("seen", "b_ds", tags=AFTER),
    })  # fmt: skip
    assert await times.until("10:00") == ["a 10:00"]
    status = times.scheduler.status(times.workspace, times.pipe("b"))
    assert status is not None and status.waits_for == ()


async def test_a_failed_copy_holds_what_follows_it_and_says_so(times: Timetable) -> None:
    await times.push(
        project(
            a=copy("raw", "a_ds", "0 * * * *"),
            b=copy("raw", "b_ds", "0 * * * *"),
            c=copy("a_ds b_ds", "c_ds", tags=AFTER),
        )
    )
    times.runs.failing.add("a")
    assert sorted(await times.until("10:00")) == ["a 10:00", "b 10:00"]
    expected = {"c": ["a: Its run failed: It broke. Its next run is at 2024-05-01 11:00:00."]}
    assert await times.waiting() == expected
    status = times.scheduler.status(times.workspace, times.pipe("c"))
    assert status is not None and [wait.name for wait in status.waits] == ["a"]
    assert await times.restart() == []
    assert await times.waiting() == expected
    times.runs.failing.clear()
    assert sorted(await times.until("11:00")) == ["a 11:00", "b 11:00", "c 11:00"]
    assert await times.waiting() == {}


async def test_a_run_by_hand_mends_a_round(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds", "0 * * * *"), b=copy("a_ds", "b_ds", tags=AFTER)))
    times.runs.failing.add("a")
    assert await times.until("10:00") == ["a 10:00"]
    times.runs.failing.clear()
    await times.until("10:20")
    job = await times.run_now("a")
    assert await times.settle() == ["a 10:20", "b 10:20"]
    assert (await times.queue.get(job.id)).asked_by == "ann"
    assert await times.until("11:00") == ["a 11:00", "b 11:00"]


async def test_a_failed_follower_is_run_by_hand_and_its_own_followers_go_on(times: Timetable) -> None:
    await times.push(
        project(
            a=copy("raw", "a_ds", "0 * * * *"), b=copy("a_ds", "b_ds", tags=AFTER), c=copy("b_ds", "c_ds", tags=AFTER)
        )
    )
    times.runs.failing.add("b")
    assert await times.until("10:00") == ["a 10:00", "b 10:00"]
    assert "b: Its run failed: It broke." in (await times.waiting())["c"][0]
    times.runs.failing.clear()
    await times.until("10:30")
    await times.run_now("b")
    assert await times.settle() == ["b 10:30", "c 10:00"]


async def test_a_copy_that_is_run_by_hand_only_starts_what_follows_it(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds"), b=copy("a_ds", "b_ds", tags=AFTER)))
    assert await times.until("12:00") == []
    await times.run_now("a")
    assert await times.settle() == ["a 12:00", "b 12:00"]
    assert await times.until("13:00") == []


async def test_a_run_by_hand_at_the_moment_of_a_push_starts_what_follows(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds", "0 * * * *"), b=copy("a_ds", "b_ds", tags=AFTER)))
    await times.run_now("a")
    assert await times.settle() == ["a 09:30", "b 09:30"]


async def test_a_follower_of_two_waits_for_both_each_round(times: Timetable) -> None:
    await times.push(
        project(
            a=copy("raw", "a_ds", "5 * * * *"),
            b=copy("raw", "b_ds", "8 * * * *"),
            c=copy("a_ds b_ds", "c_ds", tags=AFTER),
        )
    )
    assert await times.until("10:05") == ["a 10:05"]
    assert await times.waiting() == {"c": ["b: Its next run is at 2024-05-01 10:08:00."]}
    assert await times.until("10:08") == ["b 10:08", "c 10:08"]
    assert await times.until("11:05") == ["a 11:05"]
    assert await times.until("11:08") == ["b 11:08", "c 11:08"]
    assert await times.waiting() == {}


async def test_a_slow_side_of_a_diamond_costs_no_round(times: Timetable) -> None:
    await times.push(
        project(
            x=copy("raw", "x_ds", "*/10 * * * *"),
            y=copy("x_ds", "y_ds", tags=AFTER),
            z=copy("x_ds y_ds", "z_ds", tags=AFTER),
        )
    )
    times.runs.slow["y"] = asyncio.Event()
    assert await times.until("10:00") == ["x 10:00", "y 10:00"]
    assert await times.until("10:10") == ["x 10:10"]
    times.runs.slow.pop("y").set()
    assert sorted(await times.settle()) == ["y 10:10", "z 10:00", "z 10:10"]


async def test_a_copy_with_ticks_of_its_own_waits_at_each_for_what_is_due(times: Timetable) -> None:
    await times.push(
        project(
            a=copy("raw", "a_ds", "0 * * * *"),
            b=copy("a_ds", "b_ds", tags=AFTER),
            daily=copy("b_ds", "daily_ds", "50 10 * * *", tags=AFTER),
            last=copy("daily_ds", "last_ds", tags=AFTER),
        )
    )
    times.runs.slow["b"] = asyncio.Event()
    assert await times.until("10:00") == ["a 10:00", "b 10:00"]
    assert await times.until("10:51") == []
    assert (await times.waiting())["daily"] == ["b: Its run is working."]
    assert await times.until("11:00") == ["a 11:00"]
    times.runs.slow.pop("b").set()
    ran = await times.settle()
    assert sorted(ran) == ["b 11:00", "daily 10:50", "last 10:50"]
    assert await times.until("12:00") == ["a 12:00", "b 12:00"]


async def test_a_cycle_is_broken_by_a_member_that_stays_behind(times: Timetable) -> None:
    """names (hourly) reads the buckets of the hour before, members the names, buckets the members."""
    await times.push(
        project(
            names=copy("buckets_ds raw", "names_ds", "5 * * * *"),
            members=copy("names_ds raw", "members_ds", tags=AFTER),
            buckets=copy("members_ds raw", "buckets_ds", tags=AFTER),
        )
    )
    assert await times.until("10:06") == ["names 10:05", "members 10:05", "buckets 10:05"]
    behind = copy("buckets_ds raw", "names_ds", "5 * * * *", tags=f"{AFTER}&run_behind=buckets")
    await times.push({"names.pipe": behind})
    assert await times.until("11:06") == ["names 11:05", "members 11:05", "buckets 11:05"]


async def test_a_copy_that_reads_its_own_target_does_not_wait_for_itself(times: Timetable) -> None:
    await times.push(
        project(a=copy("raw", "a_ds", "0 * * * *"), b=copy("a_ds b_ds", "b_ds", tags=AFTER, mode="replace"))
    )
    assert await times.until("10:00") == ["a 10:00", "b 10:00"]
    assert await times.until("11:00") == ["a 11:00", "b 11:00"]


async def test_a_kill_in_a_round_loses_nothing_of_it(times: Timetable) -> None:
    await times.push(
        project(
            a=copy("raw", "a_ds", "0 * * * *"), b=copy("a_ds", "b_ds", tags=AFTER), c=copy("b_ds", "c_ds", tags=AFTER)
        )
    )
    times.runs.slow["a"] = asyncio.Event()
    assert await times.until("10:00") == ["a 10:00"]
    assert await times.restart() == ["a 10:00", "b 10:00", "c 10:00"]
    times.runs.slow["b"] = asyncio.Event()
    assert await times.until("11:00") == ["a 11:00", "b 11:00"]
    assert await times.restart() == ["b 11:00", "c 11:00"]


async def test_cancelling_a_run_that_is_held_leaves_out_this_round(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds", "0 * * * *"), b=copy("a_ds", "b_ds", tags=AFTER)))
    times.runs.slow["a"] = asyncio.Event()
    await times.until("10:00")
    held = next(job for job in await times.jobs() if job.is_held)
    await times.queue.cancel(held.id)
    times.runs.slow.pop("a").set()
    assert await times.settle() == []
    assert await times.until("11:00") == ["a 11:00", "b 11:00"]


async def test_pausing_drops_a_run_that_is_held_and_resuming_takes_what_is_new(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds", "0 * * * *"), b=copy("a_ds", "b_ds", tags=AFTER)))
    times.runs.slow["a"] = asyncio.Event()
    await times.until("10:00")
    await times.scheduler.pause(times.workspace, times.pipe("b"))
    assert await times.waiting() == {}
    times.runs.slow.pop("a").set()
    assert await times.until("11:00") == ["a 11:00"]
    await times.scheduler.resume(times.workspace, times.pipe("b"))
    assert await times.settle() == ["b 11:00"]


async def test_what_follows_a_paused_copy_says_that_it_is_paused(times: Timetable) -> None:
    await times.push(
        project(
            a=copy("raw", "a_ds", "0 * * * *"),
            b=copy("raw", "b_ds", "0 * * * *"),
            c=copy("a_ds b_ds", "c_ds", tags=AFTER),
        )
    )
    await times.scheduler.pause(times.workspace, times.pipe("b"))
    assert await times.until("10:00") == ["a 10:00"]
    assert await times.waiting() == {"c": ["b: It is paused."]}


async def test_a_run_that_is_held_goes_with_its_pipe_or_its_schedule(times: Timetable) -> None:
    files = project(
        a=copy("raw", "a_ds", "0 * * * *"), b=copy("a_ds", "b_ds", tags=AFTER), c=copy("a_ds", "c_ds", tags=AFTER)
    )
    await times.push(files)
    times.runs.slow["a"] = asyncio.Event()
    await times.until("10:00")
    await times.delete("b")
    await times.push({"c.pipe": copy("a_ds", "c_ds")})
    assert await times.waiting() == {}
    times.runs.slow.pop("a").set()
    assert await times.settle() == []


async def test_a_pipe_pushed_after_its_upstream_has_run_waits_for_the_next_run(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds", "0 * * * *")))
    await times.until("10:00")
    await times.push(project(b=copy("a_ds", "b_ds", tags=AFTER)))
    assert await times.settle() == []
    assert await times.until("11:00") == ["a 11:00", "b 11:00"]


async def test_a_tick_of_a_pipe_that_cannot_run_is_there_as_a_failed_job(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds", "0 * * * *")))
    before = times.workspace
    await times.catalog.commit(before, before.with_changes((), [before.datasource("a_ds").id]))
    assert await times.until("10:00") == []
    job = (await times.jobs())[0]
    assert job.status is JobStatus.ERROR and "a_ds" in (job.error or "")


async def test_a_run_that_was_held_fails_when_it_cannot_run_any_more(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds", "0 * * * *"), b=copy("a_ds", "b_ds", tags=AFTER)))
    times.runs.slow["a"] = asyncio.Event()
    await times.until("10:00")
    before = times.workspace
    await times.catalog.commit(before, before.with_changes((), [before.datasource("b_ds").id]))
    times.runs.slow.pop("a").set()
    assert await times.settle() == []
    (job,) = [job for job in await times.jobs() if job.payload["pipe_name"] == "b"]
    assert job.status is JobStatus.ERROR and "b_ds" in (job.error or "")


async def test_a_full_queue_takes_a_tick_later(database: Database) -> None:
    times = await Timetable(database, workers=1).open()
    await times.push(project(**{name: copy("raw", f"{name}_ds", "0 * * * *") for name in ("a", "b", "c")}))
    times.queue._waiting_max = 2
    times.runs.slow["a"] = times.runs.slow["b"] = times.runs.slow["c"] = asyncio.Event()
    assert len(await times.until("10:00")) == 1
    assert len(await times.jobs()) == 3
    times.runs.slow["a"].set()
    await times.settle()
    assert sorted(job.payload["pipe_name"] for job in await times.jobs()) == ["a", "b", "c"]
    await times.queue.stop()


async def test_with_schedules_off_a_copy_runs_by_hand_only(database: Database) -> None:
    times = await Timetable(database, follow_schedules=False).open()
    await times.push(project(a=copy("raw", "a_ds", "0 * * * *"), b=copy("a_ds", "b_ds", tags=AFTER)))
    assert await times.until("11:30") == []
    times.scheduler.start()
    await times.run_now("a")
    await times.run_now("b")
    assert await times.settle() == ["a 11:30", "b 11:30"]
    await times.scheduler.pause(times.workspace, times.pipe("a"))
    times.follow_schedules = True
    assert await times.restart(at="12:30") == []
    await times.scheduler.resume(times.workspace, times.pipe("a"))
    assert await times.until("13:00") == ["a 13:00", "b 13:00"]
    await times.queue.stop()


async def test_a_run_that_is_held_for_days_is_still_listed(times: Timetable) -> None:
    await times.push(project(a=copy("raw", "a_ds", "0 10 1 5 *"), b=copy("a_ds", "b_ds", tags=AFTER)))
    times.runs.failing.add("a")
    await times.until("10:00")
    for _ in range(4):
        await times.until("09:00")
    assert list(await times.waiting()) == ["b"]
    assert len(await times.jobs()) == 1


async def test_the_scheduler_looks_by_itself(times: Timetable, monkeypatch: pytest.MonkeyPatch) -> None:
    await times.push(project(a=copy("raw", "a_ds", "0 * * * *"), b=copy("a_ds", "b_ds", tags=AFTER)))
    monkeypatch.setattr("birdhouse.jobs.scheduler.LOOK_SECONDS", 0.001)
    scheduler: Scheduler = times.scheduler
    scheduler.start()
    times.clock.advance(times.clock.now().replace(hour=10, minute=0) - times.clock.now())
    async with asyncio.timeout(10):
        while times.runs.ran != ["a 10:00", "b 10:00"]:
            await times.database.run(lambda connection: None)
    await scheduler.stop()

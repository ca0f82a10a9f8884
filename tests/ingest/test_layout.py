"""Rows are fitted and written in one layout of their table: a change waits for them, new ones wait for the change."""

from __future__ import annotations

import asyncio

import pytest

from birdhouse.engine.types import TableName
from birdhouse.errors import Busy, Conflict
from birdhouse.ingest.layout import FilesUnderWay, Layouts

TABLE, OTHER = TableName("w", "t_1"), TableName("w", "t_2")


async def begun(work: asyncio.Task[None]) -> bool:
    """Whether it has ended after all that could run has run."""
    for _ in range(20):
        await asyncio.sleep(0)
    return work.done()


async def hold(context: object, log: list[str], name: str, until: asyncio.Event | None = None) -> None:
    async with context:  # type: ignore[attr-defined]
        log.append(f"{name} in")
        if until is not None:
            await until.wait()
        log.append(f"{name} out")


async def test_a_change_waits_for_requests_and_later_requests_wait_for_it() -> None:
    layouts, log, end = Layouts(), [], asyncio.Event()
    first = asyncio.create_task(hold(layouts.request(TABLE), log, "first", end))
    await asyncio.sleep(0)
    change = asyncio.create_task(hold(layouts.changing([TABLE]), log, "change"))
    await asyncio.sleep(0)
    second = asyncio.create_task(hold(layouts.request(TABLE), log, "second"))
    other = asyncio.create_task(hold(layouts.request(OTHER), log, "other"))
    assert not await begun(change)
    assert not second.done() and other.done()
    end.set()
    await asyncio.gather(first, change, second)
    assert log == [
        "first in",
        "other in",
        "other out",
        "first out",
        "change in",
        "change out",
        "second in",
        "second out",
    ]


async def test_a_file_is_not_waited_for_with_requests_held_up() -> None:
    layouts, log, end = Layouts(), [], asyncio.Event()
    file = asyncio.create_task(hold(layouts.file(TABLE), log, "file", end))
    await asyncio.sleep(0)
    with pytest.raises(FilesUnderWay):
        async with layouts.changing([TABLE]):
            pass
    free = asyncio.create_task(layouts.without_files([TABLE]))
    await hold(layouts.request(TABLE), log, "request")
    assert not await begun(free)
    end.set()
    await asyncio.gather(free, file)
    async with layouts.changing([TABLE]):
        log.append("change")
    assert log == ["file in", "request in", "request out", "file out", "change"]


async def test_files_that_never_end_are_not_waited_for_for_ever() -> None:
    layouts = Layouts()
    async with layouts.file(TABLE):
        with pytest.raises(Busy, match="imported all the time"):
            await layouts.without_files([TABLE], seconds_max=0.05)


async def test_changes_of_a_table_come_one_after_the_other() -> None:
    layouts, log, end = Layouts(), [], asyncio.Event()
    first = asyncio.create_task(hold(layouts.changing([TABLE]), log, "first", end))
    await asyncio.sleep(0)
    with pytest.raises(FilesUnderWay):
        async with layouts.changing([TABLE]):
            pass
    request = asyncio.create_task(hold(layouts.request(TABLE), log, "request"))
    assert not await begun(request)
    end.set()
    await asyncio.gather(first, request)
    assert log == ["first in", "first out", "request in", "request out"]


async def test_a_change_that_is_cancelled_while_it_waits_leaves_the_way_free() -> None:
    layouts, log, end = Layouts(), [], asyncio.Event()
    request = asyncio.create_task(hold(layouts.request(TABLE), log, "request", end))
    await asyncio.sleep(0)
    change = asyncio.create_task(hold(layouts.changing([TABLE]), log, "change"))
    await asyncio.sleep(0)
    change.cancel()
    assert await begun(change)
    await hold(layouts.request(TABLE), log, "later")
    end.set()
    await request
    assert log == ["request in", "later in", "later out", "request out"]


async def test_nothing_is_remembered_of_tables_that_nobody_uses() -> None:
    layouts = Layouts()
    async with layouts.request(TABLE), layouts.file(OTHER):
        pass
    async with layouts.changing([TABLE, OTHER]):
        pass
    assert layouts._uses == {}


def test_rows_are_not_taken_away_while_they_are_written_again() -> None:
    layouts = Layouts()
    with layouts.rewriting(TABLE):
        layouts.refuse_while_rewritten(OTHER, "other")
        with pytest.raises(Conflict, match="'source' are being written again"):
            layouts.refuse_while_rewritten(TABLE, "source")
    layouts.refuse_while_rewritten(TABLE, "source")

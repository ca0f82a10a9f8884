"""Puts several tables in the places of others as one change, also when the process dies between two of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from birdhouse.engine.pool import uninterrupted
from birdhouse.engine.protocol import Engine
from birdhouse.engine.tables import stored_tables
from birdhouse.engine.types import TableName
from birdhouse.errors import BirdhouseError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Exchange:
    """The table with that uuid, which is called `stage` now, takes the place of the one that is called `table`."""

    stage: TableName
    table: TableName
    uuid: str


Keep = Callable[[Sequence[Exchange]], Awaitable[None]]
"""Stores what is about to be exchanged, for `finish_exchanges` at the next start; () when nothing is any more."""


async def exchange_all(engine: Engine, exchanges: Sequence[Exchange], keep: Keep) -> None:
    """All of them, or none when one fails. The caller holds the inserts."""
    is_one_step = len(exchanges) == 1
    if not is_one_step:
        await keep(exchanges)
    try:
        for each in exchanges:
            await _exchange(engine, each)
    except BaseException:
        await uninterrupted(_take_back(engine, exchanges, keep))
        raise
    if not is_one_step:
        await keep(())


async def _take_back(engine: Engine, exchanges: Sequence[Exchange], keep: Keep) -> None:
    try:
        for each in reversed(exchanges):
            if not await _is_at_its_stage(engine, each):
                await _exchange(engine, each)
        await keep(())
    except BirdhouseError as error:  # the failure that led here is the one to tell; the next start does what was kept
        log.warning("exchange_left_to_the_next_start", error=str(error))


async def finish_exchanges(engine: Engine, exchanges: Sequence[Exchange]) -> None:
    """Does those that an interrupted `exchange_all` had not come to."""
    for each in exchanges:
        if await _is_at_its_stage(engine, each):
            await _exchange(engine, each)


async def _is_at_its_stage(engine: Engine, each: Exchange) -> bool:
    stored = await stored_tables(engine, each.stage.database, [each.stage.table])
    return each.stage.table in stored and stored[each.stage.table].uuid == each.uuid


async def _exchange(engine: Engine, each: Exchange) -> None:
    await engine.execute(f"EXCHANGE TABLES {each.stage} AND {each.table}")

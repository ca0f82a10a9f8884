from __future__ import annotations

import asyncio
from typing import cast

from birdhouse.engine.protocol import Engine
from birdhouse.jobs.gate import WriteGate


async def _turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Traffic:
    def __init__(self) -> None:
        self.gate = WriteGate(cast(Engine, None))
        self.log: list[str] = []
        self.go = {name: asyncio.Event() for name in ("w1", "w2", "h1", "h2")}

    def begin(self, name: str, database: str = "d") -> asyncio.Task[None]:
        return asyncio.create_task(self._pass(name, database))

    async def _pass(self, name: str, database: str) -> None:
        async with self.gate.held(database) if name[0] == "h" else self.gate.writing(database):
            self.log.append(name)
            await self.go[name].wait()


async def test_writers_go_together_and_a_holder_waits_for_them_alone() -> None:
    traffic = Traffic()
    tasks = [traffic.begin("w1"), traffic.begin("w2")]
    await _turn()
    tasks.append(traffic.begin("h1"))
    await _turn()
    assert traffic.log == ["w1", "w2"]
    traffic.go["w1"].set()
    traffic.go["w2"].set()
    await _turn()
    assert traffic.log == ["w1", "w2", "h1"]
    traffic.go["h1"].set()
    await asyncio.gather(*tasks)


async def test_a_writer_that_comes_after_a_holder_waits_until_all_holders_are_done() -> None:
    traffic = Traffic()
    tasks = [traffic.begin("h1"), traffic.begin("w1"), traffic.begin("h2")]
    await _turn()
    assert traffic.log == ["h1"]
    traffic.go["h1"].set()
    await _turn()
    assert traffic.log == ["h1", "h2"]
    for event in traffic.go.values():
        event.set()
    await asyncio.gather(*tasks)
    assert traffic.log == ["h1", "h2", "w1"]


async def test_a_holder_that_gives_up_lets_writers_go_on() -> None:
    traffic = Traffic()
    writer = traffic.begin("w1")
    await _turn()
    holder = traffic.begin("h1")
    await _turn()
    second = traffic.begin("w2")
    await _turn()
    assert traffic.log == ["w1"]
    holder.cancel()
    await _turn()
    assert traffic.log == ["w1", "w2"]
    for event in traffic.go.values():
        event.set()
    await asyncio.gather(writer, second)


async def test_another_database_is_not_held() -> None:
    traffic = Traffic()
    tasks = [traffic.begin("h1", "d"), traffic.begin("w1", "e")]
    await _turn()
    assert traffic.log == ["h1", "w1"]
    for event in traffic.go.values():
        event.set()
    await asyncio.gather(*tasks)

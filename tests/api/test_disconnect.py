import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from birdhouse.api import disconnect
from birdhouse.errors import Cancelled


def client(gone: asyncio.Event, asked: list[str]) -> Request:
    async def receive() -> Message:
        asked.append("asked")
        await gone.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disconnect, "QUIET_SECONDS", 0.005)


async def test_work_that_is_done_at_once_is_not_watched() -> None:
    asked: list[str] = []

    async def work() -> int:
        return 7

    assert await disconnect.while_connected(client(asyncio.Event(), asked), work()) == 7
    await asyncio.sleep(0.02)
    assert asked == []


async def test_work_ends_when_its_client_goes_away() -> None:
    gone = asyncio.Event()
    ended: list[str] = []

    async def work() -> None:
        gone.set()
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            ended.append("work")
            raise

    with pytest.raises(Cancelled):
        await disconnect.while_connected(client(gone, []), work())
    assert ended == ["work"]
    await asyncio.sleep(0)  # the task itself goes on


async def test_a_slow_answer_is_given_to_a_client_that_waits() -> None:
    asked: list[str] = []

    async def work() -> int:
        await asyncio.sleep(0.02)
        return 7

    assert await disconnect.while_connected(client(asyncio.Event(), asked), work()) == 7
    assert asked == ["asked"]


async def test_a_cancelled_request_stays_cancelled() -> None:
    request = client(asyncio.Event(), [])
    task = asyncio.create_task(disconnect.while_connected(request, asyncio.sleep(10)))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_work_is_raised_as_it_is() -> None:
    async def work() -> None:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        await disconnect.while_connected(client(asyncio.Event(), []), work())

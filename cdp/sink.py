"""Sends rows to the events API and waits until they are durable."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple, Protocol, Self

import httpx
import orjson

from cdp.errors import EventsRejected, EventsUnreachable

BODY_BYTES_MAX = 5_000_000
BODY_ROWS_MAX = 10_000
IN_FLIGHT_MAX = 4
ATTEMPTS_MAX = 8
WAIT_SECONDS_MAX = 60.0
_GZIP_LEVEL = 1
_REQUEST_TIMEOUT_SECONDS = 120.0
# Safe to repeat: a row that arrives twice is one version of one row.
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_REASON_LENGTH_MAX = 500


class Receipt(NamedTuple):
    rows: int = 0
    quarantined_rows: int = 0

    def plus(self, other: Receipt) -> Receipt:
        return Receipt(self.rows + other.rows, self.quarantined_rows + other.quarantined_rows)


class Sink(Protocol):
    @property
    def destination(self) -> str:
        """Names where rows go; what one destination has says nothing about another."""
        ...

    async def send(self, datasource: str, rows: Iterable[bytes]) -> Receipt:
        """Returns when every row is durable. A row is one JSON object without a line end."""
        ...


class EventsSink:
    def __init__(
        self,
        host: str,
        token: str,
        *,
        compress: bool = False,
        in_flight: int = IN_FLIGHT_MAX,
        backoff_seconds: float = 0.5,
    ) -> None:
        """`host` is the address of the server, such as http://127.0.0.1:7181."""
        self._host = host.rstrip("/")
        self._compress = compress
        self._backoff_seconds = backoff_seconds
        self._slots = asyncio.Semaphore(in_flight)
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"},
            timeout=_REQUEST_TIMEOUT_SECONDS,
        )

    @property
    def destination(self) -> str:
        return self._host

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def send(self, datasource: str, rows: Iterable[bytes]) -> Receipt:
        """At most `in_flight` bodies exist at a time, over all sends of this sink."""
        posts: list[asyncio.Task[Receipt]] = []
        try:
            async with asyncio.TaskGroup() as group:
                for body in bodies(rows):
                    await self._slots.acquire()
                    posts.append(group.create_task(self._post_in_slot(datasource, body)))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        total = Receipt()
        for post in posts:
            total = total.plus(post.result())
        return total

    async def _post_in_slot(self, datasource: str, body: Body) -> Receipt:
        try:
            return await self._post(datasource, body)
        finally:
            self._slots.release()

    async def _post(self, datasource: str, body: Body) -> Receipt:
        content, headers = body.content, {}
        if self._compress:
            content = await asyncio.to_thread(gzip.compress, content, _GZIP_LEVEL)
            headers = {"Content-Encoding": "gzip"}
        problem = ""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            wait_seconds = self._backoff_seconds * 2 ** (attempt - 1)
            try:
                answer = await self._client.post(
                    f"{self._host}/v0/events",
                    params={"name": datasource, "wait": "true"},
                    content=content,
                    headers=headers,
                )
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise EventsRejected(detail=f"({self._host}: {error})") from error
            else:
                if answer.status_code not in _RETRIED:
                    return _receipt(datasource, body.rows, answer)
                problem = f"status {answer.status_code}: {answer.text[:_REASON_LENGTH_MAX]}"
                wait_seconds = _retry_after_seconds(answer, wait_seconds)
            if attempt < ATTEMPTS_MAX:
                await asyncio.sleep(min(wait_seconds, WAIT_SECONDS_MAX))
        raise EventsUnreachable(
            f"{self._host} did not take {body.rows} rows of {datasource} in {ATTEMPTS_MAX} attempts.",
            detail=f"({problem})",
            hint="Run it again when the server is well: rows already sent are not doubled.",
        )


class Body(NamedTuple):
    content: bytes
    rows: int


def bodies(rows: Iterable[bytes]) -> Iterator[Body]:
    """NDJSON of at most 5 MB and 10,000 rows; a larger row travels alone."""
    lines: list[bytes] = []
    size_bytes = 0
    for row in rows:
        if lines and (len(lines) == BODY_ROWS_MAX or size_bytes + len(row) + 1 > BODY_BYTES_MAX):
            yield Body(b"\n".join(lines) + b"\n", len(lines))
            lines, size_bytes = [], 0
        lines.append(row)
        size_bytes += len(row) + 1
    if lines:
        yield Body(b"\n".join(lines) + b"\n", len(lines))


def _receipt(datasource: str, rows: int, answer: httpx.Response) -> Receipt:
    if not answer.is_success:
        raise EventsRejected(
            f"The server refused rows of {datasource}.",
            detail=f"(status {answer.status_code}: {answer.text[:_REASON_LENGTH_MAX]})",
            hint=_HINTS.get(answer.status_code, ""),
        )
    try:
        counts = orjson.loads(answer.content)
        receipt = Receipt(rows, int(counts["quarantined_rows"]))
        stored = int(counts["successful_rows"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise EventsRejected(
            f"The answer for rows of {datasource} is not one of the events API.",
            detail=f"({answer.text[:_REASON_LENGTH_MAX]!r})",
            hint="Does --host name a Birdhouse or Tinybird server?",
        ) from error
    if stored + receipt.quarantined_rows != rows:
        raise EventsRejected(f"The server counted {stored + receipt.quarantined_rows} of {rows} rows of {datasource}.")
    return receipt


_HINTS = {
    401: "Check the token.",
    403: "The token needs the scope DATASOURCES:APPEND for this data source.",
    404: "Deploy the data project before sending to it.",
    413: "The server accepts smaller bodies than 5 MB.",
    422: "The rows are in, but a materialized view on them failed: mend it before sending again.",
}


def _retry_after_seconds(answer: httpx.Response, otherwise: float) -> float:
    """`Retry-After` holds seconds or a date."""
    text = answer.headers.get("Retry-After", "").strip()
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return otherwise
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())

"""The embedded engine: ClickHouse inside this process, on a directory that belongs to it alone.

What chDB forces on the design. A connection runs one statement at a time, so every worker thread has its own.
A statement's id cannot be chosen, so a thread's connections carry a `log_comment` to end statements by. Output
that a failed statement has already produced stays in its connection and comes out *in front of the next
result*, so a connection is thrown away after any failure. Settings ride on the connection: there they cost
nothing per statement, cannot leak into another one, and `readonly` cannot be undone.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
import threading
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import chdb

from birdhouse.engine.channel import Channel
from birdhouse.engine.failures import Translation, discreet, insert_failure, statement_failure
from birdhouse.engine.header import HEADED_FORMATS, header_of
from birdhouse.engine.pool import Pool, ignore_outcome, uninterrupted
from birdhouse.engine.statement import (
    ROW_FORMATS,
    Settings,
    bound_parameters,
    connection_url,
    insert_statement,
    limit_settings,
)
from birdhouse.engine.types import (
    NO_PARAMETERS,
    Capabilities,
    Insert,
    Lane,
    Limits,
    Progress,
    Query,
    Result,
    Statistics,
)
from birdhouse.errors import Cancelled, CannotStart, DataDirectoryInUse, SqlError, StorageFull

CONNECTIONS_PER_WORKER_MAX = 8

_COMMON: Settings = {
    "async_insert": 0,
    "joined_subquery_requires_alias": 0,
    "output_format_json_quote_64bit_integers": 0,
    "session_timezone": "UTC",
}
# With one thread, handing rows to others for formatting costs a quarter of a small query and gains nothing; there is
# no log of queries here to write into.
_READS: Settings = {
    **_COMMON,
    "readonly": 1,
    "max_threads": 1,
    "output_format_parallel_formatting": 0,
    "log_queries": 0,
}
# A token counts on a repeated body being cut into the same blocks: one thread keeps the cut stable.
_WRITES: Settings = {**_COMMON, "max_threads": 1, "max_insert_threads": 1, "input_format_parallel_parsing": 0}
_NOT_COMPILED: Settings = {
    "compile_expressions": 0,
    "compile_aggregate_expressions": 0,
    "compile_sort_description": 0,
    "compile_regular_expressions": 0,
}


@dataclass(frozen=True, slots=True)
class ChdbConfig:
    """`memory_bytes_max` is for the process.

    `read_limits` count where a query states none of its own, `stream_limits` likewise where its answer is streamed.
    """

    memory_bytes_max: int
    read_workers: int = 4
    write_workers: int = 2
    job_workers: int = 1
    control_workers: int = 1
    stream_connections_max: int = 8
    waiting_statements_max: int = 1000
    waiting_reads_seconds_max: float = 30.0
    """After that nobody is left who wants the answer of a query that still waits for a worker."""
    compiles: bool = True
    backups_path: Path | None = None
    read_limits: Limits = field(default_factory=Limits)
    stream_limits: Limits = field(default_factory=Limits)


class Seat:
    """A worker's connections: one for each set of settings it met lately, all with the same log_comment."""

    def __init__(self, path: str, settings: Settings) -> None:
        self.log_comment = f"birdhouse-{uuid.uuid4().hex}"
        self._path = path
        self._settings: Settings = {**settings, "log_comment": self.log_comment}
        self._connections: OrderedDict[frozenset[tuple[str, object]], Any] = OrderedDict()

    @contextmanager
    def connection(self, own: Settings, translate: Translation) -> Iterator[Any]:
        """A connection with the lane's settings and these; it is closed when the body fails."""
        key = frozenset(own.items())
        connection = self._connections.pop(key, None)
        try:
            if connection is None:
                connection = _connect(self._path, {**self._settings, **own})
            yield connection
        except BaseException as failure:
            if connection is not None:
                connection.close()
            if isinstance(failure, RuntimeError):
                raise translate(str(failure)) from failure
            if isinstance(failure, TypeError):  # the binding's answer to text with lone surrogates
                raise SqlError("The statement or a parameter is not valid Unicode text.") from failure
            raise
        self._keep(key, connection)

    def _keep(self, key: frozenset[tuple[str, object]], connection: Any) -> None:
        self._connections[key] = connection
        if len(self._connections) > CONNECTIONS_PER_WORKER_MAX:
            self._connections.popitem(last=False)[1].close()

    def close(self) -> None:
        while self._connections:
            self._connections.popitem()[1].close()


class ChdbEngine:
    """`birdhouse.engine.protocol.Engine` on chDB: one per process, and the only reader of its directory."""

    def __init__(self, path: Path, config: ChdbConfig, keeper: Any) -> None:
        self.capabilities = Capabilities(
            name="chdb", version=_version(keeper), supports_query_id=False, supports_replication=False
        )
        self._path = str(path)
        self._known_settings = _setting_names(keeper)
        self._keeper = keeper
        self._keeper_turn = threading.Lock()
        self._channels: set[Channel] = set()
        self._enders = ThreadPoolExecutor(1, thread_name_prefix="engine-end")
        every: Settings = {} if config.compiles else _NOT_COMPILED
        reads: Settings = {**_READS, **every, **limit_settings(config.read_limits)}
        pool = partial(self._open_pool, waiting_max=config.waiting_statements_max)
        read_pool = partial(pool, waiting_seconds_max=config.waiting_reads_seconds_max)
        streams: Settings = {**_READS, **every, **limit_settings(config.stream_limits)}
        self._streams = read_pool("stream", config.stream_connections_max, streams)
        self._lanes = {
            Lane.READ: read_pool("read", config.read_workers, reads),
            Lane.WRITE: pool("write", config.write_workers, {**_WRITES, **every}),
            Lane.JOB: pool("job", config.job_workers, {**_COMMON, **every}),
            Lane.CONTROL: pool("control", config.control_workers, _COMMON),
        }

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, config: ChdbConfig) -> ChdbEngine:
        """Opens or creates the data directory. Blocks for a few tenths of a second."""
        directory = Path(path).absolute()
        return cls(directory, config, _open_directory(directory, config))

    async def select(self, query: Query, /) -> Result:
        own = self._own_settings(query)
        parameters = bound_parameters(query.sql, query.parameters)

        failure = discreet(statement_failure, query.parameters.values())

        def work(seat: Seat) -> Result:
            with seat.connection(own, failure) as connection:
                result = connection.query(query.sql, query.format, params=parameters)
                return Result(result.bytes(), _statistics(result))

        return await self._lanes[query.lane].run(work)

    @asynccontextmanager
    async def stream(self, query: Query, /) -> AsyncIterator[AsyncIterator[bytes]]:
        """An error that the statement has from the start raises on entering."""
        if query.format not in ROW_FORMATS | HEADED_FORMATS:
            raise SqlError(f"The format {query.format} cannot be streamed.", hint="Use a format of plain rows.")
        own = self._own_settings(query)
        channel = Channel()
        self._channels.add(channel)
        work = partial(_send_chunks, channel, query, own)
        sending = asyncio.create_task(self._streams.run(work))
        sending.add_done_callback(lambda _: channel.end())
        try:
            first = await channel.receive()
            if first is None:
                await sending
            yield _chunks(first, channel, sending)
        finally:
            self._channels.discard(channel)
            channel.abandon()
            sending.cancel()
            await uninterrupted(sending)
            ignore_outcome(sending)

    async def insert(self, insert: Insert, /) -> None:
        self._check_names(insert.settings)

        def work(seat: Seat) -> None:
            with _as_file(insert.data) as path, seat.connection({}, insert_failure) as connection:
                connection.query(insert_statement(insert, path), "Null")

        await self._lanes[Lane.WRITE].run(work)

    async def execute(
        self,
        statement: str,
        /,
        *,
        lane: Lane = Lane.CONTROL,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
        on_progress: Callable[[Progress], None] | None = None,
        parameters: Mapping[str, str] = NO_PARAMETERS,
    ) -> Statistics:
        own = limit_settings(limits)
        bound = bound_parameters(statement, parameters)
        failure = discreet(statement_failure, parameters.values())
        report = _in_loop(on_progress) if on_progress else None

        def work(seat: Seat) -> Statistics:
            with seat.connection(own, failure) as connection, _progress(connection, report):
                return _statistics(connection.query(statement, "Null", params=bound))

        return await self._lanes[lane].run(work)

    async def close(self) -> None:
        """Ends whatever still runs and gives the directory free."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        # A worker that waits for a slow reader hears of nothing else.
        for channel in tuple(self._channels):
            channel.abandon()
        for pool in (self._streams, *self._lanes.values()):
            pool.close()
        self._enders.shutdown()
        self._keeper.close()

    def _open_pool(
        self, name: str, workers: int, settings: Settings, *, waiting_max: int, waiting_seconds_max: float | None = None
    ) -> Pool[Seat]:
        return Pool(
            name,
            workers=workers,
            waiting_max=waiting_max,
            waiting_seconds_max=waiting_seconds_max,
            open_seat=partial(Seat, self._path, settings),
            end=self._kill,
            enders=self._enders,
        )

    def _kill(self, seat: Seat) -> None:
        # A KILL that fails, for lack of memory say, is repeated by the pool.
        with self._keeper_turn, suppress(RuntimeError):
            self._keeper.query(f"KILL QUERY WHERE Settings['log_comment'] = '{seat.log_comment}' ASYNC", "Null")

    def _own_settings(self, query: Query) -> dict[str, str | int | float]:
        self._check_names(query.settings)
        return {**limit_settings(query.limits), **query.settings}

    def _check_names(self, settings: Mapping[str, object]) -> None:
        """The engine silently ignores a setting it does not know when it comes with the connection."""
        for name in settings:
            if name not in self._known_settings or name in ("readonly", "log_comment"):
                raise SqlError(f"There is no setting {name} to choose.", name="UNKNOWN_SETTING", code=115)


def _open_directory(path: Path, config: ChdbConfig) -> Any:
    """The first connection, which starts the embedded server with the arguments that hold for the process."""
    arguments: dict[str, str | int] = {"max_server_memory_usage": config.memory_bytes_max}
    if config.backups_path is not None:
        arguments["backups.allowed_path"] = f"{config.backups_path.absolute()}/"
    address = _plain(path)
    in_use = DataDirectoryInUse(detail=f"({path})", hint="Stop the other server, or choose another directory.")
    try:
        path.mkdir(parents=True, exist_ok=True)
        if _is_locked(path / "status"):  # asked first, because the engine complains on the error stream
            raise in_use
        return _connect(address, arguments)
    except OSError as failure:
        raise CannotStart("The data directory cannot be made.", detail=f"({failure})") from failure
    except RuntimeError as failure:
        if _is_locked(path / "status"):
            raise in_use from failure
        raise CannotStart("The engine cannot open its data directory.", detail=f"({path}: {failure})") from failure


def _connect(path: str, settings: Settings) -> Any:
    return chdb.connect(connection_url(path, settings))  # type: ignore[no-untyped-call]


def _plain(path: Path) -> str:
    if any(sign in str(path) for sign in "?#%&"):
        raise CannotStart("The path of the data directory has a character the engine cannot take.", detail=f"({path})")
    return str(path)


def _is_locked(file: Path) -> bool:
    """Whether another process holds the lock that the engine takes on its directory."""
    try:
        with file.open("rb") as status:
            fcntl.flock(status, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _version(connection: Any) -> str:
    return str(connection.query("SELECT version()", "TSVRaw").bytes().decode().strip())


def _setting_names(connection: Any) -> frozenset[str]:
    return frozenset(connection.query("SELECT name FROM system.settings", "TSVRaw").bytes().decode().split())


def _statistics(result: Any) -> Statistics:
    # rows_read() of a result counts its rows, not those read for it; a statement that writes has none.
    return Statistics(
        elapsed_seconds=result.elapsed(),
        rows_read=result.storage_rows_read(),
        bytes_read=result.storage_bytes_read(),
        result_rows=result.rows_read() or result.rows_written(),
    )


def _send_chunks(channel: Channel, query: Query, own: Settings, seat: Seat) -> None:
    parameters = bound_parameters(query.sql, query.parameters)
    with seat.connection(own, discreet(statement_failure, query.parameters.values())) as connection:
        header = b""
        for chunk in connection.send_query(query.sql, query.format, params=parameters):
            # Each chunk is a document with a header of its own; a result without rows has no chunk at all.
            rows = chunk.bytes()
            rows = rows.removeprefix(header) if header else rows
            header = header or header_of(query.format, rows)
            if not channel.send(rows):
                # Leaving with an error closes the connection and with it the open stream.
                raise Cancelled()
        if query.format in HEADED_FORMATS and not header:
            empty = f"SELECT * FROM (\n{query.sql}\n) LIMIT 0"
            channel.send(connection.query(empty, query.format, params=parameters).bytes())


async def _chunks(first: bytes | None, channel: Channel, sending: asyncio.Task[None]) -> AsyncIterator[bytes]:
    chunk = first
    while chunk is not None:
        yield chunk
        chunk = await channel.receive()
    await sending


@contextmanager
def _progress(connection: Any, report: Callable[[Progress], None] | None) -> Iterator[None]:
    if report is None:
        yield
        return
    connection.set_progress_callback(lambda state: report(_progress_of(state)))
    yield
    connection.set_progress_callback(None)


def _progress_of(state: Mapping[str, int]) -> Progress:
    return Progress(
        rows_read=state["read_rows"], bytes_read=state["read_bytes"], total_rows=state["total_rows_to_read"]
    )


def _in_loop(report: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """The engine reports from a thread of its own; the listener is called in the caller's event loop."""
    loop = asyncio.get_running_loop()

    def pass_on(progress: Progress) -> None:
        loop.call_soon_threadsafe(report, progress)

    return pass_on


@contextmanager
def _as_file(data: bytes | memoryview) -> Iterator[str]:
    """A path the engine can read the rows from: in memory on Linux, else a temporary file."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("rows")
        path = f"/proc/self/fd/{descriptor}"
    else:
        descriptor, path = tempfile.mkstemp(prefix="birdhouse-rows-")
    try:
        try:
            _write_all(descriptor, memoryview(data))
        except OSError as failure:
            raise StorageFull("The rows cannot be buffered.", detail=f"({failure})") from failure
        yield path
    finally:
        os.close(descriptor)
        if not path.startswith("/proc/"):
            os.unlink(path)


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]

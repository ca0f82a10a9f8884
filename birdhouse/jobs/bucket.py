"""S3-compatible storage as the destination of a sink job. The engine itself writes and reads there.

An object is there whole or not at all, whatever happens meanwhile. Several objects do not appear together, and
one that was replaced cannot be brought back.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from secrets import token_hex
from urllib.parse import quote

import orjson

from birdhouse.catalog.connection import S3, Connection
from birdhouse.catalog.connections.connections import Connections
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Lane, Limits, Query, Statistics, TableName, quote_string
from birdhouse.errors import InvalidParameter, SqlError
from birdhouse.ingest.staging import STAGING_PREFIX
from birdhouse.jobs.destination import FileForm, free_names
from birdhouse.jobs.queue import Run
from birdhouse.language.datafile.export import Location, read_location
from birdhouse.query.compose import Composed

LISTED_MAX = 100_000
"""Objects of one folder that are looked through for a free name."""
PREVIEWED_MAX = 1_000
PREVIEW_SECONDS_MAX = 20.0

GOOGLE = "https://storage.googleapis.com"
_PATIENCE = ("s3_retry_attempts = 4", "s3_connect_timeout_ms = 5000", "s3_request_timeout_ms = 30000")
"""The engine's own defaults try for minutes, and a cancelled job would wait for them."""


@dataclass(frozen=True, slots=True)
class Access:
    """What the engine needs to reach one bucket. The credentials are bound values: no statement holds them."""

    root: str
    """The URL of the bucket."""
    bucket: str
    key: str = field(repr=False)
    secret: str = field(repr=False)

    def call(self, name: str, arguments: str, *, pattern: str = "") -> tuple[str, dict[str, str]]:
        """The engine's table function for one object, or for all that the pattern behind it matches."""
        # A query of the workspace must not be able to name these: it would get the secret into its result.
        key, secret = f"key_{token_hex(16)}", f"secret_{token_hex(16)}"
        url = quote_string(f"{self.root}/{quote(name)}{pattern}")
        return f"s3({url}, {{{key}: String}}, {{{secret}: String}}, {arguments})", {key: self.key, secret: self.secret}


@dataclass(frozen=True, slots=True)
class StoredObject:
    name: str
    size_bytes: int


class Buckets:
    """Opens buckets with the connections of a workspace."""

    def __init__(self, engine: Engine, connections: Connections) -> None:
        self._engine = engine
        self._connections = connections

    async def access(self, connection: Connection, location: Location) -> Access:
        secrets = await self._connections.secrets(connection.id)
        settings = connection.settings
        if connection.service == S3:
            region = settings.get("s3_region")
            amazon = f"https://s3.{region}.amazonaws.com" if region else "https://s3.amazonaws.com"
            endpoint = settings.get("s3_endpoint_url") or amazon
            key, secret = settings["s3_access_key_id"], secrets["s3_secret_access_key"]
        else:
            endpoint = settings.get("gcs_endpoint_url") or GOOGLE
            key, secret = settings["gcs_hmac_access_id"], secrets["gcs_hmac_secret"]
        return Access(f"{endpoint}/{location.bucket}", location.bucket, key, secret)

    async def preview(self, workspace: Workspace, connection: Connection, uri: str) -> list[StoredObject]:
        """The objects under an address such as `s3://bucket/folder/*.csv`. Raises InvalidParameter, SqlError."""
        folder, star, pattern = uri.partition("*")
        if star and any(sign not in "*.-_/" and not sign.isalnum() for sign in pattern):
            raise InvalidParameter(f"'{uri}' is not a pattern of files", hint="Write s3://bucket/folder/*.csv.")
        location = read_location(folder.rstrip("/"), connection.service)
        prefix = location.folder + ("/" if folder.endswith("/") and location.folder else "")
        access = await self.access(connection, location)
        limits = Limits(seconds=PREVIEW_SECONDS_MAX)
        table = TableName(workspace.database, f"{STAGING_PREFIX}{uuid.uuid4().hex}_listing")
        return await listed(self._engine, table, access, prefix, f"*{pattern}", limits, PREVIEWED_MAX)


async def listed(
    engine: Engine, table: TableName, access: Access, prefix: str, pattern: str, limits: Limits, most: int
) -> list[StoredObject]:
    """The objects whose name is the prefix and then the pattern; `table` is free to be used for it."""
    call, parameters = access.call(prefix, "'One'", pattern=pattern)
    settings = ", ".join(_PATIENCE)
    # Read-only statements may not use the function, so the list goes through a table.
    await engine.execute(f"DROP TABLE IF EXISTS {table}")
    await engine.execute(f"CREATE TABLE {table} (name String, size UInt64) ENGINE = Memory")
    try:
        await engine.execute(
            f"INSERT INTO {table} SELECT _path, ifNull(_size, 0) FROM {call} LIMIT {most} SETTINGS {settings}",
            lane=Lane.JOB,
            limits=limits,
            parameters=parameters,
        )
        answer = await engine.select(Query(f"SELECT name, size FROM {table} ORDER BY name", "JSONCompactEachRow"))
    except SqlError as error:
        raise _explained(error) from error
    finally:
        await engine.execute(f"DROP TABLE IF EXISTS {table}")
    rows = (orjson.loads(line) for line in answer.body.splitlines())
    return [StoredObject(name.removeprefix(f"{access.bucket}/"), int(size)) for name, size in rows]


class Bucket:
    """One bucket for one job; `table` is free to be used for lists."""

    def __init__(
        self, engine: Engine, limits: Limits, access: Access, scheme: str, table: TableName, *, replaces: bool
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._access = access
        self._scheme = scheme
        self._table = table
        self._replaces = replaces

    def shown(self, name: str) -> str:
        return f"{self._scheme}://{self._access.bucket}/{name}"

    async def choose(self, names: Sequence[str]) -> list[str]:
        if self._replaces:
            return list(names)
        taken = await self._sizes(names)
        return free_names(names, taken.__contains__)

    async def _sizes(self, names: Sequence[str]) -> dict[str, int]:
        """Of the objects that begin like these names; one list for each folder of theirs."""
        found: dict[str, int] = {}
        for folder, stem in _common_stems(names).items():
            prefix = f"{folder}/{stem}" if folder else stem
            there = await listed(self._engine, self._table, self._access, prefix, "*", self._limits, LISTED_MAX)
            found |= {each.name: each.size_bytes for each in there}
        return found

    async def write(self, run: Run, number: int, name: str, rows: Composed, form: FileForm) -> Statistics:
        overwrites = self._replaces or run.resumed
        settings = ", ".join((f"s3_truncate_on_insert = {int(overwrites)}", *_PATIENCE, *form.settings))
        call, parameters = self._access.call(name, form.arguments)
        try:
            return await self._engine.execute(
                f"INSERT INTO FUNCTION {call} SETTINGS {settings}\n{rows.sql}",
                lane=Lane.JOB,
                limits=self._limits,
                on_progress=run.progress,
                parameters={**rows.query_parameters, **parameters},
            )
        except SqlError as error:
            raise _explained(error) from error

    async def publish(self, names: Sequence[str]) -> Mapping[str, int]:
        """They are there already. One whose size cannot be asked for counts as empty."""
        sizes = await self._sizes(names)
        return {name: sizes.get(name, 0) for name in names}

    async def clean(self, names: Sequence[str]) -> None:
        """Removes what was written beside the files of others; what replaced one stays."""
        if self._replaces:
            return
        for name in names:
            await self._remove(name)

    async def _remove(self, name: str) -> None:
        call, parameters = self._access.call(name, "'CSV'")
        table = f"removed_{token_hex(8)}"
        # The engine removes an object where a table on it is emptied; such a table lives as long as its connection.
        statement = (
            f"CREATE TEMPORARY TABLE {table} (line String) ENGINE = S3({call.removeprefix('s3(')}; "
            f"TRUNCATE TABLE {table}; DROP TABLE {table}"
        )
        await self._engine.execute(statement, lane=Lane.JOB, limits=self._limits, parameters=parameters)


def _common_stems(names: Sequence[str]) -> dict[str, str]:
    """Folder to what the files in it that are named begin with."""
    stems: dict[str, str] = {}
    for name in names:
        path = PurePosixPath(name)
        folder, stem = ("" if str(path.parent) == "." else str(path.parent)), path.name.split(".")[0]
        known = stems.get(folder)
        stems[folder] = stem if known is None else _common(known, stem)
    return stems


def _common(a: str, b: str) -> str:
    length = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a[:length]


def _explained(error: SqlError) -> SqlError:
    """The engine's words about the storage, and where to look."""
    if error.name in ("S3_ERROR", "POCO_EXCEPTION", "NETWORK_ERROR", "SOCKET_TIMEOUT", "DNS_ERROR"):
        error.hint = "Check the connection: its key, secret, region or endpoint, and whether the bucket exists."
    elif "already exists" in error.message and "s3_truncate_on_insert" in error.message:
        return SqlError("Somebody else has written a file of that name meanwhile.", hint="Run the sink again.")
    return error

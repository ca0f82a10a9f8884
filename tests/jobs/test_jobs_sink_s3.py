"""Sinks that write to a real S3 API."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow.parquet
import pytest
from jobs_home import Home
from s3_server import SECRET, S3Server
from sinks_home import BUCKET, CONNECTION, Sinks, open_sinks

from birdhouse.errors import InvalidParameter, SqlError
from birdhouse.jobs import bucket
from birdhouse.jobs.job import JobStatus

TO_S3 = {"connection_name": CONNECTION, "bucket_uri": f"s3://{BUCKET}/out"}


@pytest.fixture
async def sinks(home: Home, tmp_path: Path, s3: S3Server) -> AsyncIterator[Sinks]:
    sinks = open_sinks(home, tmp_path / "exports")
    sinks.s3 = s3
    s3.make_bucket(BUCKET)
    await sinks.connections.create(home.workspace_id, CONNECTION, "s3", s3.connection)
    yield sinks
    s3.empty(BUCKET)


async def test_a_sink_writes_an_object(sinks: Sinks) -> None:
    await sinks.push(file_template="x", **TO_S3)
    await sinks.load(3)
    job = await sinks.run()
    assert job.status is JobStatus.DONE, job.error
    assert job.result["output"] == [f"s3://{BUCKET}/out/x.csv"]
    ((name, content),) = sinks.stored().items()
    assert (name, content.splitlines()[1]) == ("out/x.csv", b'"2024-02-01","cem",2')
    assert (job.statistics["row_count"], job.statistics["bytes"]) == (3, len(content))
    assert await sinks.home.staging_tables() == []


async def test_a_sink_writes_parquet_to_the_root_of_a_bucket(sinks: Sinks) -> None:
    await sinks.push(
        file_template="x", **{**TO_S3, "bucket_uri": f"s3://{BUCKET}"}, format="parquet", compression="snappy"
    )
    await sinks.load(1000)
    await sinks.wrote()
    assert pyarrow.parquet.read_table(io.BytesIO(sinks.stored()["x.parquet"])).num_rows == 1000


async def test_a_template_spreads_the_rows_over_objects(sinks: Sinks) -> None:
    await sinks.push(file_template="{day, '%Y/%m'}/{user}_{2}", **TO_S3)
    await sinks.load(60)
    names = await sinks.wrote()
    assert names == [f"s3://{BUCKET}/{key}" for key in sinks.stored()]
    assert len(names) == 12
    rows = [line for content in sinks.stored().values() for line in content.splitlines()[1:]]
    assert len(set(rows)) == len(rows) == 60


async def test_odd_values_are_written_and_found_again(sinks: Sinks) -> None:
    values = ["naïve 日本", "a+b=c@d", "10:30:00", "100%", "a/b", "#1", "x*?{}", "it''s", "(1),~2"]
    listed = ", ".join(f"'{value}'" for value in values)
    await sinks.push(f"SELECT arrayJoin([{listed}]) AS v", file_template="{v}", **TO_S3)
    first = await sinks.wrote()
    assert len(first) == len(values) == len(sinks.stored())
    second = await sinks.wrote()
    assert len(sinks.stored()) == 2 * len(values)
    assert set(first).isdisjoint(second) and all("_1.csv" in name for name in second)


async def test_the_strategy_new_keeps_and_replace_overwrites(sinks: Sinks) -> None:
    await sinks.push(file_template="x", **TO_S3)
    await sinks.load(1)
    await sinks.wrote()
    kept = sinks.stored()["out/x.csv"]
    await sinks.load(1, first=5)
    for number in (1, 2):
        assert await sinks.wrote() == [f"s3://{BUCKET}/out/x_{number}.csv"]
    assert sinks.stored()["out/x.csv"] == kept
    assert await sinks.wrote(write_strategy="truncate") == [f"s3://{BUCKET}/out/x.csv"]
    assert len(sinks.stored()["out/x.csv"].splitlines()) == 3
    assert len(sinks.stored()) == 3


@pytest.mark.parametrize("template", ["x", "{user}", "{3}"])
@pytest.mark.parametrize("side", ["before", "after"])
async def test_an_interrupted_sink_leaves_each_object_once(sinks: Sinks, template: str, side: str) -> None:
    await sinks.push(file_template=template, **TO_S3)
    await sinks.load(30)
    await sinks.wrote()
    wanted = sinks.stored()
    assert sinks.s3 is not None
    sinks.s3.empty(BUCKET)

    async def restart(job_id: str) -> None:
        await sinks.home.restart()

    ended = await sinks.interrupted("FUNCTION s3(", side, restart)
    assert ended.status is JobStatus.DONE, ended.error
    assert sinks.stored() == wanted


@pytest.mark.parametrize("template", ["x", "{user}"])
async def test_a_cancelled_sink_takes_back_what_it_wrote(sinks: Sinks, template: str) -> None:
    assert sinks.s3 is not None
    sinks.s3.put(BUCKET, "out/other.csv", b"mine")
    sinks.s3.put(BUCKET, "out/x.csv", b"mine")
    await sinks.push(file_template=template, **TO_S3)
    await sinks.load(3)
    ended = await sinks.interrupted("FUNCTION s3(", "after", sinks.home.queue.cancel)
    assert ended.status is JobStatus.CANCELLED
    assert sinks.stored() == {"out/other.csv": b"mine", "out/x.csv": b"mine"}
    assert await sinks.home.staging_tables() == []


async def test_a_cancelled_sink_never_removes_what_it_replaced(sinks: Sinks) -> None:
    await sinks.push(file_template="{user}", strategy="replace", **TO_S3)
    await sinks.load(3)
    await sinks.wrote()
    before = sinks.stored()
    await sinks.interrupted("FUNCTION s3(", "after", sinks.home.queue.cancel)
    assert sinks.stored() == before


async def test_a_failing_query_leaves_no_object(sinks: Sinks) -> None:
    await sinks.push("SELECT number + throwIf(number = 2000000) AS n FROM numbers(3000000)", file_template="x", **TO_S3)
    job = await sinks.run()
    assert job.status is JobStatus.ERROR and "throwIf" in (job.error or "")
    assert sinks.stored() == {}


@pytest.mark.parametrize(
    ("settings", "uri", "message"),
    [
        ({}, "s3://no-such-bucket/x", "bucket"),
        ({"s3_endpoint_url": "http://127.0.0.1:1"}, f"s3://{BUCKET}/x", "Connection refused"),
        ({"s3_endpoint_url": "http://no-such-host.invalid"}, f"s3://{BUCKET}/x", ""),
    ],
)
async def test_storage_that_cannot_be_reached_is_told_without_the_credentials(
    sinks: Sinks, settings: dict[str, str], uri: str, message: str
) -> None:
    if settings:
        await sinks.connections.change(sinks.home.workspace_id, CONNECTION, settings)
    await sinks.push(file_template="x", **{**TO_S3, "bucket_uri": uri})
    for strategy in ("new", "replace"):
        job = await sinks.run(write_strategy=strategy)
        assert job.status is JobStatus.ERROR
        assert message in (job.error or "") and "Check the connection" in (job.error or "")
        assert SECRET not in repr(job)


async def test_a_query_cannot_name_the_credentials(sinks: Sinks) -> None:
    for name in ("key", "secret", "s3_secret_access_key"):
        with pytest.raises(SqlError, match="Substitution"):
            await sinks.push(f"SELECT {{{name}: String}} AS stolen", file_template="x", **TO_S3)


async def test_the_credentials_are_in_no_statement_and_in_no_table_of_the_engine(sinks: Sinks) -> None:
    statements: list[str] = []
    execute = sinks.home.gate.execute

    async def noted(statement: str, /, **options: object) -> object:
        statements.append(statement)
        return await execute(statement, **options)  # type: ignore[arg-type]

    sinks.home.gate.execute = noted  # type: ignore[method-assign, assignment]
    await sinks.push(file_template="{user}", **TO_S3)
    await sinks.load(3)
    job = await sinks.run()
    assert any("FUNCTION s3(" in each for each in statements)
    stored = sinks.home.database
    with stored.begin() as connection:
        rows = [
            list(row)
            for table in ("jobs", "connections")
            for row in connection.exec_driver_sql(f"SELECT * FROM {table}")
        ]
    assert SECRET not in json.dumps([statements, rows], default=str) + repr(job) + repr(sinks.home.workspace)


async def test_a_connection_that_was_removed_meanwhile_fails_the_job(sinks: Sinks) -> None:
    await sinks.push(file_template="x", **TO_S3)

    async def remove_and_restart(job_id: str) -> None:
        await sinks.home.queue.stop()
        await sinks.connections.delete(sinks.home.workspace_id, CONNECTION)
        await sinks.home.restart()

    ended = await sinks.interrupted("FUNCTION s3(", "before", remove_and_restart)
    assert ended.status is JobStatus.ERROR and "does not exist any more" in (ended.error or "")


async def test_objects_are_previewed(sinks: Sinks, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sinks.s3 is not None
    for name in ("a/1.csv", "a/2.csv", "a/3.json", "b/1.csv"):
        sinks.s3.put(BUCKET, name, b"1\n")
    buckets = bucket.Buckets(sinks.home.gate, sinks.connections)
    connection = sinks.connections.find(sinks.home.workspace_id, CONNECTION)

    async def names(uri: str) -> list[str]:
        return [each.name for each in await buckets.preview(sinks.home.workspace, connection, uri)]

    assert await names(f"s3://{BUCKET}/a/*.csv") == ["a/1.csv", "a/2.csv"]
    assert await names(f"s3://{BUCKET}/a/") == ["a/1.csv", "a/2.csv", "a/3.json"]
    assert await names(f"s3://{BUCKET}/**") == ["a/1.csv", "a/2.csv", "a/3.json", "b/1.csv"]
    assert await names(f"s3://{BUCKET}/nothing*") == []
    monkeypatch.setattr(bucket, "PREVIEWED_MAX", 1)
    assert len(await names(f"s3://{BUCKET}/a/")) == 1
    with pytest.raises(InvalidParameter):
        await names(f"s3://{BUCKET}/*'; DROP")
    with pytest.raises(SqlError):
        await names("s3://no-such-bucket/x")
    assert await sinks.home.staging_tables() == []


async def test_google_storage_is_reached_with_an_hmac_key(sinks: Sinks) -> None:
    assert sinks.s3 is not None
    settings = {"gcs_hmac_access_id": "GOOG1", "gcs_hmac_secret": SECRET, "gcs_endpoint_url": sinks.s3.url}
    await sinks.connections.create(sinks.home.workspace_id, "google", "gcs_hmac", settings)
    options = {"service": "gcs_hmac", "connection_name": "google", "bucket_uri": f"gs://{BUCKET}/g"}
    await sinks.push(file_template="x", **options)
    await sinks.load(1)
    assert await sinks.wrote() == [f"gs://{BUCKET}/g/x.csv"]
    assert list(sinks.stored()) == ["g/x.csv"]

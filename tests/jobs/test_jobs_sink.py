"""Sinks that write files of the server."""

from __future__ import annotations

import gzip
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow.parquet
import pytest
import zstandard
from jobs_home import Home
from sinks_home import Sinks, open_sinks, sink_pipe

from birdhouse.engine.types import Query
from birdhouse.errors import BirdhouseError, Conflict, InvalidInput
from birdhouse.jobs import sink
from birdhouse.jobs.job import JobStatus
from birdhouse.jobs.sink import sink_payload

CSV = b'"day","user","n"\n"2024-02-01","cem",2\n"2024-01-31","bob",1\n"2024-01-30","ann",0\n'


@pytest.fixture
async def sinks(home: Home, tmp_path: Path) -> AsyncIterator[Sinks]:
    yield open_sinks(home, tmp_path / "exports")


async def test_a_sink_writes_one_file_in_the_order_of_its_query(sinks: Sinks) -> None:
    await sinks.push(file_template="report")
    await sinks.load(3)
    job = await sinks.run()
    assert job.status is JobStatus.DONE, job.error
    assert job.result["output"] == ["file://out/report.csv"]
    assert (job.statistics["row_count"], job.statistics["rows_read"]) == (3, 3)
    assert job.statistics["bytes"] == len(CSV)
    assert sinks.files() == {"out/report.csv": CSV}
    assert await sinks.home.staging_tables() == []


@pytest.mark.parametrize(
    ("format", "compression", "name", "read"),
    [
        ("csv", "none", "x.csv", lambda data: data),
        ("csv", "gz", "x.csv.gz", gzip.decompress),
        ("csv", "gzip", "x.csv.gz", gzip.decompress),
        ("CSV", "zstd", "x.csv.zst", lambda data: zstandard.ZstdDecompressor().stream_reader(data).read()),
        ("ndjson", "none", "x.ndjson", lambda data: data),
        ("ndjson", "gz", "x.ndjson.gz", gzip.decompress),
    ],
)
async def test_formats_and_compressions_give_the_ending_and_the_content(
    sinks: Sinks, format: str, compression: str, name: str, read: object
) -> None:
    await sinks.push(file_template="x", format=format, compression=compression)
    await sinks.load(3)
    assert await sinks.wrote() == [f"file://out/{name}"]
    ndjson = b'{"day":"2024-02-01","user":"cem","n":2}\n{"day":"2024-01-31","user":"bob","n":1}\n'
    ndjson += b'{"day":"2024-01-30","user":"ann","n":0}\n'
    content = read(sinks.files()[f"out/{name}"])  # type: ignore[operator]
    assert content == (ndjson if format == "ndjson" else CSV)


@pytest.mark.parametrize("compression", ["snappy", "lz4", "br"])
async def test_compressions_that_only_the_engine_reads_come_back_whole(sinks: Sinks, compression: str) -> None:
    await sinks.push(file_template="x", compression=compression)
    await sinks.load(1000)
    (name,) = await sinks.wrote()
    assert name == f"file://out/x.csv.{compression}"
    path = sinks.exports / "w" / "out" / f"x.csv.{compression}"
    target = sinks.home.workspace.datasource("events").table
    await sinks.home.gate.execute(f"TRUNCATE TABLE {target}")
    await sinks.home.gate.execute(
        f"INSERT INTO {target} SELECT * FROM file('{path}', 'CSVWithNames', 'auto', '{compression}')"
    )
    assert await sinks.home.ask("count(), sum(n)", "events") == "1000\t499500"


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gz", "lz4", "br"])
async def test_parquet_is_compressed_inside_and_keeps_its_ending(sinks: Sinks, compression: str) -> None:
    await sinks.push(file_template="x", format="parquet", compression=compression)
    await sinks.load(3)
    assert await sinks.wrote() == ["file://out/x.parquet"]
    file = pyarrow.parquet.ParquetFile(io.BytesIO(sinks.files()["out/x.parquet"]))
    used = {"none": "UNCOMPRESSED", "gz": "GZIP", "br": "BROTLI"}.get(compression, compression.upper())
    assert file.metadata.row_group(0).column(0).compression in (used, f"{used}_RAW")
    assert file.read().column("n").to_pylist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("{user}", ["ann.csv", "bob.csv", "cem.csv"]),
        ("{day, '%Y/%m'}/all", ["2024/01/all.csv", "2024/02/all.csv"]),
        (
            "u={user}/{day, '%m'}.csv",
            ["u=ann/01.csv", "u=ann/02.csv", "u=bob/01.csv", "u=bob/02.csv", "u=cem/01.csv", "u=cem/02.csv"],
        ),
        ("part_{4}", ["part_0.csv", "part_1.csv", "part_2.csv", "part_3.csv"]),
        ("{`user`}_{2}", ["ann_0.csv", "ann_1.csv", "bob_0.csv", "bob_1.csv", "cem_0.csv", "cem_1.csv"]),
    ],
)
async def test_a_template_spreads_the_rows_over_files(sinks: Sinks, template: str, names: list[str]) -> None:
    await sinks.push(file_template=template)
    await sinks.load(100)
    assert await sinks.wrote() == [f"file://out/{name}" for name in names]
    rows = [line for content in sinks.files().values() for line in content.splitlines()[1:]]
    assert len(rows) == len(set(rows)) == 100
    for content in sinks.files().values():
        numbers = [int(line.rpartition(b",")[2]) for line in content.splitlines()[1:]]
        assert numbers == sorted(numbers, reverse=True) != []
    assert await sinks.home.staging_tables() == []


async def test_the_id_of_the_job_can_stand_in_a_name(sinks: Sinks) -> None:
    await sinks.push(file_template="run/{job_id}")
    await sinks.load(1)
    job = await sinks.run()
    assert job.result["output"] == [f"file://out/run/{job.id}.csv"]


async def test_values_cannot_lead_out_of_the_directory(sinks: Sinks) -> None:
    values = [
        "../../../etc/x",
        "..",
        ".",
        "",
        " ",
        "/abs",
        "a\\\\b",
        "c\\0d",
        "x*?{}",
        "%2e%2e",
        "naïve 日本",
        ".unfinished",
    ]
    listed = ", ".join(f"'{value}'" for value in values)
    await sinks.push(f"SELECT arrayJoin([{listed}]) AS v, 1 AS one", file_template="{v}/{v}")
    names = [name.removeprefix("file://out/") for name in await sinks.wrote()]
    assert "naïve 日本/naïve 日本.csv" in names
    assert not any(part.strip(". ") == "" or part.startswith(".") for name in names for part in name.split("/"))
    written = sum(len(content.splitlines()) - 1 for content in sinks.files().values())
    assert written == len(values)
    assert [each.name for each in sinks.exports.parent.iterdir()] == ["exports"]


async def test_null_has_a_file_of_its_own(sinks: Sinks) -> None:
    await sinks.push(
        "SELECT arrayJoin([NULL, 'x']) AS v, CAST(NULL AS Nullable(Date)) AS d", file_template="{v}_{d, '%Y'}"
    )
    assert await sinks.wrote() == ["file://out/NULL_NULL.csv", "file://out/x_NULL.csv"]


async def test_a_result_without_rows_gives_an_empty_file_or_none(sinks: Sinks) -> None:
    await sinks.push(file_template="fixed")
    assert await sinks.wrote() == ["file://out/fixed.csv"]
    assert sinks.files() == {"out/fixed.csv": b'"day","user","n"\n'}
    assert await sinks.wrote(file_template="{user}") == []


async def test_the_strategy_new_numbers_files_and_keeps_what_is_there(sinks: Sinks) -> None:
    await sinks.push(file_template="a.b/{user}.csv.gz", compression="gz", write_strategy="new")
    await sinks.load(2)
    assert await sinks.wrote() == ["file://out/a.b/ann.csv.gz", "file://out/a.b/bob.csv.gz"]
    before = sinks.files()
    assert await sinks.wrote() == ["file://out/a.b/ann_1.csv.gz", "file://out/a.b/bob_1.csv.gz"]
    assert {name: content for name, content in sinks.files().items() if name in before} == before
    (sinks.exports / "w/out/a.b/ann_1.csv.gz").unlink()
    assert await sinks.wrote() == ["file://out/a.b/ann_1.csv.gz", "file://out/a.b/bob_2.csv.gz"]


@pytest.mark.parametrize("word", ["replace", "truncate", "@replace"])
async def test_the_strategy_replace_takes_the_place_of_the_file(sinks: Sinks, word: str) -> None:
    await sinks.push(file_template="x", strategy=word)
    await sinks.load(2)
    await sinks.wrote()
    await sinks.load(1, first=7)
    assert await sinks.wrote() == ["file://out/x.csv"]
    assert [line[-1:] for line in sinks.files()["out/x.csv"].splitlines()[1:]] == [b"7", b"1", b"0"]


async def test_a_name_that_is_taken_while_the_job_runs_is_not_overwritten(sinks: Sinks) -> None:
    await sinks.push(file_template="x")
    await sinks.load(1)

    async def take() -> None:
        (sinks.exports / "w/out").mkdir(parents=True)
        (sinks.exports / "w/out/x.csv").write_text("mine")

    sinks.home.gate.after["FUNCTION file("] = take
    assert await sinks.wrote() == ["file://out/x_1.csv"]
    assert sinks.files()["out/x.csv"] == b"mine"


async def test_parameters_and_options_of_a_run_win(sinks: Sinks) -> None:
    await sinks.push("%\n    SELECT n FROM events WHERE n >= {{Int32(least, 0)}}", file_template="x", format="csv")
    await sinks.load(5)
    assert await sinks.wrote(least="3", format="ndjson", file_template="y", compression="gz") == [
        "file://out/y.ndjson.gz"
    ]
    assert gzip.decompress(sinks.files()["out/y.ndjson.gz"]) == b'{"n":3}\n{"n":4}\n'


async def test_a_parameter_of_the_pipe_is_not_taken_for_an_option(sinks: Sinks) -> None:
    await sinks.push("%\n    SELECT {{String(compression, 'none')}} AS f", file_template="x")
    assert await sinks.wrote(compression="mine") == ["file://out/x.csv"]
    assert sinks.files()["out/x.csv"] == b'"f"\n"mine"\n'


async def test_the_time_of_asking_is_the_job_timestamp(sinks: Sinks) -> None:
    await sinks.push("%\n    SELECT toDateTime({{DateTime(job_timestamp)}}) AS at", file_template="{at, '%Y-%m-%d_%H'}")
    assert await sinks.wrote() == ["file://out/2024-05-01_10.csv"]


async def test_too_many_files_are_refused_and_nothing_is_written(sinks: Sinks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "FILES_MAX", 9)
    await sinks.push(file_template="{n}")
    await sinks.load(10)
    job = await sinks.run()
    assert job.status is JobStatus.ERROR
    assert "more than 9 files" in (job.error or "") and "coarser" in (job.error or "")
    assert sinks.files() == {}
    assert await sinks.home.staging_tables() == []


@pytest.mark.parametrize("template", ["x", "{user}", "{3}"])
async def test_a_failing_query_leaves_no_file(sinks: Sinks, template: str) -> None:
    sql = "SELECT 'a' AS user, number + throwIf(number = 2000000) AS n FROM numbers(3000000)"
    await sinks.push(sql, file_template=template)
    job = await sinks.run()
    assert job.status is JobStatus.ERROR and "throwIf" in (job.error or "")
    assert sinks.files() == {}
    assert await sinks.home.staging_tables() == []


async def test_a_folder_where_a_file_is_leaves_all_as_it_was(sinks: Sinks) -> None:
    await sinks.push("SELECT arrayJoin(['a', 'a.csv/b']) AS v", file_template="x")
    await sinks.wrote(file_template="a")
    before = sinks.files()
    await sinks.push("SELECT arrayJoin(['b', 'a.csv']) AS v", file_template="{v}/x")
    job = await sinks.run()
    assert job.status is JobStatus.ERROR and "a file is there" in (job.error or "")
    assert sinks.files() == before


@pytest.mark.parametrize("template", ["x", "{user}"])
async def test_a_running_sink_can_be_cancelled(sinks: Sinks, template: str) -> None:
    await sinks.push(file_template=template)
    await sinks.load(3)
    ended = await sinks.interrupted("FUNCTION file(", "after", sinks.home.queue.cancel)
    assert ended.status is JobStatus.CANCELLED
    assert sinks.files() == {}
    assert await sinks.home.staging_tables() == []


@pytest.mark.parametrize("strategy", ["new", "replace"])
@pytest.mark.parametrize(
    ("template", "moment", "side"),
    [
        ("x", "FUNCTION file(", "before"),
        ("x", "FUNCTION file(", "after"),
        ("x", "_rows` SYNC", "before"),  # the files have their names
        ("{user}", "INSERT INTO `", "before"),
        ("{user}", "INSERT INTO `", "after"),
        ("{user}", "FUNCTION file(", "after"),
        ("{2}", "/1'", "after"),
    ],
)
async def test_an_interrupted_sink_writes_each_file_once(
    sinks: Sinks, strategy: str, template: str, moment: str, side: str
) -> None:
    await sinks.push(file_template=template, strategy=strategy)
    await sinks.load(20)
    await sinks.wrote()
    wanted = sinks.files()

    async def restart(job_id: str) -> None:
        await sinks.home.restart()

    for path in (sinks.exports / "w/out").iterdir():
        path.unlink()
    ended = await sinks.interrupted(moment, side, restart)
    assert ended.status is JobStatus.DONE, ended.error
    assert sinks.files() == wanted
    assert await sinks.home.staging_tables() == []


async def test_rows_that_come_while_a_split_sink_is_interrupted_are_left_to_the_next_run(sinks: Sinks) -> None:
    await sinks.push(file_template="{user}")
    await sinks.load(6)
    await sinks.wrote()
    wanted = sinks.files()

    async def restart_with_more_rows(job_id: str) -> None:
        await sinks.home.queue.stop()
        await sinks.load(6, first=100)
        await sinks.home.restart()

    for path in (sinks.exports / "w/out").iterdir():
        path.unlink()
    await sinks.interrupted("FUNCTION file(", "after", restart_with_more_rows)
    assert sinks.files() == wanted


async def test_a_secret_can_be_used_and_is_nowhere_to_be_seen(sinks: Sinks) -> None:
    await sinks.variables.create(sinks.home.workspace_id, "pepper", "hush-hush", edited_by="t")
    await sinks.push(
        "%\n    SELECT n, hex(SHA256(concat({{tb_secret('pepper')}}, user))) AS h FROM events", file_template="x"
    )
    await sinks.load(1)
    job = await sinks.run()
    assert job.status is JobStatus.DONE, job.error
    expected = await sinks.home.gate.select(Query("SELECT hex(SHA256('hush-hushann'))", "TSVRaw"))
    assert expected.body.strip() in sinks.files()["out/x.csv"]
    assert "hush" not in repr(job)


async def test_a_failure_on_a_secret_does_not_tell_it(sinks: Sinks) -> None:
    await sinks.variables.create(sinks.home.workspace_id, "pepper", "hush-hush", edited_by="t")
    await sinks.push(
        "%\n    SELECT toUInt32(concat({{tb_secret('pepper')}}, user)) AS x FROM events", file_template="x"
    )
    await sinks.load(1)
    job = await sinks.run()
    assert job.status is JobStatus.ERROR
    assert job.error == "The statement failed on the value of a secret."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"file_template": "../x"}, "begin with a dot"),
        ({"file_template": "a//b"}, "empty"),
        ({"file_template": "/x"}, "empty"),
        ({"file_template": "{user"}, "'{'"),
        ({"file_template": "{user!}"}, "neither a column nor a number"),
        ({"file_template": "{0}"}, "1 to 1000"),
        ({"file_template": "{2}{3}"}, "splits twice"),
        ({"file_template": "{day, '%'}"}, "not a time format"),
        ({"file_template": "{day, '%Y/../%m'}"}, "begin with a dot"),
        ({"file_template": "x" * 300}, "too long"),
        ({"file_template": "{usr}"}, "the result: 'usr' (in node 'n' of pipe 'p'"),
        ({"file_template": "{user, '%Y'}"}, "formats 'user', which is String and no time"),
        ({"bucket_uri": "file://../out"}, "begin with a dot"),
        ({"bucket_uri": "/etc", "connection_name": "c"}, "not a place that s3 can write to"),
        ({"bucket_uri": "http://x/y", "connection_name": "c"}, "not a place"),
        ({"format": "xml"}, "no format 'xml'"),
        ({"format": "parqet"}, "Did you mean parquet?"),
        ({"compression": "rar"}, "no compression 'rar'"),
        ({"write_strategy": "append"}, "no strategy 'append'"),
    ],
)
async def test_what_cannot_work_is_refused_at_push(sinks: Sinks, options: dict[str, str], message: str) -> None:
    with pytest.raises(BirdhouseError) as refused:
        await sinks.push(**options)
    assert message in str(refused.value)


async def test_a_run_is_refused_like_a_push(sinks: Sinks) -> None:
    await sinks.push(file_template="x")
    for wrong in ({"file_template": "../../x"}, {"format": "xml"}, {"write_strategy": "append"}):
        with pytest.raises(InvalidInput):
            await sinks.submit(**wrong)
    await sinks.home.push(plain="NODE n\nSQL >\n    SELECT 1 AS a\n")
    with pytest.raises(Conflict, match="not a sink"):
        sink_payload(sinks.home.workspace, "plain", {}, at=sinks.home.clock.now())


@pytest.mark.parametrize(
    ("service", "connected", "message"),
    [
        ("s3", None, "there is none with the name 'my_c'"),
        ("kafka", None, "there is none with the name 'my_c'"),
        ("kafka", "kafka", "stored but not connected yet"),
        ("s3_iamrole", "s3_iamrole", "does not take on AWS roles"),
        ("s3", "kafka", "'my_c' is one to kafka"),
    ],
)
async def test_a_sink_says_what_it_lacks(sinks: Sinks, service: str, connected: str | None, message: str) -> None:
    settings = {
        "kafka": {"kafka_bootstrap_servers": "localhost:9092"},
        "s3_iamrole": {"s3_iamrole_arn": "arn:aws:iam::1:role/x", "s3_iamrole_region": "eu-west-1"},
    }
    if connected:
        await sinks.connections.create(sinks.home.workspace_id, "my_c", connected, settings[connected])
    where = {"kafka_topic": "t"} if service == "kafka" else {"bucket_uri": "s3://bucket/x"}
    pipe = sink_pipe("SELECT 1 AS a", service=service, connection_name="my_c", **where)
    if service == "kafka":
        pipe = pipe.replace("EXPORT_BUCKET_URI file://out\n", "")
    await sinks.home.push(p=pipe)
    with pytest.raises(Conflict, match=message):
        await sinks.submit()

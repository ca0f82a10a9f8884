from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from jobs_home import LIMITS, Home, numbers_table

from birdhouse.errors import InvalidParameter
from birdhouse.ingest.files import FileFormat, Files
from birdhouse.ingest.replace import Replacements
from birdhouse.jobs.imports import ImportRunner, format_of_url, import_payload
from birdhouse.jobs.job import Job, JobKind, JobStatus

FILES = {
    "/a.csv": b"a,b\n1,10\n2,20\n",
    "/c.csv": b"a,b\n1,1\n5,5\n",
    "/misfits.csv": b"a,b\n1,10\nx,20\n",
    "/big.csv": b"a,b\n" + b"1,1\n" * 100_000,
}
SIZE_BYTES_MAX = 100_000


def _serve(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/broken":
        raise httpx.ConnectError("no route to host")
    if request.url.path not in FILES:
        return httpx.Response(404)
    return httpx.Response(200, content=FILES[request.url.path])


@pytest.fixture
async def importing(home: Home, tmp_path: Path) -> AsyncIterator[Home]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(_serve)) as client:
        home.runners[JobKind.IMPORT] = ImportRunner(
            home.gate,
            home.catalog,
            lambda: None,
            Files(home.gate, tmp_path),
            Replacements(home.gate, home.catalog, LIMITS),
            client,
            size_bytes_max=SIZE_BYTES_MAX,
            clock=home.clock,
        )
        await home.push(events=numbers_table("a", "b"))
        await home.append("events", "a", [9])
        yield home
        await home.queue.stop()


async def _submit(home: Home, path: str, mode: str = "append", condition: str | None = None) -> Job:
    datasource = home.workspace.datasource("events")
    payload = import_payload(datasource, f"http://files.test{path}", mode=mode, condition=condition)
    return await home.queue.submit(home.workspace_id, JobKind.IMPORT, payload)


async def _import(home: Home, path: str, mode: str = "append", condition: str | None = None) -> Job:
    return await home.queue.finished((await _submit(home, path, mode, condition)).id)


async def test_a_file_is_fetched_and_appended(importing: Home) -> None:
    job = await _import(importing, "/a.csv")
    assert job.status is JobStatus.DONE, job.error
    assert await importing.ask("arraySort(groupArray((a, b)))", "events") == "[(1,10),(2,20),(9,0)]"
    assert job.result["statistics"]["row_count"] == 3
    assert job.result["blocks"][0]["process_return"] == [{"lines": 2, "parser": "python", "quarantine": 0}]
    assert job.result["block_log"] == [{"status": "done"}]
    assert (job.result["import_id"], job.result["mode"]) == (job.id, "append")


async def test_a_file_replaces_all_rows_or_those_of_a_condition(importing: Home) -> None:
    await _import(importing, "/a.csv", "replace")
    assert await importing.ask("arraySort(groupArray((a, b)))", "events") == "[(1,10),(2,20)]"
    job = await _import(importing, "/c.csv", "replace", "a = 1")
    assert job.error is None
    assert await importing.ask("arraySort(groupArray((a, b)))", "events") == "[(1,1),(2,20)]"


async def test_misfits_go_to_quarantine_and_are_counted(importing: Home) -> None:
    job = await _import(importing, "/misfits.csv")
    assert (job.status, job.result["quarantine_rows"]) == (JobStatus.DONE, 1)
    assert await importing.ask("count()", "events") == "2"


@pytest.mark.parametrize(
    ("path", "reason"), [("/none.csv", "404"), ("/broken", "no route to host"), ("/big.csv", "100000 bytes")]
)
async def test_what_cannot_be_fetched_fails_and_changes_nothing(importing: Home, path: str, reason: str) -> None:
    job = await _import(importing, path, "replace")
    assert job.status is JobStatus.ERROR and reason in (job.error or "")
    assert await importing.ask("groupArray(a)", "events") == "[9]"


@pytest.mark.parametrize("mode", ["append", "replace"])
async def test_an_import_interrupted_while_it_wrote_is_repeated_only_when_that_is_safe(
    importing: Home, mode: str
) -> None:
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        await never.wait()

    written = importing.workspace.datasource("events").id
    importing.gate.after_insert[written if mode == "append" else f"_new_{written}"] = hang
    job = await _submit(importing, "/a.csv", mode)
    await reached.wait()
    await importing.restart()
    ended = await importing.queue.finished(job.id)
    if mode == "replace":
        assert ended.status is JobStatus.DONE
        assert await importing.ask("count()", "events") == "2"
    else:
        assert ended.status is JobStatus.ERROR and "interrupted by a restart" in (ended.error or "")
        assert await importing.ask("count()", "events") == "3"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h/x.csv?y=.json", FileFormat.CSV),
        ("https://h/x.ndjson.gz", FileFormat.NDJSON),
        ("https://h/X.JSON", FileFormat.NDJSON),
        ("https://h/x.parquet", FileFormat.PARQUET),
        ("https://h/export", FileFormat.CSV),
    ],
)
def test_the_format_follows_from_the_extension(url: str, expected: FileFormat) -> None:
    assert format_of_url(url) is expected


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("file:///etc/passwd", {"mode": "append"}),
        ("https://h/x.csv", {"mode": "create"}),
        ("https://h/x.csv", {"mode": "append", "condition": "a = 1"}),
        ("https://h/x.csv", {"mode": "append", "format": "avro"}),
    ],
)
async def test_an_import_that_cannot_be_is_refused_when_asked_for(
    importing: Home, url: str, options: dict[str, str]
) -> None:
    with pytest.raises(InvalidParameter):
        import_payload(importing.workspace.datasource("events"), url, **options)

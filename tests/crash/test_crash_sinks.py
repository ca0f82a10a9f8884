"""A kill while a sink writes: each file is there once and whole, and nothing is left beside."""

from __future__ import annotations

import random
import time

import pytest
from crash_server import ServerProcess

ROWS = 1_500_000
FILES = 6

LINES = (
    "EXPORT_SERVICE s3",
    "EXPORT_BUCKET_URI file://out",
    f"EXPORT_FILE_TEMPLATE part_{{{FILES}}}",
    "EXPORT_FORMAT ndjson",
)


def sink(strategy: str) -> str:
    select = f"SELECT number AS n, hex(sipHash128(number)) AS text FROM numbers({ROWS})"
    exported = "\n".join((*LINES, f"EXPORT_WRITE_STRATEGY {strategy}"))
    return f"NODE n\nSQL >\n    {select}\n\nTYPE sink\n{exported}\n"


def files(server: ServerProcess) -> list[str]:
    out = server.data_dir / "exports" / "local"
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


def kill_and_check(server: ServerProcess, strategy: str, seconds: float) -> None:
    server.deploy({"pipes/all_numbers.pipe": sink(strategy)})
    job = server.http.post("/v0/pipes/all_numbers/sink").json()["job"]["id"]
    time.sleep(seconds)
    server.kill()
    assert all(name.startswith((".unfinished", "out/part_")) for name in files(server))
    server.start()
    ended = server.finished(job, seconds=60)
    assert ended["status"] == "done", ended
    written = [name.removeprefix("file://") for name in ended["output"]]
    assert len(written) == FILES and set(written) <= set(files(server))
    assert not [name for name in files(server) if name.startswith(".unfinished")]
    lines = 0
    for name in written:
        content = (server.data_dir / "exports" / "local" / name).read_bytes()
        assert content.endswith(b"}\n")
        lines += content.count(b"\n")
    assert lines == ended["statistics"]["row_count"] == ROWS
    assert server.stop() == 0
    assert server.tables_left_over() == []


@pytest.mark.parametrize("seconds", [0.3, 1.2])
def test_a_sink_that_is_killed_writes_every_file_once(server: ServerProcess, seconds: float) -> None:
    kill_and_check(server, "new", seconds)
    assert len(files(server)) == FILES


@pytest.mark.torture
@pytest.mark.parametrize("strategy", ["new", "replace"])
def test_sinks_survive_kills_at_any_moment(server: ServerProcess, strategy: str) -> None:
    for number in range(20):
        kill_and_check(server, strategy, random.uniform(0, 2.5))
        assert len(files(server)) == (FILES if strategy == "replace" else FILES * (number + 1))
        server.start()


def test_left_overs_of_jobs_that_are_gone_are_removed_at_the_start(server: ServerProcess) -> None:
    left = server.data_dir / "exports" / "local" / ".unfinished" / "0123-job"
    left.mkdir(parents=True)
    (left / "0").write_text("half a file")
    assert server.stop() == 0
    server.start()
    assert not left.exists()

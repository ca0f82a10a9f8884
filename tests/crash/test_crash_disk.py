"""A full disk refuses new rows, loses none that were acknowledged, and is forgotten once there is room again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crash_server import Make, ServerProcess, datasource, pipe, wait_for

DISK_MEGABYTES = 96
ROWS_PER_REQUEST = 200
PROJECT = {
    "datasources/events.datasource": datasource("id UInt64", "text String"),
    "pipes/total.pipe": pipe("SELECT count() AS n FROM events"),
}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own; only root may mount one."""
    directory = tmp_path / "disk"
    directory.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "birdhouse-test", str(directory)]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


@pytest.fixture
def server(small_disk: Path, make_server: Make, tmp_path: Path) -> ServerProcess:
    made = make_server(small_disk / "data")
    made.log_file = tmp_path / "server.log"  # the log stays off the small disk
    return made.start()


def fill(directory: Path, leave_bytes: int) -> Path:
    """A file that takes all room but that much."""
    state = os.statvfs(directory)
    ballast = directory / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(4096, state.f_bavail * state.f_frsize - leave_bytes))
    return ballast


def fill_up(directory: Path) -> list[Path]:
    """Takes the last byte, also what was set free a moment ago."""
    made: list[Path] = []
    while True:
        file = directory / f"rest-{len(made)}"
        made.append(file)
        try:
            with file.open("wb", buffering=0) as rest:
                while rest.write(bytes(4096)) == 4096:
                    pass
        except OSError:
            return made


def post(server: ServerProcess, first: int) -> int:
    rows = ({"id": each, "text": os.urandom(500).hex()} for each in range(first, first + ROWS_PER_REQUEST))
    answer = server.post_events("events", *rows)
    if answer.status_code != 200:
        assert answer.status_code == 507, answer.text
        assert "disk is full" in answer.json()["error"].lower()
        assert "Traceback" not in answer.text
    return answer.status_code


def test_events_on_a_full_disk_are_refused_and_nothing_acknowledged_is_lost(
    server: ServerProcess, small_disk: Path
) -> None:
    server.deploy(PROJECT)
    acknowledged: set[int] = set()
    ballast = fill(small_disk, leave_bytes=8_000_000)
    first = 0
    while post(server, first) == 200:
        acknowledged |= set(range(first, first + ROWS_PER_REQUEST))
        first += ROWS_PER_REQUEST
        assert first < 100_000, "the disk never got full"
    assert acknowledged

    def stored() -> set[int]:
        return {row["id"] for row in server.sql("SELECT id FROM events")}

    assert stored() >= acknowledged
    assert server.http.get("/v0/pipes/total.json").status_code == 200
    server.restarted()
    assert stored() >= acknowledged
    ballast.unlink()
    again = first + ROWS_PER_REQUEST
    assert wait_for(lambda: post(server, again) == 200, seconds=10)
    assert stored() >= acknowledged | set(range(again, again + ROWS_PER_REQUEST))


def test_a_change_of_resources_on_a_full_disk_is_refused_whole(server: ServerProcess, small_disk: Path) -> None:
    server.deploy(PROJECT)
    files = fill_up(small_disk)
    more = {
        "datasources/other.datasource": datasource("id UInt64"),
        "pipes/others.pipe": pipe("SELECT count() AS n FROM other"),
    }
    answer = server.http.post("/v0/deployments", json={"files": more})
    assert answer.status_code == 507, answer.text
    assert "disk is full" in answer.json()["error"].lower()
    assert "Traceback" not in server.log()
    assert server.http.get("/v0/pipes/total.json").json()["data"] == [{"n": 0}]
    assert [each["name"] for each in server.http.get("/v0/pipes").json()["pipes"]] == ["total"]

    for file in files:
        file.unlink()
    server.deploy(more)
    assert server.post_events("other", {"id": 1}).status_code == 200
    assert server.http.get("/v0/pipes/others.json").json()["data"] == [{"n": 1}]
    server.restarted()
    assert server.http.get("/v0/pipes/others.json").json()["data"] == [{"n": 1}]


def test_a_change_of_the_metadata_alone_on_a_full_disk_is_refused(server: ServerProcess, small_disk: Path) -> None:
    server.deploy(PROJECT)
    files = fill_up(small_disk)
    answer = None
    for number in range(50):  # the write-ahead log of the database has room of its own for a while
        answer = server.http.post("/v0/pipes", json={"name": f"p{number}", "nodes": [{"name": "n", "sql": "SELECT 1"}]})
        if answer.status_code != 200:
            break
    assert answer is not None
    assert answer.status_code == 507, answer.text
    for file in files:
        file.unlink()
    answer = server.http.post("/v0/pipes", json={"name": "one_more", "nodes": [{"name": "n", "sql": "SELECT 1"}]})
    assert answer.status_code == 200, answer.text


def test_a_backup_or_restore_for_which_there_is_no_room_says_so_and_leaves_nothing(
    server: ServerProcess, small_disk: Path
) -> None:
    server.deploy(PROJECT)
    assert job_of(server, "/v0/backups", name="empty")["status"] == "done"
    for first in range(0, 10_000, ROWS_PER_REQUEST):
        assert post(server, first) == 200
    rows = server.value("SELECT count() FROM events")
    assert job_of(server, "/v0/backups", name="full")["status"] == "done"
    ballast = fill(small_disk, leave_bytes=4_000_000)
    # Of a backup on a base nobody knows how large it will be: it is the engine that finds the disk full.
    for path, options, message in (
        ("/v0/backups", {"name": "a"}, "There is not enough room on the disk. The backup was not made. It needs"),
        ("/v0/backups", {"name": "b", "base": "empty"}, "The disk is full. The backup was not made. Of"),
        (
            "/v0/backups/full/restore",
            {"replace": "true"},
            "There is not enough room on the disk. Nothing was restored. It needs",
        ),
    ):
        job = job_of(server, path, **options)
        assert job["status"] == "error" and message in job["error"], job
    assert {each["name"] for each in server.http.get("/v0/backups").json()["backups"]} == {"empty", "full"}
    assert not list((small_disk / "data" / "backups").glob(".*"))
    assert server.value("SELECT count() FROM events") == rows
    ballast.unlink()
    assert job_of(server, "/v0/backups/full/restore", replace="true")["status"] == "done"
    assert server.value("SELECT count() FROM events") == rows
    assert "Traceback" not in server.log()


def job_of(server: ServerProcess, path: str, **options: str) -> dict[str, Any]:
    answer = server.http.post(path, params=options)
    assert answer.status_code == 200, answer.text
    return server.finished(answer.json()["job"]["job_id"], seconds=60)

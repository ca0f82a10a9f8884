"""Where the data of a check or a test run goes: into memory, unless there is no room or somebody says otherwise."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from birdhouse.cli import scratch
from birdhouse.cli.scratch import scratch_directory


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(scratch, "MEMORY", tmp_path)
    return tmp_path


def test_it_is_in_memory_and_gone_afterwards(memory: Path) -> None:
    with scratch_directory("birdhouse-") as directory:
        assert directory.parent == memory
    assert list(memory.iterdir()) == []


def test_it_is_elsewhere_where_memory_has_no_room_for_what_comes(memory: Path) -> None:
    with scratch_directory("birdhouse-", shutil.disk_usage(memory).free) as directory:
        assert directory.parent != memory


def test_tmpdir_decides(
    memory: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = tmp_path_factory.mktemp("chosen")
    monkeypatch.setenv("TMPDIR", str(chosen))
    monkeypatch.setattr("tempfile.tempdir", None)
    with scratch_directory("birdhouse-") as directory:
        assert directory.parent == chosen


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are looked up in /proc")
def test_what_a_killed_process_has_left_is_removed(memory: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    for pid in (ended.pid, os.getpid()):
        (memory / f"birdhouse-{pid}-x").mkdir()
    with scratch_directory("birdhouse-"):
        assert not (memory / f"birdhouse-{ended.pid}-x").exists()
        assert (memory / f"birdhouse-{os.getpid()}-x").exists()

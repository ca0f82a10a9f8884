"""What keeps a server from starting is said in one message, with exit code 1."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from crash_server import PROGRAM, ServerProcess

WITHOUT_ROOTS_RIGHT = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
"""Root may write everywhere, except where this right is taken from it."""


def started(
    directory: Path, data_dir: Path | str, *arguments: str, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    command = [*before, str(PROGRAM), "start", "--port", "0", "--data-dir", str(data_dir), *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60)


def refusal(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    assert ended.stderr.startswith("Error: ")
    assert ended.stderr.count("Error:") == 1
    assert ended.stdout == ""
    return ended.stderr


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refusal(started(tmp_path, "data", "--port", str(port)))
    assert f"Port {port} is in use by another process" in message
    assert "--port" in message


def test_a_data_directory_in_use_is_refused_and_its_server_goes_on(server: ServerProcess, tmp_path: Path) -> None:
    message = refusal(started(tmp_path, server.data_dir))
    assert "in use by another process" in message
    assert str(server.data_dir) in message
    assert server.value("SELECT 1 AS one") == 1


def test_a_data_directory_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data" / "files").mkdir(parents=True)
    for folder in (tmp_path / "data" / "files", tmp_path / "data"):
        folder.chmod(0o555)
    message = refusal(started(tmp_path, tmp_path / "data", before=() if os.getuid() else WITHOUT_ROOTS_RIGHT))
    assert "The data directory cannot be written to" in message
    assert str(tmp_path / "data") in message


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_a_file_in_place_of_the_data_directory_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("not a directory")
    message = refusal(started(tmp_path, tmp_path / path))
    assert str(tmp_path / path) in message
    assert (tmp_path / "file").read_text() == "not a directory"


def newer(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("INSERT INTO migrations VALUES (9999)")
    database.close()


def overwritten(file: Path) -> None:
    file.write_bytes(b"this is not a database file at all " * 200)


def damaged(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[100:4096] = os.urandom(3996)
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (newer, "was written by a newer Birdhouse"),
        (overwritten, "metadata database cannot be"),
        (damaged, "metadata database cannot be"),
    ],
)
def test_a_metadata_database_that_cannot_be_read_is_refused_and_left_as_it_is(
    server: ServerProcess, tmp_path: Path, change: Callable[[Path], None], expected: str
) -> None:
    assert server.stop() == 0
    file = server.data_dir / "metadata.sqlite"
    change(file)
    before = file.read_bytes()
    assert expected in refusal(started(tmp_path, server.data_dir))
    assert file.read_bytes() == before


def test_an_unknown_setting_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "birdhouse.toml").write_text("prot = 7181\n")
    message = refusal(started(tmp_path, "data"))
    assert "'prot' in birdhouse.toml is not a setting" in message
    assert "'port'" in message
    assert not (tmp_path / "data").exists()


def test_a_value_that_cannot_be_used_is_refused_with_the_place_it_comes_from(tmp_path: Path) -> None:
    command = [str(PROGRAM), "start", "--data-dir", "data"]
    ended = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "BIRDHOUSE_PORT": "80a"}, capture_output=True, text=True, timeout=60
    )
    message = refusal(ended)
    assert "'port'" in message
    assert "BIRDHOUSE_PORT" in message
    assert "'80a'" in message

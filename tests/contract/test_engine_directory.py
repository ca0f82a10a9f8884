"""Opening, closing and sharing of the embedded engine's directory. Each case is a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from birdhouse.engine.chdb import ChdbConfig
from birdhouse.engine.connect import open_engine
from birdhouse.errors import CannotStart

PREAMBLE = """
import asyncio, os, sys
from birdhouse.engine.chdb import ChdbConfig, ChdbEngine
from birdhouse.engine.types import Insert, Lane, Limits, Query, TableName
from birdhouse.errors import *
path = sys.argv[1]
config = ChdbConfig(memory_bytes_max=1_000_000_000, read_workers=1)
async def ask(engine, sql):
    return (await engine.select(Query(sql, format="TSV"))).body.decode().strip()
"""


def run(program: str, path: Path) -> str:
    command = [sys.executable, "-W", "error", "-c", PREAMBLE + program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


WRITER = """
async def main():
    engine = ChdbEngine.open(path, config=config)
    await engine.execute("CREATE DATABASE IF NOT EXISTS w")
    await engine.execute("CREATE TABLE IF NOT EXISTS w.t (id UInt64) ENGINE = MergeTree ORDER BY id")
    await engine.insert(Insert(TableName("w", "t"), ("id",), "CSV", b"1\\n2\\n", "x"))
    print(await ask(engine, "SELECT count() FROM w.t"), flush=True)
    END
asyncio.run(main())
"""


@pytest.mark.parametrize("end", ["await engine.close()", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_acknowledged_rows_are_there_when_the_directory_is_opened_again(tmp_path: Path, end: str) -> None:
    program = WRITER.replace("END", end)
    command = [sys.executable, "-c", PREAMBLE + program, str(tmp_path / "engine")]
    for expected in ("2", "4"):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == expected, done.stderr


def test_a_directory_is_used_by_one_process(tmp_path: Path) -> None:
    program = f"""
import subprocess
async def main():
    engine = ChdbEngine.open(path, config=config)
    second = {PREAMBLE!r} + '''
try: ChdbEngine.open(path, config=config)
except DataDirectoryInUse as failure: print(failure)
'''
    print(subprocess.run([sys.executable, "-c", second, path], capture_output=True, text=True, timeout=30).stdout)
    print(await ask(engine, "SELECT 1"))
    await engine.close()
asyncio.run(main())
"""
    directory = tmp_path / "engine"
    message, _, answer = run(program, directory).splitlines()
    assert message.startswith("The data directory is in use by another process.")
    assert str(directory) in message
    assert answer == "1"


def test_a_second_directory_in_the_same_process_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    program = """
async def main():
    first = ChdbEngine.open(path, config=config)
    try: ChdbEngine.open(path + "2", config=config)
    except DataDirectoryInUse: sys.exit("wrong error")
    except CannotStart: print("refused")
    await first.close()
    second = ChdbEngine.open(path + "2", config=config)
    print(await ask(second, "SELECT 1"))
    await second.close()
asyncio.run(main())
"""
    assert run(program, tmp_path / "engine").split() == ["refused", "1"]


def test_after_a_fork_the_engine_refuses_instead_of_hanging(tmp_path: Path) -> None:
    program = """
engine = ChdbEngine.open(path, config=config)
if os.fork() == 0:
    try: asyncio.run(asyncio.wait_for(ask(engine, "SELECT 1"), 5))
    except CannotStart as failure: print("refused", flush=True)
    os._exit(0)
os.wait()
asyncio.run(engine.close())
"""
    assert run(program, tmp_path / "engine") == "refused"


def test_closing_ends_what_runs_and_refuses_what_waits_and_what_comes(tmp_path: Path) -> None:
    program = """
import time, threading
async def main():
    engine = ChdbEngine.open(path, config=config)
    tasks = [asyncio.create_task(ask(engine, "SELECT count() FROM numbers(1000000000000)")) for _ in range(3)]
    stream = engine.stream(Query("SELECT number FROM numbers(1000000000000)", format="TSV"))
    chunks = await stream.__aenter__()
    await asyncio.sleep(0.1)
    started = time.monotonic()
    await engine.close()
    print(time.monotonic() - started < 3)
    for task in (*tasks, asyncio.create_task(ask(engine, "SELECT 1"))):
        try: await task
        except Cancelled: print("cancelled")
    await stream.__aexit__(None, None, None)
    await engine.close()
    print([t.name for t in threading.enumerate() if t.name.startswith("engine")])
asyncio.run(main())
"""
    assert run(program, tmp_path / "engine").splitlines() == ["True", *["cancelled"] * 4, "[]"]


def test_a_backup_goes_where_the_configuration_allows(tmp_path: Path) -> None:
    program = """
from pathlib import Path
backups = Path(path).parent / "backups"
async def main():
    engine = ChdbEngine.open(path, config=ChdbConfig(memory_bytes_max=1_000_000_000, backups_path=backups))
    await engine.execute("CREATE DATABASE w")
    await engine.execute("CREATE TABLE w.t (id UInt64) ENGINE = MergeTree ORDER BY id")
    await engine.execute("INSERT INTO w.t SELECT number FROM numbers(10)")
    await engine.execute(f"BACKUP DATABASE w TO File('{backups}/one')", lane=Lane.JOB)
    try: await engine.execute(f"BACKUP DATABASE w TO File('{backups}-elsewhere/one')", lane=Lane.JOB)
    except SqlError: print("refused")
    await engine.execute("DROP DATABASE w SYNC")
    await engine.execute(f"RESTORE DATABASE w FROM File('{backups}/one')", lane=Lane.JOB)
    print(await ask(engine, "SELECT count() FROM w.t"))
    await engine.close()
asyncio.run(main())
"""
    assert run(program, tmp_path / "engine").split() == ["refused", "10"]


@pytest.mark.parametrize("address", ["postgres://host/db", "http://localhost:8123"])
def test_an_address_without_an_engine_is_named(address: str) -> None:
    with pytest.raises(CannotStart, match="no engine for"):
        open_engine(address, embedded=ChdbConfig(memory_bytes_max=1_000_000_000))


@pytest.mark.parametrize("name", ["a?readonly=1", "a%20b", "a#b", "a&b"])
def test_a_directory_the_engine_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CannotStart, match="character"):
        open_engine(tmp_path / name, embedded=ChdbConfig(memory_bytes_max=1_000_000_000))
    assert not (tmp_path / name).exists()

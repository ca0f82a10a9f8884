"""A stop ends in time with exit code 0, loses nothing, and what it interrupts goes on at the next start."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from crash_server import PROGRAM, Make, ServerProcess, copy, datasource, wait_for

SHUTDOWN_SECONDS = 2
MARGIN_SECONDS = 6
"""For a busy machine; a stop that hangs takes for ever."""

SIGNALS = [signal.SIGINT, signal.SIGTERM]
LONG_QUERY = "SELECT count() AS n FROM numbers(100000000000) WHERE sipHash64(number) = 1"
LONG_COPY = {
    "datasources/numbers.datasource": datasource("n UInt64"),
    "pipes/long.pipe": copy(
        "SELECT number AS n FROM numbers(2000000000) WHERE sipHash64(n) % 5 < 4", "numbers", "append"
    ),
}


@pytest.fixture
def hasty(make_server: Make) -> ServerProcess:
    """A server that waits only shortly at its end."""
    environment = {"BIRDHOUSE_SHUTDOWN_SECONDS": str(SHUTDOWN_SECONDS), "BIRDHOUSE_QUERY_SECONDS_MAX": "60"}
    return make_server(environment=environment).start()


def stop_timed(server: ServerProcess, number: int) -> tuple[int, float]:
    began = time.monotonic()
    return server.stop(number), time.monotonic() - began


def ask_in_background(server: ServerProcess, sql: str) -> threading.Thread:
    def ask() -> None:
        with server.http.stream("POST", "/v0/sql", content=sql) as answer:
            answer.read()

    def ask_and_forget() -> None:
        try:
            ask()
        except Exception:  # the server goes away under it
            return

    thread = threading.Thread(target=ask_and_forget, daemon=True)
    thread.start()
    time.sleep(0.5)
    return thread


@pytest.mark.parametrize("number", SIGNALS)
def test_an_idle_server_stops_at_once(hasty: ServerProcess, number: int) -> None:
    code, seconds = stop_timed(hasty, number)
    assert code == 0
    assert seconds < SHUTDOWN_SECONDS + MARGIN_SECONDS
    assert "Traceback" not in hasty.log()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_long_query_is_ended_when_its_time_is_up(hasty: ServerProcess, number: int) -> None:
    thread = ask_in_background(hasty, LONG_QUERY)
    code, seconds = stop_timed(hasty, number)
    thread.join(10)
    assert code == 0
    assert SHUTDOWN_SECONDS - 1 < seconds < SHUTDOWN_SECONDS + MARGIN_SECONDS
    assert "Traceback" not in hasty.log()


def test_a_short_query_is_answered_although_a_stop_was_asked_for(hasty: ServerProcess) -> None:
    answers: list[int] = []

    def ask() -> None:
        sql = "SELECT count() FROM numbers(100) WHERE sleepEachRow(0.01) = 0 FORMAT JSON"
        answers.append(hasty.http.post("/v0/sql", content=sql).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    code = hasty.stop()
    thread.join(10)
    assert code == 0
    assert answers != []


@pytest.mark.parametrize("number", SIGNALS)
def test_a_job_is_interrupted_and_goes_on_at_the_next_start(hasty: ServerProcess, number: int) -> None:
    hasty.deploy(LONG_COPY)
    job = hasty.post_copy("long")
    wait_for(lambda: hasty.job(job)["status"] == "working", seconds=10)
    code, seconds = stop_timed(hasty, number)
    assert code == 0
    assert seconds < SHUTDOWN_SECONDS + MARGIN_SECONDS
    hasty.start()
    assert hasty.job(job)["status"] in ("waiting", "working")
    assert hasty.http.post(f"/v0/jobs/{job}/cancel").status_code == 200
    assert hasty.finished(job)["status"] == "cancelled"
    assert hasty.value("SELECT count() FROM numbers") == 0


def test_a_second_ctrl_c_ends_at_once_and_loses_nothing(make_server: Make) -> None:
    server = make_server(environment={"BIRDHOUSE_SHUTDOWN_SECONDS": "60", "BIRDHOUSE_QUERY_SECONDS_MAX": "60"}).start()
    server.deploy({"datasources/rows.datasource": datasource("id UInt64")})
    assert server.post_events("rows", {"id": 1}).status_code == 200
    ask_in_background(server, LONG_QUERY)
    server.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert server.process.poll() is None
    code, seconds = stop_timed(server, signal.SIGINT)
    assert code == 128 + signal.SIGINT
    assert seconds < 2
    assert server.start().sql("SELECT id FROM rows") == [{"id": 1}]


@pytest.mark.parametrize(
    ("seconds", "number"), [(0.3, signal.SIGINT), (0.9, signal.SIGTERM), (1.1, signal.SIGINT), (1.3, signal.SIGTERM)]
)
def test_a_stop_during_the_start_leaves_a_directory_that_starts(make_server: Make, seconds: float, number: int) -> None:
    server = make_server()
    server.spawn()
    time.sleep(seconds)
    code = server.stop(number, seconds=15)
    assert code in (0, -number, 128 + number)
    assert "Traceback (most" not in server.log() or seconds < 0.9  # Python itself may still be importing
    assert server.start().value("SELECT 1 AS one") == 1


@pytest.mark.parametrize("delay", [0.05, 0.3])
def test_an_impatient_ctrl_c_during_a_deployment_leaves_all_or_nothing(
    server: ServerProcess, tmp_path: Path, delay: float
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for number in range(12):
        (project / f"source_{number}.datasource").write_text(datasource("id UInt64"))
        (project / f"endpoint_{number}.pipe").write_text(
            f"NODE n\nSQL >\n    SELECT count() AS n FROM source_{number}\n"
        )
    before = len(server.log())
    command = [str(PROGRAM), "deploy", str(project), "--host", server.url]
    deploying = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})
    wait_for(lambda: deploying.poll() is not None or _has_begun(server), seconds=20)
    time.sleep(delay)
    deploying.send_signal(signal.SIGINT)
    _, complaint = deploying.communicate(timeout=15)
    assert deploying.returncode in (0, 130)
    assert b"Traceback" not in complaint

    server.stop()
    assert "Traceback" not in server.log()[before:]
    server.start()
    found = {each["name"] for each in server.http.get("/v0/pipes").json()["pipes"]}
    wanted = {f"endpoint_{number}" for number in range(12)}
    assert found in (set(), wanted)
    again = subprocess.run([*command[:-1], server.url], capture_output=True, timeout=60)
    assert again.returncode == 0, again.stderr
    for number in range(12):
        assert server.post_events(f"source_{number}", {"id": 1}).status_code == 200
        assert server.http.get(f"/v0/pipes/endpoint_{number}.json").json()["data"] == [{"n": 1}]
    server.stop()
    assert server.tables_left_over() == []


def _has_begun(server: ServerProcess) -> bool:
    """Whether a deployment has written anything: it makes a scratch database first."""
    return any((server.data_dir / "engine" / "metadata").glob("scratch_*"))

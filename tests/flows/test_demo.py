"""The demo on this repository's own history: what Birdhouse counts is what git counts."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from birdhouse.cli.output import counted

ROOT = Path(__file__).parent.parent.parent
DEMO_SECONDS_MAX = 180


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


PORT = free_port()
"""The same for every run: an import remembers the address of the server that has its rows."""


def command(data_dir: Path, repo: Path, *more: str) -> list[str]:
    options = ["--port", str(PORT), "--data-dir", str(data_dir), "--repo", str(repo)]
    return [sys.executable, "-m", "birdhouse", "demo", *options, *more]


def demo(data_dir: Path, repo: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(data_dir, repo, "--once", *more),
        capture_output=True,
        text=True,
        timeout=DEMO_SECONDS_MAX,
    )


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "data"


@pytest.fixture(scope="module")
def first_run(data_dir: Path) -> subprocess.CompletedProcess[str]:
    return demo(data_dir, ROOT, "--simulate", "1000")


def test_the_demo_finds_in_this_repository_what_git_finds(first_run: subprocess.CompletedProcess[str]) -> None:
    assert first_run.returncode == 0, first_run.stdout + first_run.stderr
    commits = int(git("rev-list", "--count", "HEAD"))
    authors = len(git("shortlog", "-sne", "HEAD").splitlines())
    months = len(set(git("log", "--format=%ad", "--date=format:%Y-%m").splitlines()))
    assert f"✓ {commits:,} commits; git rev-list --count says {commits:,}" in first_run.stdout
    assert f"✓ {counted(authors, 'author')}; git shortlog -sne counts the same for each" in first_run.stdout
    assert f"✓ {counted(months, 'month')}; git log counts the same for each" in first_run.stdout
    assert "✗" not in first_run.stdout


def test_the_demo_adds_a_made_up_community_and_shows_what_ran(first_run: subprocess.CompletedProcess[str]) -> None:
    assert "Made up 1,000 activities" in first_run.stdout
    timeline = first_run.stdout.partition("What ran")[2].splitlines()
    health = next(line.split() for line in timeline if " health_score_copy " in line)
    assert int(health[-1]) > 1, "the projects of the community are scored, too"
    assert any(line.endswith("copies ended well, says the monitoring") for line in timeline)


def test_a_second_run_imports_only_what_is_new(first_run: subprocess.CompletedProcess[str], data_dir: Path) -> None:
    second = demo(data_dir, ROOT)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "datafiles, no changes" in second.stdout
    assert "Imported 0 new commits" in second.stdout


def test_a_folder_that_is_no_repository_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    failed = demo(tmp_path / "data", tmp_path / "plain")
    assert failed.returncode == 1
    assert "The path is not a git repository." in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("options", "seen", "code"),
    [
        (("--once",), "Birdhouse serves", 128 + signal.SIGINT),
        ((), "Imported", 128 + signal.SIGINT),
        ((), "Serving until Ctrl-C.", 0),
    ],
)
def test_a_demo_that_is_interrupted_has_not_passed_and_says_no_more(
    tmp_path: Path, options: tuple[str, ...], seen: str, code: int
) -> None:
    with subprocess.Popen(
        command(tmp_path / "data", ROOT, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as running:
        assert running.stdout is not None
        assert any(seen in line for line in running.stdout)
        running.send_signal(signal.SIGINT)
        rest, errors = running.communicate(timeout=DEMO_SECONDS_MAX)
    assert (running.returncode, errors) == (code, ""), rest

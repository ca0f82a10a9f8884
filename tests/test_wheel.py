"""An installed wheel carries everything the demo needs."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DEMO_SECONDS_MAX = 180


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content in a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "content")
    return folder / "content"


@pytest.mark.parametrize(
    "pattern",
    [
        "birdhouse/usage/datasources/*.datasource",
        "birdhouse/usage/pipes/*.pipe",
        "birdhouse/bundled/insights/datasources/*.datasource",
        "birdhouse/bundled/insights/includes/*.incl",
        "birdhouse/bundled/insights/pipes/*.pipe",
        "cdp/reference/*.csv",
    ],
)
def test_data_files_are_in_the_wheel(unpacked: Path, pattern: str) -> None:
    packed = {path.name for path in unpacked.glob(pattern)}
    source = pattern.replace("birdhouse/bundled/", "")
    assert packed == {path.name for path in ROOT.glob(source)} != set()


def test_the_demo_of_a_wheel_runs_in_an_empty_folder(unpacked: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    command = [sys.executable, "-P", "-m", "birdhouse", "demo", "--once", "--port", "0", "--repo", str(ROOT)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=DEMO_SECONDS_MAX
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "git rev-list --count says" in done.stdout
    assert "✗" not in done.stdout
    assert (tmp_path / ".birdhouse" / "metadata.sqlite").is_file()
    assert str(unpacked / "birdhouse") in subprocess.run(
        [sys.executable, "-P", "-c", "import birdhouse; print(birdhouse.__file__)"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

"""The commands, run in this process, and servers for those that talk to one."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Commands


@pytest.fixture
def birdhouse(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Commands:
    """`birdhouse("fmt", "--check")` runs a command in an empty folder, without variables that name a server."""
    for name in ("TB_HOST", "TB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return Commands(tmp_path, capsys)

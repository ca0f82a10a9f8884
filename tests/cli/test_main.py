"""The `birdhouse` command before one of its commands has begun."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from birdhouse.cli import main


def test_a_ctrl_c_while_a_command_is_imported_ends_with_the_code_that_shells_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "import_module", interrupted)
    # Every command is asked for anew: an earlier test may have imported it.
    monkeypatch.setattr(main.ImportedCommands, "__getitem__", main.ImportedCommands.__missing__)
    ended = CliRunner().invoke(main.app, ["fmt", "--help"])
    assert ended.exit_code == 130
    assert "Aborted" not in ended.output

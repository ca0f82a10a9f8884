"""The shell blocks of README and guides, word for word, against a real server and with the official client."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_blocks import bash_blocks, run_document
from flows.flow_server import Server, running_server
from tb_client import CLIENT, REPOSITORY, Tb

GUIDES = sorted(page for page in (REPOSITORY / "docs").glob("*.md") if bash_blocks(page.read_text("utf-8")))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One for each guide: a reader may begin with any of them."""
    with running_server(tmp_path / "data") as server:
        yield server


def test_the_tour_of_the_readme_works_as_written(signed_out_tb: Tb) -> None:
    _link_environments(signed_out_tb.folder)
    environment = {**signed_out_tb.environment, "BIRDHOUSE_PORT": str(free_port())}
    run_document(REPOSITORY / "README.md", signed_out_tb.folder, environment)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_a_guide_works_as_written(guide: Path, tb: Tb, server: Server) -> None:
    """A guide is read beside a running server, with the two variables that the tour has set."""
    _link_environments(tb.folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{tb.environment['PATH']}"
    environment = {**tb.environment, "PATH": path, "BIRDHOUSE_PORT": str(free_port())}
    run_document(guide, tb.folder, environment)


def _link_environments(folder: Path) -> None:
    """A checkout as the reader has it: the programs of this run stand where `make` puts them."""
    for name, programs in ((".venv", Path(sys.executable).parent), (".tb-venv", CLIENT.parent)):
        (folder / name).mkdir()
        (folder / name / "bin").symlink_to(programs)


def test_the_documents_show_no_block_without_a_language() -> None:
    for page in [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")]:
        fences = re.findall(r"^```(.*)$", page.read_text("utf-8"), re.MULTILINE)
        assert all(fences[::2]), page.name

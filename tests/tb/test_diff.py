"""`birdhouse diff` beside the official client: what is pushed, pulled and pushed elsewhere stays the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from flows.flow_server import Server, running_server
from sample_project import PROJECT
from tb_client import REPOSITORY, Tb


@pytest.fixture
def second_server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path / "second") as server:
        yield server


def difference(tb: Tb, *sides: str, environment: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """What changed and how, as `birdhouse diff` tells it."""
    done = subprocess.run(
        [sys.executable, "-m", "birdhouse", "diff", "--json", *sides],
        cwd=tb.folder,
        env={**tb.environment, "PYTHONPATH": str(REPOSITORY), **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return [(change["path"], change["change"]) for change in json.loads(done.stdout)["changes"]]


def test_a_pulled_project_pushed_to_another_server_is_no_difference(
    tb: Tb, empty_server: Server, second_server: Server
) -> None:
    first, second = tb.signed_in(empty_server), tb.signed_in(second_server)
    tb.write(PROJECT)
    first("push", "--push-deps")
    made_by_a_view = ("datasources/hourly.datasource", "removed")
    assert difference(first, ".") == [made_by_a_view]
    pulled = first.folder / "pulled"
    pulled.mkdir()
    first("pull", "--folder", "pulled", "--fmt")
    assert difference(first, "pulled") == []
    inside = Tb(pulled, second.environment)
    inside("push", "--push-deps")
    names = {
        "TB_HOST_A": empty_server.url, "TB_TOKEN_A": empty_server.admin_token,
        "TB_HOST_B": second_server.url, "TB_TOKEN_B": second_server.admin_token,
    }  # fmt: skip
    assert difference(first, "a", "b", environment=names) == []
    top = pulled / "pipes" / "top_users.pipe"
    top.write_text(top.read_text("utf-8").replace("limit, 10", "limit, 20"), "utf-8")
    inside("push", "pipes/top_users.pipe", "--force", "--yes", "--no-check")
    assert difference(first, "a", "b", environment=names) == [("pipes/top_users.pipe", "changed")]


@pytest.mark.torture
def test_the_insights_project_goes_through_the_client_to_a_second_server(
    signed_out_tb: Tb, empty_server: Server, second_server: Server
) -> None:
    """Pushed, pulled, formatted on both sides, pushed elsewhere: no difference anywhere."""
    first, second = signed_out_tb.signed_in(empty_server), signed_out_tb.signed_in(second_server)
    shutil.copytree(REPOSITORY / "insights", first.folder, dirs_exist_ok=True)
    first("push")
    pulled = first.folder / "pulled"
    pulled.mkdir()
    first("pull", "--folder", "pulled", "--fmt")
    assert difference(first, ".") == difference(first, "pulled") == []
    pushed = {path.name: path for path in first.folder.glob("*/*") if path.suffix in (".datasource", ".pipe")}
    assert pushed.keys() == {path.name for path in pulled.rglob("*.*")}
    texts = {path: path.read_text("utf-8") for path in pulled.rglob("*.*")}
    Tb(pulled, second.environment)("fmt", "--yes", *(str(path.relative_to(pulled)) for path in texts))
    assert {path: path.read_text("utf-8") for path in texts} == texts
    Tb(pulled, second.environment)("push")
    names = {
        "TB_HOST_A": empty_server.url, "TB_TOKEN_A": empty_server.admin_token,
        "TB_HOST_B": second_server.url, "TB_TOKEN_B": second_server.admin_token,
    }  # fmt: skip
    assert difference(first, "a", "b", environment=names) == []

"""The command and the delivery to a sink."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from cdp.errors import EventsRejected
from cdp.simulate import Community, FolderSink, FolderUnusable, Progress, simulate
from cdp.simulate.__main__ import main
from cdp.sink import Receipt


class MemorySink:
    destination = "memory"

    def __init__(self, refused: str = "", quarantined: str = "") -> None:
        self.rows: list[tuple[str, bytes]] = []
        self.refused, self.quarantined = refused, quarantined

    async def send(self, datasource: str, rows: Iterable[bytes]) -> Receipt:
        if datasource == self.refused:
            raise EventsRejected()
        lines = list(rows)
        self.rows.extend((datasource, line) for line in lines)
        return Receipt(len(lines), len(lines) if datasource == self.quarantined else 0)


async def test_a_sink_gets_every_row_in_the_order_of_delivery() -> None:
    community, sink = Community(4, 1_000), MemorySink(quarantined="segments")
    shown: list[Progress] = []
    summary = await simulate(community, sink=sink, progress=shown.append)
    assert sink.rows == [(batch.datasource, row) for batch in community.batches() for row in batch.rows]
    assert summary.sent_rows == len(sink.rows) == shown[-1].sent_rows
    assert shown[-1].activities == shown[-1].activities_total == summary.tally.activities == 1_000
    assert summary.quarantined_rows == {"segments": summary.tally.rows["segments"]}


async def test_a_refusal_ends_the_simulation() -> None:
    with pytest.raises(EventsRejected):
        await simulate(Community(4, 1_000), sink=MemorySink(refused="members"))


def test_the_command_writes_a_folder_and_a_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "community"
    arguments = ["--seed", "3", "--activities", "500", "--years", "1", "--output", str(folder)]
    assert main([*arguments, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    files = {path.stem: path.read_bytes() for path in folder.iterdir()}
    assert summary["tally"]["rows"] == {name: content.count(b"\n") for name, content in files.items()}
    assert main([*arguments, "--duplicated", "0"]) == 0
    assert "500 activities of 40 members" in capsys.readouterr().out
    again = {path.stem: path.read_bytes() for path in folder.iterdir()}
    assert len(again["activityRelations"]) < len(files["activityRelations"])


def test_the_command_explains_what_it_cannot_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BIRDHOUSE_TOKEN", raising=False)
    assert main([]) == 2
    assert "No token" in capsys.readouterr().err
    assert main(["--output", str(tmp_path), "--activities", "0"]) == 1
    assert "activities must be from 1" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["--output", str(tmp_path / "file"), "--activities", "10"]) == 1
    assert "cannot be written" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "example:" in capsys.readouterr().out


async def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "members.ndjson").mkdir()
    async with FolderSink(tmp_path) as sink:
        with pytest.raises(FolderUnusable, match="directory"):
            await sink.send("members", [b"{}"])

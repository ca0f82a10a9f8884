"""An import tells its blocks as they are written, and at the end what it was."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from ingest_tables import MakeTarget

from birdhouse.catalog.resources import DataSource
from birdhouse.clock import ManualClock
from birdhouse.engine.protocol import Engine
from birdhouse.errors import BirdhouseError, InvalidRows
from birdhouse.ingest import files as files_module
from birdhouse.ingest.files import FileFormat, Files
from birdhouse.ingest.record import ImportRecord, ImportSubject
from birdhouse.language.datafile.model import Column, DataSourceDefinition
from birdhouse.usage.blocks import Block, public_url
from birdhouse.usage.operations import EventType, Operation
from birdhouse.usage.row import Row

AT = datetime(2024, 5, 1, tzinfo=UTC)
COLUMNS = [Column("id", "UInt32", "$.id")]
LINES = b'{"id": 1}\n{"id": "x"}\n' * 10


class Notes:
    def __init__(self) -> None:
        self.rows: list[Row] = []

    @property
    def blocks(self) -> list[Block]:
        return [row for row in self.rows if isinstance(row, Block)]

    @property
    def operation(self) -> Operation:
        (operation,) = (row for row in self.rows if isinstance(row, Operation))
        return operation


def record(notes: Notes, event_type: EventType = EventType.APPEND) -> ImportRecord:
    datasource = DataSource("t_1", DataSourceDefinition("people", tuple(COLUMNS)), "", "w", AT, AT)
    subject = ImportSubject(
        workspace_id="w", datasource=datasource, event_type=event_type, import_id="i", source="people.ndjson",
        format=FileFormat.NDJSON, request_id="r",
    )  # fmt: skip
    return ImportRecord(notes.rows.append, ManualClock(AT), subject)


async def test_the_blocks_add_up_to_the_operation(
    engine: Engine, make_target: MakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "BLOCK_BYTES", len(LINES) // 4)
    (tmp_path / "file").write_bytes(LINES)
    target, notes = await make_target(COLUMNS), Notes()
    with record(notes) as noted:
        imported = await Files(engine, tmp_path).append(
            target, tmp_path / "file", FileFormat.NDJSON, import_id="i", on_block=noted.block
        )
        noted.done(imported)
    blocks, operation = notes.blocks, notes.operation
    assert len(blocks) >= 4
    assert sum(block.rows or 0 for block in blocks) == operation.rows == 10
    assert sum(block.quarantine_lines or 0 for block in blocks) == operation.rows_quarantine == 10
    assert sum(block.bytes or 0 for block in blocks) == operation.written_bytes > 0
    assert sum(block.processing_time or 0 for block in blocks) <= operation.elapsed_time
    assert operation.blocks_ids == tuple(block.block_id for block in blocks)
    assert len(set(operation.blocks_ids)) == len(blocks)
    assert {block.processing_error for block in blocks} == {operation.error} == {None}


@pytest.mark.parametrize(("event_type", "rows_kept"), [(EventType.APPEND, 3), (EventType.REPLACE, 0)])
def test_a_failure_is_a_block_and_an_operation_with_its_error(event_type: EventType, rows_kept: int) -> None:
    """What an append has written stays; a replace that fails has written nothing."""
    notes = Notes()
    with pytest.raises(BirdhouseError), record(notes, event_type) as noted:
        noted.block(files_module.Imported("i", rows=3, bytes=12))
        raise InvalidRows("Not a file.", hint="Send one.")
    written, failed = notes.blocks
    assert (written.rows, written.processing_error) == (3, None)
    assert (failed.rows, failed.processing_error) == (None, "Not a file. Send one.")
    assert (notes.operation.error, notes.operation.rows) == ("Not a file. Send one.", rows_kept)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://files.test/a/b.csv?X-Signature=secret#f", "https://files.test/a/b.csv"),
        ("http://user:secret@files.test:8080/b.csv", "http://files.test:8080/b.csv"),
        ("http://[broken", ""),
    ],
)
def test_secrets_of_a_url_are_not_recorded(url: str, shown: str) -> None:
    assert public_url(url) == shown

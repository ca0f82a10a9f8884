"""What the service data sources are told about the import of a file, and about views that fail on rows."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import TracebackType

from birdhouse.catalog.resources import DataSource
from birdhouse.clock import Clock
from birdhouse.ingest.delivery import ViewFailure
from birdhouse.ingest.files import FileFormat, Imported
from birdhouse.usage.blocks import Block
from birdhouse.usage.operations import EventType, Operation
from birdhouse.usage.request import current_request_id
from birdhouse.usage.row import Note


def failed_view(failure: ViewFailure, at: datetime) -> Operation:
    """On the target of the view: it did not get the rows."""
    return Operation(
        workspace_id=failure.workspace_id,
        timestamp=at,
        event_type=EventType.APPEND,
        datasource_id=failure.datasource_id,
        datasource_name=failure.datasource_name,
        error=failure.error,
        options={
            "missed_rows": str(failure.rows),
            "kept": str(failure.is_kept).lower(),
            "attempts": str(failure.attempts),
        },
        rows=0,
        pipe_id=failure.pipe_id,
        pipe_name=failure.pipe_name,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSubject:
    """What is imported where. `source` is the name or URL of the file."""

    workspace_id: str
    datasource: DataSource
    event_type: EventType
    import_id: str
    source: str
    format: FileFormat
    request_id: str = field(default_factory=current_request_id)
    job_id: str | None = None


class ImportRecord:
    """Around an import: notes each block as it is written, and at the end the operation, also a failed one."""

    def __init__(self, note: Note, clock: Clock, subject: ImportSubject) -> None:
        self._note = note
        self._clock = clock
        self._subject = subject
        self._so_far = Imported(subject.import_id)
        self._block_ids: list[str] = []

    def __enter__(self) -> ImportRecord:
        self._started = self._block_started = time.perf_counter()
        return self

    def block(self, imported: Imported) -> None:
        """One more block was written; `imported` has the sums up to it."""
        before, now = self._so_far, time.perf_counter()
        self._note_block(
            rows=imported.rows - before.rows,
            quarantine_lines=imported.quarantine_rows - before.quarantine_rows,
            bytes_written=imported.bytes - before.bytes,
            seconds=now - self._block_started,
        )
        self._block_started = now
        self.done(imported)

    def done(self, imported: Imported) -> Imported:
        """The sums at the end, which it gives back; a condition can have left some rows out."""
        self._so_far = replace(imported)
        return imported

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._started
        text = None if error is None else str(error) or repr(error)
        if text is not None:
            self._note_block(seconds=time.perf_counter() - self._block_started, error=text)
        subject, imported = self._subject, self._so_far
        if error is not None and subject.event_type is EventType.REPLACE:
            imported = Imported(subject.import_id)  # the target is as it was before
        self._note(
            Operation(
                workspace_id=subject.workspace_id,
                timestamp=self._clock.now(),
                event_type=subject.event_type,
                datasource_id=subject.datasource.id,
                datasource_name=subject.datasource.name,
                elapsed_time=seconds,
                error=text,
                options={"source": subject.source, "format": subject.format},
                request_id=subject.request_id,
                import_id=subject.import_id,
                job_id=subject.job_id,
                rows=imported.rows,
                rows_quarantine=imported.quarantine_rows,
                blocks_ids=tuple(self._block_ids),
                written_rows=imported.rows,
                written_bytes=imported.bytes,
                written_rows_quarantine=imported.quarantine_rows,
                written_bytes_quarantine=imported.quarantine_bytes,
            )
        )

    def _note_block(
        self,
        *,
        seconds: float,
        rows: int | None = None,
        quarantine_lines: int | None = None,
        bytes_written: int | None = None,
        error: str | None = None,
    ) -> None:
        subject = self._subject
        block_id = f"{subject.import_id}-{len(self._block_ids)}"
        self._block_ids.append(block_id)
        self._note(
            Block(
                workspace_id=subject.workspace_id,
                timestamp=self._clock.now(),
                request_id=subject.request_id,
                import_id=subject.import_id,
                job_id=subject.job_id,
                source=subject.source,
                block_id=block_id,
                datasource_id=subject.datasource.id,
                datasource_name=subject.datasource.name,
                rows=rows,
                parser=subject.format,
                quarantine_lines=quarantine_lines,
                bytes=bytes_written,
                processing_time=seconds,
                processing_error=error,
            )
        )

"""Imports by URL: a remote file is fetched and then read like an uploaded one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.lineage import ids_below
from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import Clock
from birdhouse.engine.protocol import Engine
from birdhouse.errors import Conflict, InvalidInput, InvalidParameter
from birdhouse.ingest.files import FileFormat, Files, Imported
from birdhouse.ingest.record import ImportRecord, ImportSubject
from birdhouse.ingest.replace import Replacements
from birdhouse.ingest.target import Target
from birdhouse.jobs.condition import checked_condition
from birdhouse.jobs.copy import APPEND, REPLACE
from birdhouse.jobs.job import Job
from birdhouse.jobs.queue import Run
from birdhouse.jobs.staging import size
from birdhouse.usage.blocks import public_url
from birdhouse.usage.operations import EventType
from birdhouse.usage.row import Note, not_recorded

_FORMAT_OF_SUFFIX = {
    ".json": FileFormat.NDJSON,
    ".jsonl": FileFormat.NDJSON,
    ".ndjson": FileFormat.NDJSON,
    ".parquet": FileFormat.PARQUET,
    ".csv": FileFormat.CSV,
}
_COMPRESSIONS = (".gz", ".zst")


def import_payload(
    datasource: DataSource,
    url: str,
    *,
    mode: str,
    format: str | None = None,
    condition: str | None = None,
    skip_incompatible: bool = False,
) -> dict[str, Any]:
    """What an import job is asked to do. `format` None is taken from the URL. The last two are for replace."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise InvalidParameter(f"'{url}' cannot be imported.", hint="Give a URL with http:// or https://.")
    if mode not in (APPEND, REPLACE):
        raise InvalidParameter(f"An import has no mode '{mode}'", hint=f"Use {APPEND} or {REPLACE}.")
    if condition is not None and mode != REPLACE:
        raise InvalidParameter("Only an import with mode replace takes a condition.")
    return {
        "url": url,
        "datasource": {"id": datasource.id, "name": datasource.name},
        "mode": mode,
        "format": (_format(format) if format else format_of_url(url)).value,
        "condition": condition,
        "skip_incompatible": skip_incompatible,
    }


def format_of_url(url: str) -> FileFormat:
    """By the extension, a compression's left aside; CSV when there is none that says something else."""
    path = urlsplit(url).path.lower()
    for suffix in _COMPRESSIONS:
        path = path.removesuffix(suffix)
    return _FORMAT_OF_SUFFIX.get(Path(path).suffix, FileFormat.CSV)


def _format(name: str) -> FileFormat:
    try:
        return FileFormat(name.lower())
    except ValueError:
        raise InvalidParameter(
            f"The format '{name}' cannot be imported.", hint=f"Use {', '.join(FileFormat)}."
        ) from None


class ImportRunner:
    """`files` writes the rows; `size_bytes_max` bounds what is fetched."""

    def __init__(
        self,
        engine: Engine,
        catalog: Catalog,
        services: Callable[[], Workspace | None],
        files: Files,
        replacements: Replacements,
        client: httpx.AsyncClient,
        *,
        size_bytes_max: int,
        clock: Clock,
        note: Note = not_recorded,
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._services = services
        self._files = files
        self._replacements = replacements
        self._client = client
        self._clock = clock
        self._note = note
        self._size_bytes_max = size_bytes_max

    def touches(self, job: Job) -> frozenset[str]:
        return ids_below(self._catalog.workspace(job.workspace_id), job.payload["datasource"]["id"])

    async def run(self, run: Run) -> Mapping[str, Any]:
        payload = run.job.payload
        if run.job.result.get("writing") and payload["mode"] == APPEND:
            raise Conflict(
                "The import was interrupted by a restart after it had begun to write; rows of it may be in the "
                "data source.",
                hint=f"Look for rows of the import {run.job.id}, then import again.",
            )
        workspace = self._catalog.workspace(run.job.workspace_id)
        datasource = workspace.datasource(payload["datasource"]["id"])
        run.show(import_id=run.job.id, url=payload["url"], mode=payload["mode"], block_log=[{"status": "processing"}])
        with self._record(run.job, datasource) as record:
            async with self._fetched(payload["url"]) as path:
                await run.keep(writing=True)
                imported = record.done(await self._write(run, workspace, datasource, path, record))
        return await self._result(datasource, imported)

    def _record(self, job: Job, datasource: DataSource) -> ImportRecord:
        subject = ImportSubject(
            workspace_id=job.workspace_id,
            datasource=datasource,
            event_type=EventType(job.payload["mode"]),
            import_id=job.id,
            source=public_url(job.payload["url"]),
            format=FileFormat(job.payload["format"]),
            request_id="",
            job_id=job.id,
        )
        return ImportRecord(self._note, self._clock, subject)

    @asynccontextmanager
    async def _fetched(self, url: str) -> AsyncIterator[Path]:
        """The remote file, while the body runs. Raises InvalidInput when it cannot be had, TooLarge beyond the size."""
        async with AsyncExitStack() as spool:
            try:
                async with self._client.stream("GET", url) as answer:
                    if answer.status_code != httpx.codes.OK:
                        raise InvalidInput(f"The URL answered with status {answer.status_code}.", detail=f"({url})")
                    chunks = answer.aiter_bytes()
                    path = await spool.enter_async_context(
                        self._files.spooled(chunks, size_bytes_max=self._size_bytes_max)
                    )
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise InvalidInput("The URL cannot be fetched.", detail=f"({url}: {error})") from error
            yield path

    async def _write(
        self, run: Run, workspace: Workspace, datasource: DataSource, path: Path, record: ImportRecord
    ) -> Imported:
        target = Target(datasource.table, datasource.quarantine, datasource.definition.columns, datasource.name)
        payload, format = run.job.payload, FileFormat(run.job.payload["format"])

        def append(target: Target) -> Awaitable[Imported]:
            return self._files.append(target, path, format, import_id=run.job.id, on_block=_shown(run, record))

        if payload["mode"] == APPEND:
            return await append(target)
        condition = payload["condition"]
        if condition is not None:
            condition = checked_condition(workspace, condition, services=self._services())
        return await self._replacements.replace(
            workspace.id,
            target,
            append,
            import_id=run.job.id,
            condition=condition,
            skip_incompatible=payload.get("skip_incompatible", False),
        )

    async def _result(self, datasource: DataSource, imported: Imported) -> dict[str, Any]:
        stored = await size(self._engine, datasource.table)
        return {
            **_counts(imported),
            "statistics": {"row_count": stored.rows, "bytes": stored.bytes},
            "block_log": [{"status": "done"}],
        }

    async def clean(self, job: Job) -> None:
        """The files that a run used are gone with it."""


def _shown(run: Run, record: ImportRecord) -> Callable[[Imported], None]:
    def show(imported: Imported) -> None:
        record.block(imported)
        run.show(**_counts(imported))

    return show


def _counts(imported: Imported) -> dict[str, Any]:
    lines = {"lines": imported.rows, "parser": "python", "quarantine": imported.quarantine_rows}
    return {
        "quarantine_rows": imported.quarantine_rows,
        "invalid_lines": imported.invalid_lines,
        "errors": list(imported.errors),
        **({"view_failures": list(imported.view_failures)} if imported.view_failures else {}),
        "blocks": [{"block_id": imported.import_id, "process_return": [lines]}],
    }

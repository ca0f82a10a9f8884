"""`POST /v0/datasources`: creates a data source, and takes files into one.

A form describes a data source. A body, a file in a multipart form or a `url` is data, which `mode` puts into a new
data source, beside the rows of one or in their place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.analyses import Sample, analyzed, head_of, remote_sample, sample_of
from birdhouse.api.call import TRUE_WORDS, Call, joined, required
from birdhouse.api.datasource_form import connected, definition_of, desired
from birdhouse.api.datasource_json import datasource_of
from birdhouse.api.events import target_of
from birdhouse.api.job_json import job_json
from birdhouse.api.responses import json_response
from birdhouse.api.uploads import Upload, spooled
from birdhouse.catalog.resources import DataSource
from birdhouse.deploy.deployer import SERVICE_WORKSPACE
from birdhouse.errors import BirdhouseError, InvalidParameter, InvalidRows, NameTaken
from birdhouse.ingest.delimited import Dialect, detect_dialect
from birdhouse.ingest.files import FileFormat, Imported
from birdhouse.ingest.record import ImportRecord, ImportSubject
from birdhouse.ingest.target import Target
from birdhouse.jobs.condition import checked_condition
from birdhouse.jobs.imports import format_of_url, import_payload
from birdhouse.jobs.job import JobKind
from birdhouse.language.datafile.model import DataSourceDefinition
from birdhouse.metadata.identifiers import new_id
from birdhouse.usage.operations import EventType

CREATE, APPEND, REPLACE = "create", "append", "replace"
MODES = (CREATE, APPEND, REPLACE)
HEAD_BYTES = 64 * 1024
_FORMATS = {**{each.value: each for each in FileFormat}, "json": FileFormat.NDJSON, "jsonl": FileFormat.NDJSON}
_NEW_LINES = frozenset({"", "\n", "\r\n", "\\n", "\\r\\n"})


@dataclass(frozen=True, slots=True)
class _File:
    """An uploaded file; `name` is what the sender calls it, if anything."""

    path: Path
    format: FileFormat
    name: str
    import_id: str


async def create(call: Call) -> Response:
    """Creates a data source, or takes a file into one: `mode` is create, append or replace.

    A `mode` in the query is about rows; one in the form is the import strategy of a new data source.
    """
    query = joined(call.request.query_params.multi_items())
    mode = _mode(query, "")
    if call.request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return await _from_form(call, query, mode)
    if "url" in query:
        return await _from_url(call, query, _mode(query))
    return await _from_upload(call, query, mode)


def _mode(values: Mapping[str, str], otherwise: str = CREATE) -> str:
    mode = values.get("mode", "").lower() or otherwise
    if mode and mode not in MODES:
        raise InvalidParameter(f"There is no mode '{mode}'", hint=f"Use one of {', '.join(MODES)}.")
    return mode


async def _from_form(call: Call, query: Mapping[str, str], mode: str) -> Response:
    body = await call.body()
    form = joined(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    values = {**query, **form}
    if "url" in values:
        return await _from_url(call, values, _mode(values))
    if body.strip() and mode in (APPEND, REPLACE) and not {"name", "schema"} & form.keys():
        return await _from_upload(call, query, mode, body)  # curl -d gives rows this content type
    return await _from_definition(call, values)


async def _from_definition(call: Call, values: Mapping[str, str]) -> Response:
    datasource = await _created(call, definition_of(connected(values, call.workspace)))
    return json_response({"datasource": await datasource_of(call.parts, call.workspace, datasource)})


async def _created(call: Call, definition: DataSourceDefinition) -> DataSource:
    require(call.grants.may_create_datasource())
    name = definition.resource_name
    _refuse_taken(call, name)
    deployment = await call.parts.deployer.deploy(call.workspace.id, [desired(definition)], keep_existing=True)
    if deployment.plan.is_empty:  # another request was faster
        _refuse_taken(call, name)
    for tag in definition.tags:
        await call.parts.tags.add(call.workspace.id, tag, name)
    return deployment.workspace.datasource(name)


def _refuse_taken(call: Call, name: str) -> None:
    found = call.workspace.resources.get(name)
    if found is None:
        return
    kind = "Data Source" if isinstance(found, DataSource) else "Pipe"
    raise NameTaken(f"There is already a {kind} with name '{name}'", hint="Alter it, or choose another name.")


async def _from_url(call: Call, values: Mapping[str, str], mode: str) -> Response:
    """A job fetches the file. The answer has no `error`: the client takes even a null one for a failure."""
    url = required(values.get("url"), "url")
    format = _format_named(values.get("format", "")) or format_of_url(url)
    if mode == CREATE:
        require(call.grants.may_create_datasource())
        definition = await _definition_with(values, lambda: remote_sample(url))
        datasource = await _created(call, definition)
    else:
        datasource = _target(call, values, mode)
    _condition(call, values)  # refused now rather than in the job, which checks it again
    payload = import_payload(
        datasource,
        url,
        mode=APPEND if mode == CREATE else mode,
        format=format.value,
        condition=values.get("replace_condition") or None,
        skip_incompatible=_skips_incompatible(values),
    )
    # The client reads `block_log` of a job that has not begun, too.
    job = await call.parts.jobs.submit(
        call.workspace.id, JobKind.IMPORT, {**payload, "block_log": []}, asked_by=call.grants.token_name
    )
    content = job_json(job, call.base_url)
    return json_response({**content, "import_id": job.id, "job": content})


async def _from_upload(call: Call, query: Mapping[str, str], mode: str, body: bytes | None = None) -> Response:
    upload = Upload(call.request, body)
    try:
        if mode in (APPEND, REPLACE) and "name" in query:
            _target(call, query, mode)  # before a long file is read
        async with spooled(call.parts.files, upload, call.parts.settings.upload_bytes_max) as path:
            values = {**query, **upload.fields}
            if upload.size_bytes:
                return await _imported(call, path, upload, values, _mode(values))
            if "url" in values:
                return await _from_url(call, values, _mode(values))
        if mode in (APPEND, REPLACE) or upload.has_file:
            raise InvalidRows("The request has no data", hint="Send the file as the body, or as a file of a form.")
        return await _from_definition(call, values)
    except BirdhouseError:
        await upload.drain()
        raise


async def _imported(call: Call, path: Path, upload: Upload, values: Mapping[str, str], mode: str) -> Response:
    format = await asyncio.to_thread(_format_of, path, upload.file_name, values.get("format", ""))
    file = _File(path, format, upload.file_name, new_id())
    if mode == CREATE:
        async with _created_for(call, path, values) as datasource:
            imported = await _append(call, datasource, file, values)
    else:
        datasource = _target(call, values, mode)
        imported = await (_replace if mode == REPLACE else _append)(call, datasource, file, values)
    datasource = call.workspace.datasource(datasource.id)
    content = await datasource_of(call.parts, call.workspace, datasource)
    return json_response({"datasource": content, **_counts(imported, datasource.name)})


def _target(call: Call, values: Mapping[str, str], mode: str) -> DataSource:
    """The data source that rows go into. Replacing them needs the right to change it, as deleting them does."""
    datasource = call.workspace.datasource(required(values.get("name"), "name"))
    require(call.grants.may_create_datasource() if mode == REPLACE else call.grants.may_append(datasource))
    return datasource


@asynccontextmanager
async def _created_for(call: Call, path: Path, values: Mapping[str, str]) -> AsyncIterator[DataSource]:
    """A new data source for the file. It goes again when the file cannot be read into it."""
    require(call.grants.may_create_datasource())
    definition = await _definition_with(values, lambda: asyncio.to_thread(sample_of, path))
    datasource = await _created(call, definition)
    try:
        yield datasource
    except BaseException:
        await call.parts.deployer.delete_datasource(call.workspace.id, datasource.id, force=False, dry_run=False)
        raise


async def _definition_with(values: Mapping[str, str], sample: Callable[[], Awaitable[Sample]]) -> DataSourceDefinition:
    """The schema of the form, or a guess from a sample of the file."""
    required(values.get("name"), "name")
    if values.get("schema"):
        return definition_of(values)
    analysis = await analyzed(await sample())
    schema = analysis.schema
    if values.get("type_guessing", "").lower() == "false" and analysis.dialect is not None:
        schema = ", ".join(f"{column.name} String" for column in analysis.columns)
    return definition_of({**values, "schema": schema})


async def _append(call: Call, datasource: DataSource, file: _File, values: Mapping[str, str]) -> Imported:
    with _record(call, datasource, file, EventType.APPEND) as record:
        async with call.parts.layouts.file(datasource.table):
            datasource = call.workspace.datasource(datasource.id)
            dialect = await asyncio.to_thread(_dialect, values, file.path, datasource)
            imported = await call.parts.files.append(
                target_of(datasource), file.path, file.format,
                import_id=file.import_id, dialect=dialect, on_block=record.block,
            )  # fmt: skip
        return record.done(imported)


async def _replace(call: Call, datasource: DataSource, file: _File, values: Mapping[str, str]) -> Imported:
    with _record(call, datasource, file, EventType.REPLACE) as record:
        condition = _condition(call, values)
        dialect = await asyncio.to_thread(_dialect, values, file.path, datasource)

        def fill(target: Target) -> Awaitable[Imported]:
            return call.parts.files.append(
                target, file.path, file.format, import_id=file.import_id, dialect=dialect, on_block=record.block
            )

        imported = await call.parts.replacements.replace(
            call.workspace.id,
            target_of(datasource),
            fill,
            import_id=file.import_id,
            condition=condition,
            skip_incompatible=_skips_incompatible(values),
        )
        return record.done(imported)


def _skips_incompatible(values: Mapping[str, str]) -> bool:
    return values.get("skip_incompatible_partition_key", "").lower() in TRUE_WORDS


def _record(call: Call, datasource: DataSource, file: _File, event_type: EventType) -> ImportRecord:
    subject = ImportSubject(
        workspace_id=call.workspace.id,
        datasource=datasource,
        event_type=event_type,
        import_id=file.import_id,
        source=file.name,
        format=file.format,
    )
    return ImportRecord(call.parts.recorder.note, call.parts.clock, subject)


def _condition(call: Call, values: Mapping[str, str]) -> str | None:
    text = values.get("replace_condition")
    if text:
        call.parts.runner.require_condition(call.workspace, call.grants, text)
    services = call.parts.catalog.named(SERVICE_WORKSPACE)
    return checked_condition(call.workspace, text, services=services) if text else None


def _format_named(name: str) -> FileFormat | None:
    if name and name.lower() not in _FORMATS:
        raise InvalidParameter(f"The format '{name}' cannot be imported.", hint=f"Use {', '.join(FileFormat)}.")
    return _FORMATS.get(name.lower())


def _format_of(path: Path, file_name: str, given: str) -> FileFormat:
    """What the request says, else what the name of the part or file says, else what the first bytes look like."""
    if (format := _format_named(given)) is not None:
        return format
    suffix = Path(file_name.lower().removesuffix(".gz").removesuffix(".zst")).suffix.removeprefix(".")
    named = _FORMATS.get(suffix) or _FORMATS.get(file_name.lower())
    head = head_of(path, 1024).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"PAR1"):
        return FileFormat.PARQUET
    return named or (FileFormat.NDJSON if head.startswith(b"{") else FileFormat.CSV)


def _dialect(values: Mapping[str, str], path: Path, datasource: DataSource) -> Dialect | None:
    """The dialect that `dialect_*` parameters ask for; None leaves it to be guessed."""
    if values.get("dialect_new_line", "") not in _NEW_LINES:
        raise InvalidParameter("'dialect_new_line' must be \\n or \\r\\n")
    delimiter, escape = values.get("dialect_delimiter") or None, values.get("dialect_escapechar") or None
    if delimiter is None and escape is None:
        return None
    names = [column.name for column in datasource.definition.columns]
    delimiter = "\t" if delimiter == "\\t" else delimiter
    return detect_dialect(head_of(path, HEAD_BYTES), names, delimiter=delimiter, escape=escape)


def _counts(imported: Imported, name: str) -> dict[str, Any]:
    """What came of an import. Rows that went to quarantine make a truthy `error`, although good rows are in."""
    lines = {"lines": imported.rows, "parser": "python", "quarantine": imported.quarantine_rows}
    content: dict[str, Any] = {
        "import_id": imported.import_id,
        "error": _complaint(imported, name) or False,
        "quarantine_rows": imported.quarantine_rows,
        "invalid_lines": imported.invalid_lines,
        "blocks": [{"block_id": imported.import_id, "process_return": [lines]}],
        "block_log": [{"block_id": imported.import_id, "status": "done"}],
    }
    return content | ({"errors": imported.errors} if imported.errors else {})


def _complaint(imported: Imported, name: str) -> str:
    if imported.view_failures:
        return imported.view_failures[0]
    if not imported.quarantine_rows and not imported.invalid_lines:
        return ""
    return (
        f"There was an error with file contents: {imported.quarantine_rows} rows in quarantine and "
        f"{imported.invalid_lines} invalid lines. {imported.rows} rows were imported; "
        f"'{name}_quarantine' says what is wrong with the others."
    )

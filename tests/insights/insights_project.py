"""Parts of the data project, on a server, with rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from flows.flow_server import Server

from birdhouse.catalog import lineage
from birdhouse.cli.project import read_project
from birdhouse.language.datafile.model import NodeKind, PipeDefinition
from birdhouse.language.datafile.parse import parse_datafile
from buckets.includes import unrolled
from buckets.layout import Layout, clean_copy, datafiles

INSIGHTS = Path(__file__).parents[2] / "insights"


@cache
def texts() -> Mapping[str, str]:
    """Path to text of every datafile, includes unrolled."""
    return read_project(INSIGHTS)


def slice_of(names: Iterable[str]) -> dict[str, str]:
    """The datafiles of these resources and of all they need: what they read and write, and the views into that."""
    definitions = {Path(path).stem: (path, parse_datafile(text, file=path)) for path, text in texts().items()}
    views: dict[str, list[str]] = {}
    for name, (_, definition) in definitions.items():
        output = definition.output if isinstance(definition, PipeDefinition) else None
        if output is not None and output.kind is NodeKind.MATERIALIZED:
            views.setdefault(output.datasource or "", []).append(name)
    found: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        path, definition = definitions[name]
        if path in found:
            continue
        found[path] = texts()[path]
        if isinstance(definition, PipeDefinition):
            output = definition.output
            written = [output.datasource or output.target_datasource] if output is not None else []
            waiting += [*lineage.sources(definition), *filter(None, written)]
        else:
            waiting += views.get(name, [])
    return found


def with_buckets(buckets: int, names: Iterable[str]) -> dict[str, str]:
    """As `slice_of`, with that many buckets: a test of what few of them do takes less time."""
    own = datafiles(Layout.of(buckets))
    needed = {
        path: text
        for path, text in slice_of([*names, clean_copy(0), "project_buckets"]).items()
        if "_bucket_" not in path
    }
    return {**needed, **{path: unrolled(text, (INSIGHTS / path).parent) for path, text in own.items()}}


def append(server: Server, datasource: str, rows: Iterable[bytes]) -> None:
    target = {"mode": "append", "format": "ndjson", "name": datasource}
    answer = server.post("/v0/datasources", params=target, content=b"\n".join(rows) + b"\n")
    assert answer.status_code == 200, answer.text
    assert answer.json()["invalid_lines"] == 0, answer.text


def run_copies(server: Server, *pipes: str) -> None:
    for pipe in pipes:
        job = server.post(f"/v0/pipes/{pipe}/copy").json()["job"]
        ended = server.finished(job["job_id"])
        assert ended["status"] == "done", (pipe, ended)

"""`birdhouse test [FOLDER]`"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from birdhouse.cli import output
from birdhouse.cli.project import read_project
from birdhouse.cli.servers import Server, local_token, server_at
from birdhouse.cli.testing.cases import Case, chosen, find_cases, title
from birdhouse.cli.testing.fixtures import Fixture, Misfits, find_fixtures, fixture_bytes, load_fixtures
from birdhouse.cli.testing.junit import junit
from birdhouse.cli.testing.pipeline import Step, pipeline, run_pipeline
from birdhouse.cli.testing.run import Outcome, Place, run_all
from birdhouse.cli.testing.update import result_file, updated_texts
from birdhouse.cli.throwaway import throwaway_server
from birdhouse.cli.vendor import Vendored, find_vendored
from birdhouse.client import Client
from birdhouse.errors import NotFound

DATASOURCE_SUFFIX = ".datasource"


def test(
    folder: Annotated[Path, typer.Argument(help="The project folder; by default this one.")] = Path(),
    wanted: Annotated[
        list[str] | None, typer.Option("-k", metavar="TEXT", help="Only tests whose file or name contains it.")
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="A server that has the project and its data, instead of a new one: an address or a name."),
    ] = "",
    prepare: Annotated[
        bool, typer.Option("--prepare", help="With --host: deploy, load the fixtures and run the copies there first.")
    ] = False,
    update: Annotated[bool, typer.Option("--update", help="Write what the tests answer into their results.")] = False,
    junit_file: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail tests that take more time, or read more, than they say.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the new server running until Ctrl-C.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Run the tests of a project: on a new server, with its fixtures loaded and its copies run.

    Tests are NAME.test scripts with NAME.test.result, calls of endpoints and the queries of `tb test`, in tests/.

    Example: birdhouse test insights -k active_days
    """
    begin = time.monotonic()
    cases = chosen(find_cases(folder), wanted or [])
    if not cases:
        raise NotFound(f"No test of '{folder}' has {' or '.join(map(repr, wanted or []))} in its name")
    with ExitStack() as stack:
        starting = None if host else stack.enter_context(throwaway_server(fixture_bytes(folder)))
        prepared = _read(folder) if starting or prepare else None
        vendored = find_vendored(folder) if starting else []
        server = starting.ready() if starting else _with_token(server_at(host))
        client = stack.enter_context(server.client())
        for each in vendored:
            _lend(client, each)
        if prepared:
            _prepare(client, prepared)
        outcomes = _run(cases, Place(folder, server.host, server.token, client))
        if strict:
            outcomes = [replace(each, message=each.message or each.note) for each in outcomes]
        texts = updated_texts(outcomes) if update else {}
        if junit_file is not None:
            junit_file.write_bytes(junit(outcomes, [_difference(each) for each in outcomes], folder.absolute().name))
        if json:
            output.as_json(_as_json(outcomes, texts))
        else:
            _show(outcomes, texts, time.monotonic() - begin)
        for path, (_, after) in texts.items():
            path.write_text(after, "utf-8")
        if keep and not host:
            _wait(server)
    if not all(_is_settled(each, texts) for each in outcomes):
        raise typer.Exit(1)


def _with_token(server: Server) -> Server:
    """Scripts need one, also where a local server would be asked for it."""
    return server if server.token else replace(server, token=local_token(server.host))


@dataclass(frozen=True, slots=True)
class _Preparation:
    """What the tests need on the server."""

    files: Mapping[str, str]
    fixtures: Sequence[Fixture]
    steps: Sequence[Step]


def _read(folder: Path) -> _Preparation:
    files = read_project(folder)
    names = {Path(path).stem for path in files if path.endswith(DATASOURCE_SUFFIX)}
    return _Preparation(files, find_fixtures(folder, names), pipeline(folder, files))


def _lend(client: Client, vendored: Vendored) -> None:
    """Another workspace, that shares its data sources with the one of the tests."""
    reader = client.workspaces()[0]
    with Client(client.host, client.local_tokens()["user_token"]) as person:
        origin = person.create_workspace(vendored.workspace)
        with Client(client.host, origin["token"]) as lender:
            lender.deploy(vendored.files)
            misfits = load_fixtures(lender, vendored.fixtures, lambda done: None)
            for name in vendored.datasources:
                lender.share(name, reader["id"])
    _tell(misfits)


def _prepare(client: Client, prepared: _Preparation) -> None:
    with output.progress(f"Deploying {output.counted(len(prepared.files), 'datafile')}"):
        client.deploy(prepared.files)
    with output.progress(f"Loading {output.counted(len(prepared.fixtures), 'fixture')}", len(prepared.fixtures)) as bar:
        misfits = load_fixtures(client, prepared.fixtures, bar.to)
    _tell(misfits)
    with output.progress("Copying", sum(len(step.copies) for step in prepared.steps)) as bar:
        run_pipeline(client, prepared.steps, lambda done, text: bar.to(done, text=text))


def _tell(misfits: Sequence[Misfits]) -> None:
    for each in misfits:
        output.note(f"To quarantine: {output.counted(each.rows, 'row')} of {each.fixture.path} that did not fit")


def _run(cases: Sequence[Case], place: Place) -> list[Outcome]:
    with output.progress(f"Running {output.counted(len(cases), 'test')}", len(cases)) as bar:
        return run_all(cases, place, bar.to)


Texts = Mapping[Path, tuple[str, str]]
"""The texts before and after of the files that are written anew."""


def _is_settled(outcome: Outcome, texts: Texts) -> bool:
    """Whether it passed, or what it answers becomes the expected result."""
    return outcome.passed or result_file(outcome) in texts


def _difference(outcome: Outcome) -> str:
    if outcome.expected is None or outcome.actual is None:
        return ""
    return "\n".join(output.unified(outcome.expected, outcome.actual, "expected", "actual"))


def _show(outcomes: Sequence[Outcome], texts: Texts, seconds: float) -> None:
    for each in outcomes:
        if not _is_settled(each, texts):
            output.wrong(f"{title(each.case)} ({each.seconds:.2f} s): {each.message}")
            if each.expected is not None and each.actual is not None:
                output.difference(each.expected, each.actual, "expected", "actual")
        elif each.note:
            output.note(f"{title(each.case)}: {each.note}")
    for path, (before, after) in texts.items():
        output.difference(before, after, str(path), f"{path} (written)")
    failed = sum(not _is_settled(each, texts) for each in outcomes)
    parts = [f"{sum(each.passed for each in outcomes)} passed"]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{output.counted(len(texts), 'result')} written"] if texts else []
    (output.wrong if failed else output.done)(
        f"{output.counted(len(outcomes), 'test')}: {', '.join(parts)} in {seconds:.1f} s"
    )


def _as_json(outcomes: Sequence[Outcome], texts: Texts) -> dict[str, object]:
    return {
        "passed": sum(each.passed for each in outcomes),
        "failed": sum(not _is_settled(each, texts) for each in outcomes),
        "written": [str(path) for path in texts],
        "tests": [
            {
                "file": str(each.case.file),
                "name": each.case.name,
                "passed": each.passed,
                "seconds": round(each.seconds, 3),
                "message": each.message,
                "note": each.note,
                "diff": _difference(each).splitlines(),
            }
            for each in outcomes
        ],
    }


def _wait(server: Server) -> None:
    output.line(f"The server {server.host} is left running until Ctrl-C.")
    output.line(f"  a token:  curl -s {server.host}/tokens")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()

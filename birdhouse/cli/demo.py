"""`birdhouse demo`"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birdhouse.cli import output
from birdhouse.cli.pipeline import run_first, show_timeline
from birdhouse.cli.project import bundled_insights, read_project
from birdhouse.cli.servers import local_token
from birdhouse.cli.tour import Finding, check_monitoring, check_totals, show_findings
from birdhouse.client import Client
from birdhouse.errors import BirdhouseError
from birdhouse.settings import Settings, load_settings
from cdp.importers.git import EventsSink, GitImportError, ImportSummary, Progress, import_repository
from cdp.importers.git.totals import Totals, git_totals
from cdp.simulate import Community, simulate
from cdp.simulate import Progress as Simulated

if TYPE_CHECKING:
    from birdhouse.cli.serve import Running

IMPORT_STATE_FILE = "git-import.json"
SIMULATION_SEED = 1


class DemoFailed(BirdhouseError):
    """The demo did not end as it should."""


def demo(
    repo: Annotated[Path, typer.Option(help="A git repository whose history is imported.")] = Path("."),
    simulated: Annotated[
        int, typer.Option("--simulate", min=0, metavar="N", help="Add a made-up community of that many activities.")
    ] = 0,
    once: Annotated[bool, typer.Option("--once", help="Stop at the end; exit 0 only if every check passed.")] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one. [default: 7181]")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Directory of all state. [default: .birdhouse]")] = None,
) -> None:
    """Start a server, deploy the insights project, import a repository's history and show what is in it.

    Example: birdhouse demo --repo ~/src/linux
    """
    # Loading the engine takes a second, which the other commands should not wait for.
    from birdhouse.cli.serve import run

    settings = load_settings({"host": host, "port": port, "data_dir": data_dir})
    run(_serve_demo(settings, repo, simulated, once))


async def _serve_demo(settings: Settings, repo: Path, simulated: int, once: bool) -> None:
    from birdhouse.cli.serve import SIGNALLED, serve

    shows: list[asyncio.Task[bool]] = []
    failures: list[BirdhouseError] = []

    def started(running: Running) -> None:
        shows.append(asyncio.create_task(_show(running, settings, repo, simulated, once, failures)))

    try:
        signalled = await serve(settings, started)
    finally:
        for show in shows:
            show.cancel()
            with suppress(asyncio.CancelledError):
                await show
    if signalled is not None and not any(not show.cancelled() and show.result() for show in shows):
        # What failed because the server stopped is no news, and checks that were not made have not passed.
        sys.exit(SIGNALLED + signalled)
    if failures:
        raise failures[0]


async def _show(
    running: Running, settings: Settings, repo: Path, simulated: int, once: bool, failures: list[BirdhouseError]
) -> bool:
    """Whether all was shown, and every check passed."""
    try:
        await _steps(running.url, settings, repo, simulated)
    except GitImportError as error:
        failures.append(DemoFailed(error.message, detail=error.detail, hint=error.hint))
    except BirdhouseError as error:
        failures.append(error)
    if failures or once:
        running.stop()
    else:
        output.line()
        output.line("Serving until Ctrl-C.")
    return not failures


async def _steps(url: str, settings: Settings, repo: Path, simulated: int) -> None:
    output.heading(f"Birdhouse serves {url}   (data in {settings.data_dir})")
    token = await asyncio.to_thread(local_token, url)
    with Client(url, token) as client:
        await asyncio.to_thread(_deploy, client)
        summary = await _import(url, token, repo, settings.data_dir / IMPORT_STATE_FILE)
        if simulated:
            await _simulate(url, token, simulated)
        runs = await asyncio.to_thread(run_first, client)
        totals = await asyncio.to_thread(git_totals, repo) if summary.revision else Totals(0, {}, {})
        findings = await asyncio.to_thread(check_totals, client, summary.project, totals)
        findings.append(await asyncio.to_thread(check_monitoring, client, runs))
        await asyncio.to_thread(show_findings, client, url, token, summary.project)
        show_timeline(runs)
    _report(findings)


def _deploy(client: Client) -> None:
    files = read_project(bundled_insights())
    with output.progress(f"Deploying {output.counted(len(files), 'datafile')}"):
        steps = client.deploy(files)["steps"]
    output.done(f"Deployed insights: {len(files)} datafiles, {len(steps) or 'no'} changes")


async def _import(url: str, token: str, repo: Path, state: Path) -> ImportSummary:
    with output.progress(f"Importing {repo.absolute().name}") as bar:

        def show(progress: Progress) -> None:
            bar.to(progress.commits, progress.commits_total)

        async with EventsSink(url, token) as sink:
            summary = await import_repository(repo, sink=sink, state=state, progress=show)
    if summary.quarantined_rows:
        counts = ", ".join(f"{count} of {name}" for name, count in summary.quarantined_rows.items())
        raise DemoFailed(f"Rows of the import went to quarantine: {counts}")
    rate = f", {summary.commits / summary.seconds:,.0f} commits/s" if summary.commits else ""
    output.done(
        f"Imported {summary.commits:,} {'' if summary.full else 'new '}commits of {summary.project}: "
        f"{summary.activities:,} activities, {summary.members:,} people, {summary.organizations:,} organizations "
        f"in {summary.seconds:.1f} s{rate}"
    )
    return summary


async def _simulate(url: str, token: str, activities: int) -> None:
    with output.progress("Making up a community", activities) as bar:

        def show(progress: Simulated) -> None:
            bar.to(progress.activities, progress.activities_total)

        async with EventsSink(url, token) as sink:
            summary = await simulate(Community(SIMULATION_SEED, activities), sink=sink, progress=show)
    if summary.quarantined_rows:
        raise DemoFailed(f"Rows of the simulation went to quarantine: {dict(summary.quarantined_rows)}")
    output.done(
        f"Made up {summary.tally.activities:,} activities of {summary.members:,} members "
        f"in {summary.projects:,} projects in {summary.seconds:.1f} s"
    )


def _report(findings: list[Finding]) -> None:
    output.heading("Compared with git itself")
    for finding in findings:
        (output.done if finding.holds else output.wrong)(finding.text)
    if not all(finding.holds for finding in findings):
        raise DemoFailed("What Birdhouse counts is not what git counts")

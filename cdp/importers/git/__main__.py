"""`python -m cdp.importers.git`: imports one repository and says what was sent."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import sys
from collections.abc import Sequence

import orjson

from cdp.importers.git import EventsSink, GitImportError, ImportSummary, Progress, Project, import_repository

_EXAMPLE = """\
example:
  python -m cdp.importers.git ~/src/rocket --host http://127.0.0.1:7181 --token "$TOKEN" --state rocket.json

The first run reads the whole history. With --state, the next one reads only new commits. Running it twice
doubles nothing: every row has an id made from what it describes.

exit status: 0 imported, 1 not imported or rows in quarantine, 2 wrong arguments
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if not options.token:
        print("No token: give --token or set BIRDHOUSE_TOKEN.", file=sys.stderr)
        return 2
    line = _ProgressLine()
    try:
        summary = asyncio.run(_import(options, line))
    except GitImportError as error:
        line.end()
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        line.end()
        print("Stopped. Run it again to go on: rows already sent are not doubled.", file=sys.stderr)
        return 1
    line.end()
    print(_as_json(summary) if options.json else _as_text(summary))
    return _verdict(summary)


async def _import(options: argparse.Namespace, line: _ProgressLine) -> ImportSummary:
    project = None
    if options.project:
        project = Project(name=options.project, slug=options.slug or "", group=options.group or "")
    async with EventsSink(options.host, options.token, compress=options.gzip) as sink:
        return await import_repository(
            options.repository,
            sink=sink,
            revision=options.revision,
            url=options.url or "",
            project=project,
            state=options.state,
            full=options.full,
            progress=line.show,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cdp.importers.git",
        description="Send the history of a local git repository to a Birdhouse workspace.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("repository", metavar="REPO", help="folder of a clone, or a bare repository")
    parser.add_argument("--host", default="http://127.0.0.1:7181", help="address of the server (%(default)s)")
    parser.add_argument(
        "--token",
        default=os.environ.get("BIRDHOUSE_TOKEN", ""),
        help="token that may append to the data sources (environment: BIRDHOUSE_TOKEN)",
    )
    parser.add_argument("--state", metavar="FILE", help="remember what was imported; read it next time")
    parser.add_argument("--full", action="store_true", help="read the whole history whatever the state says")
    parser.add_argument("--revision", default="HEAD", help="branch, tag or commit to read up to (%(default)s)")
    parser.add_argument("--url", help="address of the repository, when it is not that of its remote origin")
    parser.add_argument("--project", metavar="NAME", help="project the repository belongs to (its own name)")
    parser.add_argument("--slug", help="slug of the project page, with --project")
    parser.add_argument("--group", metavar="NAME", help="project group, with --project")
    parser.add_argument("--gzip", action="store_true", help="compress what is sent")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser


class _ProgressLine:
    """One line on stderr, rewritten in a terminal; silent elsewhere, where it would fill a log."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = False

    def show(self, progress: Progress) -> None:
        if not self._live:
            return
        share = 100 * progress.commits // max(1, progress.commits_total)
        commits = f"{progress.commits:,} of {progress.commits_total:,} commits ({share} %)"
        text = f"{commits}, {progress.sent_rows:,} rows"
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        self._shown = True

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr)
            self._shown = False


def _as_json(summary: ImportSummary) -> str:
    return orjson.dumps(dataclasses.asdict(summary), option=orjson.OPT_INDENT_2).decode()


def _as_text(summary: ImportSummary) -> str:
    if not summary.commits:
        return f"{summary.repository}: nothing new."
    return (
        f"{summary.repository}: {summary.commits:,} commits, {summary.activities:,} activities, "
        f"{summary.members:,} members ({summary.bots:,} bots), {summary.organizations:,} organizations; "
        f"{summary.sent_rows:,} rows in {summary.seconds:.1f} s. Project: {summary.project}"
    )


def _verdict(summary: ImportSummary) -> int:
    for datasource, rows in sorted(summary.quarantined_rows.items()):
        print(f"{rows:,} rows went to {datasource}_quarantine.", file=sys.stderr)
    return 1 if summary.quarantined_rows else 0


if __name__ == "__main__":
    sys.exit(main())

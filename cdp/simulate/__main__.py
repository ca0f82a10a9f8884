"""`python -m cdp.simulate`: sends a simulated community to a workspace or writes it to a folder."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import orjson

from cdp.errors import CommunityDataError
from cdp.simulate import Community, FolderSink, Progress, Shares, SimulationSummary, simulate
from cdp.simulate.community import START, YEARS
from cdp.sink import EventsSink

_EXAMPLE = """\
example:
  python -m cdp.simulate --seed 1 --activities 200000 --host http://127.0.0.1:7181 --token "$TOKEN"
  python -m cdp.simulate --seed 1 --activities 20000 --output community/

The same seed, size, time and shares give the same bytes. With --output there is one NDJSON file per data source;
load them in any order of files, rows in the order of the file.

exit status: 0 delivered, 1 not delivered or rows in quarantine, 2 wrong arguments
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if not options.token and not options.output:
        print("No token: give --token or set BIRDHOUSE_TOKEN, or write files with --output.", file=sys.stderr)
        return 2
    line = _ProgressLine()
    try:
        summary = asyncio.run(_simulate(options, line))
    except CommunityDataError as error:
        line.end()
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        line.end()
        print("Stopped. Run it again: rows already sent are not doubled.", file=sys.stderr)
        return 1
    line.end()
    print(_as_json(summary) if options.json else _as_text(summary))
    return _verdict(summary)


async def _simulate(options: argparse.Namespace, line: _ProgressLine) -> SimulationSummary:
    shares = Shares(**{name.name: getattr(options, name.name) for name in dataclasses.fields(Shares)})
    community = Community(options.seed, options.activities, years=options.years, start=options.start, shares=shares)
    if options.output:
        async with FolderSink(Path(options.output)) as folder:
            return await simulate(community, sink=folder, progress=line.show)
    async with EventsSink(options.host, options.token, compress=options.gzip) as events:
        return await simulate(community, sink=events, progress=line.show)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cdp.simulate",
        description="Make up an open-source community and send it to a Birdhouse workspace, or write it to a folder.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, help="another number is another community (%(default)s)")
    parser.add_argument("--activities", type=int, default=20_000, metavar="N", help="how many (%(default)s)")
    parser.add_argument("--start", type=date.fromisoformat, default=START, help="first day (%(default)s)")
    parser.add_argument("--years", type=int, default=YEARS, help="how long it lives (%(default)s)")
    parser.add_argument("--host", default="http://127.0.0.1:7181", help="address of the server (%(default)s)")
    parser.add_argument(
        "--token",
        default=os.environ.get("BIRDHOUSE_TOKEN", ""),
        help="token that may append to the data sources (environment: BIRDHOUSE_TOKEN)",
    )
    parser.add_argument("--output", metavar="FOLDER", help="write files there and send nothing")
    parser.add_argument("--gzip", action="store_true", help="compress what is sent")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    group = parser.add_argument_group("shares, from 0 to 1")
    for name, text in _SHARES.items():
        group.add_argument(
            f"--{name}", type=float, default=getattr(Shares(), name), metavar="SHARE", help=f"{text} (%(default)s)"
        )
    return parser


_SHARES = {
    "late": "activities delivered days after they happened",
    "updated": "activities corrected later",
    "deleted": "activities deleted later",
    "duplicated": "rows delivered twice",
    "disordered": "rows delivered after their turn",
}


class _ProgressLine:
    """One line on stderr, rewritten in a terminal; silent elsewhere, where it would fill a log."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = False

    def show(self, progress: Progress) -> None:
        if not self._live:
            return
        share = 100 * progress.activities // progress.activities_total
        text = f"{progress.activities:,} of {progress.activities_total:,} activities ({share} %)"
        print(f"\r\x1b[K{text}, {progress.sent_rows:,} rows", end="", file=sys.stderr, flush=True)
        self._shown = True

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr)
            self._shown = False


def _as_json(summary: SimulationSummary) -> str:
    return orjson.dumps(dataclasses.asdict(summary), option=orjson.OPT_INDENT_2).decode()


def _as_text(summary: SimulationSummary) -> str:
    tally = summary.tally
    return (
        f"Seed {summary.seed}: {tally.activities:,} activities of {summary.members:,} members in {summary.projects:,} "
        f"projects; {tally.updates:,} updates, {tally.deletes:,} deletes, {tally.duplicates:,} duplicates, "
        f"{tally.late:,} late. {summary.sent_rows:,} rows to {summary.destination} in {summary.seconds:.1f} s."
    )


def _verdict(summary: SimulationSummary) -> int:
    for datasource, rows in sorted(summary.quarantined_rows.items()):
        print(f"{rows:,} rows went to {datasource}_quarantine.", file=sys.stderr)
    return 1 if summary.quarantined_rows else 0


if __name__ == "__main__":
    sys.exit(main())

"""The command line of `grow_buckets`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from buckets.layout import BUCKETS_MAX, BUCKETS_MIN
from buckets.migrate import Migration, MigrationRefused
from buckets.server import Server, ServerError
from buckets.tree import apply, changes, current_buckets

FOLDER = Path(__file__).resolve().parents[2]
HOST = "http://localhost:7181"
CACHE_SECONDS = 300.0
INTERRUPTED = 130
GO_ON = "Run it again to go on from here. Readers are served meanwhile."

EXAMPLES = """\
examples:
  scripts/grow_buckets                how many buckets the project has
  scripts/grow_buckets 20             write its datafiles and tests for 20
  scripts/grow_buckets 20 --check     fail when they are not those of 20
  scripts/grow_buckets 20 --migrate   write them, and take the running workspace there without downtime
"""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        if options.buckets is None:
            print(current_buckets(options.folder))
            return 0
        if options.check:
            return _check(options.folder, options.buckets)
        if options.migrate:
            _migrate(options)
        else:
            _write(options.folder, options.buckets)
    except MigrationRefused as refusal:
        print(f"Error: {refusal}", file=sys.stderr)
        return 1
    except ServerError as error:
        print(f"Error: {error}\n{GO_ON}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nInterrupted. {GO_ON}", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="grow_buckets",
        description="Writes the datafiles of the buckets for another number of them, and moves a workspace there.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("buckets", type=_buckets, nargs="?", help=f"how many, {BUCKETS_MIN} to {BUCKETS_MAX}")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when something would be written")
    parser.add_argument("--migrate", action="store_true", help="take the workspace on the server there")
    parser.add_argument("--host", default=os.environ.get("TB_HOST", HOST), help="the server (TB_HOST)")
    parser.add_argument(
        "--token",
        default=os.environ.get("TB_TOKEN", ""),
        help="an admin token (TB_TOKEN); a local server is asked for one",
    )
    parser.add_argument(
        "--cache-seconds",
        type=float,
        default=CACHE_SECONDS,
        help="how long callers remember what project_buckets said (%(default)s)",
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the project folder (that of this script)")
    return parser


def _buckets(text: str) -> int:
    if not text.isdigit() or not BUCKETS_MIN <= int(text) <= BUCKETS_MAX:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from {BUCKETS_MIN} to {BUCKETS_MAX}")
    return int(text)


def _check(folder: Path, buckets: int) -> int:
    found = changes(folder, buckets)
    for change in found:
        print(f"{'remove' if change.text is None else 'write'} {change.path}")
    return 1 if found else 0


def _write(folder: Path, buckets: int) -> None:
    found = changes(folder, buckets)
    apply(folder, found)
    removed = sum(change.text is None for change in found)
    print(f"{buckets} buckets: {len(found) - removed} files written, {removed} removed")


def _migrate(options: argparse.Namespace) -> None:
    server = Server(options.host, options.token) if options.token else Server.local(options.host)
    migration = Migration(
        server, options.folder, options.buckets, options.cache_seconds, lambda line: print(line, flush=True)
    )
    migration.place()  # what cannot be taken there is refused before a file is written
    _write(options.folder, options.buckets)
    migration.run()
    print(f"The workspace has {options.buckets} buckets.")

"""Writes a repository of any number of commits with `git fast-import`: many authors, trailers, merges, bots.

As a script it makes a large one and reports how long an import takes without a server:

    python tests/cdp/importers/synthetic_history.py --commits 100000 /tmp/history
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

START_SECONDS = 1_262_304_000  # 2010-01-01
SECONDS_BETWEEN_COMMITS = 3_600


def write_history(path: Path, commits: int, *, authors: int = 50, seed: int = 7) -> None:
    subprocess.run(["git", "init", "--quiet", "--bare", str(path)], check=True)
    with subprocess.Popen(
        ["git", "fast-import", "--quiet", "--date-format=raw"], cwd=path, stdin=subprocess.PIPE
    ) as git:
        assert git.stdin is not None
        git.stdin.writelines(_stream(commits, authors, random.Random(seed)))
        git.stdin.close()
        assert git.wait() == 0
    subprocess.run(["git", "symbolic-ref", "HEAD", "refs/heads/main"], cwd=path, check=True)


def _person(number: int) -> str:
    hosts = ("acme.io", "gmail.com", "eng.rocket.co.uk", "users.noreply.github.com", "initech.de")
    host = hosts[number % len(hosts)]
    if number % 50 == 49:
        return f"helper{number}[bot] <{number}+helper{number}[bot]@users.noreply.github.com>"
    return f"Person {number} <person{number}@{host}>"


def _stream(commits: int, authors: int, random_: random.Random) -> Iterator[bytes]:
    for number in range(1, commits + 1):
        author = _person(int(random_.paretovariate(1.1)) % authors)
        committer = author if random_.random() < 0.7 else _person(random_.randrange(authors))
        when = START_SECONDS + number * SECONDS_BETWEEN_COMMITS
        message = f"Change number {number}\n\nWhy it was needed, in a sentence.\n"
        if random_.random() < 0.5:
            message += f"\nReviewed-by: {_person(random_.randrange(authors))}\nSigned-off-by: {author}\n"
        content = f"{number}\n" * (1 + number % 5)
        yield (
            f"commit refs/heads/main\nmark :{number}\n"
            f"author {author} {when - 600} +0200\ncommitter {committer} {when} +0000\n"
            f"data {len(message)}\n{message}"
        ).encode()
        if number % 20 == 0 and number > 10:
            yield f"from :{number - 1}\nmerge :{number - 5}\n".encode()
        for file in range(1 + number % 3):
            name = f"folder{(number + file) % 40}/file{number % 25}.txt"
            yield f"M 100644 inline {name}\ndata {len(content)}\n{content}\n".encode()


class DiscardingSink:
    """Counts rows and bytes, keeps nothing."""

    destination = "nowhere"

    def __init__(self) -> None:
        self.size_bytes = 0

    async def send(self, datasource: str, rows: Iterable[bytes]) -> object:
        from cdp.importers.git import Receipt

        count = 0
        for row in rows:
            count += 1
            self.size_bytes += len(row)
        return Receipt(count)


def main() -> None:
    from cdp.importers.git import import_repository

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("path", type=Path, help="folder of the repository; made when it does not exist")
    parser.add_argument("--commits", type=int, default=100_000)
    options = parser.parse_args()
    if not options.path.exists():
        started = time.monotonic()
        write_history(options.path, options.commits, authors=2_000)
        print(f"wrote {options.commits:,} commits in {time.monotonic() - started:.1f} s")
    sink = DiscardingSink()
    summary = asyncio.run(import_repository(options.path, sink=sink))  # type: ignore[arg-type]
    own = resource.getrusage(resource.RUSAGE_SELF)
    git = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{summary.commits:,} commits, {summary.activities:,} activities, {summary.sent_rows:,} rows, "
        f"{sink.size_bytes / 1e6:.0f} MB in {summary.seconds:.1f} s "
        f"({own.ru_utime + own.ru_stime:.1f} s of ours, {git.ru_utime + git.ru_stime:.1f} s of git's); "
        f"peak memory {own.ru_maxrss / 1024:.0f} MB, git {git.ru_maxrss / 1024:.0f} MB"
    )


if __name__ == "__main__":
    sys.exit(main())

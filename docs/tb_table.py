"""Writes `docs/tb-compatibility.md` from what the tests did with the official client.

BIRDHOUSE_TB_CALLS=calls.jsonl make test PYTEST_ARGS=tests/tb
python -m docs.tb_table calls.jsonl
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from docs.client_commands import ClientCommand, client_commands, client_version

PAGE = Path(__file__).parent / "tb-compatibility.md"
TESTS_NAMED_MAX = 3

REFUSED: Mapping[str, str] = {
    "connection create bigquery": "Birdhouse reaches no BigQuery: export to Parquet and append the files",
    "connection create dynamodb": "Birdhouse reaches no DynamoDB: export and append the files",
    "connection create gcs": "service accounts are not supported: use `gcs_hmac`",
    "connection create snowflake": "Birdhouse reaches no Snowflake: export and append the files",
    "datasource sync": "imports on a schedule are not connected: append files or URLs",
    "release create": "every push takes effect at once: use a branch",
    "release preview": "use a branch",
    "release promote": "use a branch, then deploy",
}
"""What the server answers with an error that names the alternative, and this alternative."""
LOCAL: Mapping[str, str] = {
    "auth login": "signs in to the hosted product",
    "auth logout": "of the hosted product",
    "release generate": "writes local files for releases",
}
"""What has nothing to do with a server of one's own."""

HEADER = """\
# The official client

What each command and option of `tb` {version} does with Birdhouse. The page is made from the tests in `tests/tb/`,
which run the client as it is: `works` means that a test did it and it ended well, and some of these tests stand beside
it. `python -m docs.tb_table` writes it.

| status | meaning |
| --- | --- |
| works | tests do it, and look at its effect |
| refused | the server answers with an error that says what to do instead |
| not applicable | it has nothing to do with a server of one's own |
| not tried | no test does it |

{counts}

"""


@dataclass
class Seen:
    """What tests did with a command or an option."""

    codes: set[int] = field(default_factory=set)
    tests: dict[str, None] = field(default_factory=dict)

    def add(self, code: int, test: str) -> None:
        self.codes.add(code)
        self.tests.setdefault(test)

    @property
    def names(self) -> str:
        return ", ".join(f"`{each.removeprefix('tests/tb/')}`" for each in list(self.tests)[:TESTS_NAMED_MAX])


def page(lines: Iterable[str], version: str) -> str:
    seen: dict[tuple[str, str], Seen] = {}
    for line in lines:
        call = json.loads(line)
        words = call["command"].split()
        above = [" ".join(words[:end]) for end in range(len(words) + 1)]
        seen.setdefault((call["command"], ""), Seen()).add(call["code"], call["test"])
        for option in call["options"]:
            owner = next(each for each in reversed(above) if option in client_commands()[each].options)
            seen.setdefault((owner, option), Seen()).add(call["code"], call["test"])
    rows = [row for command in client_commands().values() for row in _rows(command, seen)]
    counts = {status: sum(row[2].startswith(status) for row in rows) for status in ("works", "refused", "not tried")}
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    text = HEADER.format(version=version, counts=f"Of {len(rows)} commands and options: {told}.")
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return f"{text}| command | option | status | tests |\n| --- | --- | --- | --- |\n{table}"


def _rows(command: ClientCommand, seen: Mapping[tuple[str, str], Seen]) -> Iterator[tuple[str, str, str, str]]:
    name = f"`tb {command.name}`" if command.name else "`tb`"
    own = seen.get((command.name, ""), Seen())
    if not command.is_group or own.tests:
        yield name, "", _status(command.name, own), own.names
    for option in sorted(command.options):
        each = seen.get((command.name, option), Seen())
        yield name, f"`{option}`", _status(command.name, each), each.names


def _status(command: str, seen: Seen) -> str:
    if 0 in seen.codes:
        return "works"
    if command in REFUSED:
        return f"refused: {REFUSED[command]}"
    if command in LOCAL:
        return f"not applicable: {LOCAL[command]}"
    return "refused" if seen.codes else "not tried"


def main() -> None:
    lines = [line for path in sys.argv[1:] for line in Path(path).read_text("utf-8").splitlines()]
    PAGE.write_text(page(lines, client_version()), "utf-8")


if __name__ == "__main__":
    main()

"""For every engine of a target, and for cascades: the target is what a recomputation from the source gives.

Rows come as an event stream brings them: updates of the same key, duplicates, late versions, cancellations, in blocks
of any size. Then the target is made again, by populates and by replaces, and has to be the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jobs_home import LIMITS, Home, view_pipe

from birdhouse.engine.types import Insert
from birdhouse.ingest.files import FileFormat, Files, Imported
from birdhouse.ingest.replace import Replacements
from birdhouse.ingest.target import Target
from birdhouse.jobs.job import JobKind, JobStatus
from birdhouse.jobs.populate import PopulateOptions, populate_payload, view_of

SOURCE = """SCHEMA >
    `n` UInt64 `json:$.n`,
    `k` UInt8 `json:$.k`,
    `v` Int32 `json:$.v`,
    `sign` Int8 `json:$.sign`,
    `deleted` UInt8 `json:$.deleted`

ENGINE MergeTree
ENGINE_SORTING_KEY n
"""
"""`n` counts the rows: it is a version, and the order in which they came."""


def table(columns: str, engine: str, *options: str) -> str:
    lines = ",\n".join(f"    {column}" for column in columns.split("; "))
    return f"SCHEMA >\n{lines}\n\nENGINE {engine}\n" + "".join(f"ENGINE_{option}\n" for option in options)


@dataclass(frozen=True, slots=True)
class Case:
    """`read` is how the target is read, `expected` what a query over all rows of the source must give."""

    target: str
    view: str
    read: str
    expected: str
    is_paired: bool = False
    """Each row is cancelled before an equal one comes: the engine asks for that."""


ROWS = "`n` UInt64; `k` UInt8; `v` Int32"
CASES = {
    "MergeTree": Case(
        table(ROWS, "MergeTree", "SORTING_KEY k"),
        "SELECT n, k, v FROM source WHERE v % 2 = 0",
        "SELECT n, k, v FROM target ORDER BY n, k, v",
        "SELECT n, k, v FROM source WHERE v % 2 = 0 ORDER BY n, k, v",
    ),
    "ReplacingMergeTree with a version and deletions": Case(
        table(f"{ROWS}; `deleted` UInt8", "ReplacingMergeTree", "SORTING_KEY k", "VER n", "IS_DELETED deleted"),
        "SELECT n, k, v, deleted FROM source",
        "SELECT n, k, v FROM target FINAL ORDER BY k",
        "SELECT max(n) AS n, k, argMax(v, source.n) AS v FROM source GROUP BY k "
        "HAVING argMax(deleted, source.n) = 0 ORDER BY k",
    ),
    "ReplacingMergeTree without a version": Case(
        table(ROWS, "ReplacingMergeTree", "SORTING_KEY k"),
        "SELECT n, k, v FROM source",
        "SELECT n, k, v FROM target FINAL ORDER BY k",
        "SELECT max(n) AS n, k, argMax(v, source.n) AS v FROM source GROUP BY k ORDER BY k",
    ),
    "SummingMergeTree": Case(
        table(
            "`k` UInt8; `rows` UInt64; `total` Int64; `last` Int32",
            "SummingMergeTree", "SORTING_KEY k", "COLUMNS rows, total",
        ),
        "SELECT k, count() AS rows, sum(v) AS total, any(v) AS last FROM source GROUP BY k",
        "SELECT k, sum(rows), sum(total) FROM target GROUP BY k ORDER BY k",
        "SELECT k, count(), sum(v) FROM source GROUP BY k ORDER BY k",
    ),
    "AggregatingMergeTree": Case(
        table(
            "`k` UInt8; `rows` AggregateFunction(count); `values` AggregateFunction(uniqExact, Int32); "
            "`latest` AggregateFunction(argMax, Int32, UInt64); "
            "`middle` AggregateFunction(quantilesExact(0.5, 0.9), Int32); "
            "`most` SimpleAggregateFunction(max, Int32); `total` SimpleAggregateFunction(sum, Int64)",
            "AggregatingMergeTree", "SORTING_KEY k",
        ),
        "SELECT k, countState() AS rows, uniqExactState(v) AS values, argMaxState(v, n) AS latest, "
        "quantilesExactState(0.5, 0.9)(v) AS middle, max(v) AS most, sum(v) AS total FROM source GROUP BY k",
        "SELECT k, countMerge(rows), uniqExactMerge(values), argMaxMerge(latest), "
        "quantilesExactMerge(0.5, 0.9)(middle), max(most), sum(total) FROM target GROUP BY k ORDER BY k",
        "SELECT k, count(), uniqExact(v), argMax(v, n), quantilesExact(0.5, 0.9)(v), max(v), sum(v) FROM source "
        "GROUP BY k ORDER BY k",
    ),
    "CollapsingMergeTree": Case(
        table(f"{ROWS}; `sign` Int8", "CollapsingMergeTree", "SORTING_KEY k, v", "SIGN sign"),
        "SELECT n, k, v, sign FROM source",
        "SELECT k, v, sign FROM target FINAL ORDER BY k, v",
        "SELECT k, v, sum(sign) AS sign FROM source GROUP BY k, v HAVING sign != 0 ORDER BY k, v",
        is_paired=True,
    ),
    "VersionedCollapsingMergeTree": Case(
        table(f"{ROWS}; `sign` Int8", "VersionedCollapsingMergeTree", "SORTING_KEY k", "SIGN sign", "VERSION v"),
        "SELECT n, k, v, sign FROM source",
        "SELECT k, v, sum(sign) AS rows FROM target GROUP BY k, v HAVING rows != 0 ORDER BY k, v",
        "SELECT k, v, sum(sign) AS rows FROM source GROUP BY k, v HAVING rows != 0 ORDER BY k, v",
    ),
    "Join": Case(
        table("`k` UInt8; `half` UInt8", "Join", "JOIN_STRICTNESS ANY", "JOIN_TYPE LEFT", "KEY_COLUMNS k"),
        "SELECT k, intDiv(k, 2) AS half FROM source",
        "SELECT k, half FROM target ORDER BY k",
        "SELECT DISTINCT k, intDiv(k, 2) AS half FROM source ORDER BY k",
    ),
    "Null": Case(
        table(ROWS, "Null"),
        "SELECT n, k, v FROM source",
        "SELECT n, k, v FROM target ORDER BY n",
        "SELECT n, k, v FROM source WHERE 0 ORDER BY n",
    ),
}  # fmt: skip


Row = tuple[int, int, int, int]
"""Key, value, sign and whether it is a deletion. What counts the rows is added when they are sent."""

ROW = st.tuples(st.integers(0, 5), st.integers(-3, 9), st.just(1), st.sampled_from((0, 0, 0, 1)))


@st.composite
def streams(draw: st.DrawFn) -> list[list[Row]]:
    """Blocks of rows; a cancellation follows what it cancels, some rows come again."""
    blocks: list[list[Row]] = []
    standing: list[Row] = []
    for _ in range(draw(st.integers(1, 4))):
        block = draw(st.lists(ROW, min_size=1, max_size=12))
        if standing:
            again = draw(st.lists(st.sampled_from(standing), max_size=3))
            cancelled = draw(st.lists(st.sampled_from(standing), max_size=2, unique=True))
            block = [*block, *again, *((k, v, -1, deleted) for k, v, _, deleted in cancelled)]
            standing = [row for row in standing if row not in cancelled]
        standing += [row for row in block if row[2] == 1]
        blocks.append(block)
    return blocks


class Stream:
    """Sends rows into the source, and makes the target again in all ways there are."""

    def __init__(self, home: Home, folder: Path, *, is_paired: bool = False) -> None:
        self._home = home
        self._is_paired = is_paired
        self._standing: set[tuple[int, int]] = set()
        self._folder = folder
        self._count = 0
        self._sent: list[str] = []

    async def send(self, rows: Sequence[Row]) -> None:
        lines = [self._line(row) for row in rows if not self._is_paired or self._pairs(row)]
        if not lines:
            return
        self._sent += lines
        table = self._home.workspace.datasource("source").table
        columns = ("n", "k", "v", "sign", "deleted")
        await self._home.delivery.insert(Insert(table, columns, "TSV", "".join(lines).encode(), uuid.uuid4().hex))

    def _pairs(self, row: Row) -> bool:
        """Whether the row may come now."""
        key, is_new = row[:2], row[2] == 1
        if is_new == (key in self._standing):
            return False
        self._standing ^= {key}
        return True

    def _line(self, row: Row) -> str:
        self._count += 1
        return "\t".join(map(str, (self._count, *row))) + "\n"

    async def populate(self, *, truncate: bool) -> None:
        view = await view_of(self._home.gate, self._home.workspace, "v")
        payload = populate_payload(self._home.workspace, view, PopulateOptions(truncate=truncate))
        job = await self._home.queue.submit(self._home.workspace_id, JobKind.POPULATE, payload)
        ended = await self._home.queue.finished(job.id)
        assert ended.status is JobStatus.DONE, ended.error

    async def replace(self) -> None:
        """The same rows once more, as a file."""
        path = self._folder / "rows.tsv"
        path.write_text("n\tk\tv\tsign\tdeleted\n" + "".join(self._sent))
        files = Files(self._home.gate, self._folder)
        datasource = self._home.workspace.datasource("source")
        target = Target(datasource.table, datasource.quarantine, datasource.definition.columns, "source")

        def fill(shadow: Target) -> Awaitable[Imported]:
            return files.append(shadow, path, FileFormat.CSV, import_id="i")

        replacements = Replacements(self._home.gate, self._home.catalog, LIMITS)
        await replacements.replace(self._home.workspace_id, target, fill, import_id=uuid.uuid4().hex)


async def emptied(home: Home, folder: Path, *, is_paired: bool = False) -> Stream:
    for datasource in home.workspace.datasources():
        if datasource.definition.engine is None or datasource.definition.engine.name != "Null":
            await home.gate.execute(f"TRUNCATE TABLE {datasource.table} SYNC")
    return Stream(home, folder, is_paired=is_paired)


async def agree(home: Home, read: str, expected: str, *, merged: Sequence[str] = ()) -> None:
    """Before and after the engine has merged."""
    wanted = await home.query(expected)
    assert await home.query(read) == wanted
    for name in merged:
        engine = home.workspace.datasource(name).definition.engine
        if engine is not None and engine.name.endswith("MergeTree"):
            await home.gate.execute(f"OPTIMIZE TABLE {home.workspace.datasource(name).table} FINAL")
    assert await home.query(read) == wanted


few = settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.parametrize("engine_name", CASES)
@given(blocks=streams())
@few
async def test_a_target_is_what_its_source_gives(
    home: Home, tmp_path: Path, engine_name: str, blocks: list[list[Row]]
) -> None:
    case = CASES[engine_name]
    if "source" not in home.workspace.resources:
        await home.push(source=SOURCE, target=case.target, v=view_pipe(case.view))
    stream = await emptied(home, tmp_path, is_paired=case.is_paired)
    for block in blocks:
        await stream.send(block)
    await agree(home, case.read, case.expected)
    await stream.populate(truncate=True)
    await agree(home, case.read, case.expected, merged=["target"])
    await stream.replace()
    await stream.send(blocks[0])
    await agree(home, case.read, case.expected, merged=["target"])


CASCADE = {
    "source": SOURCE,
    "landing": table(ROWS, "Null"),
    "latest": table(ROWS, "ReplacingMergeTree", "SORTING_KEY k", "VER n"),
    "sums": table("`half` UInt8; `rows` UInt64; `total` Int64", "SummingMergeTree", "SORTING_KEY half"),
    "most": table("`rows` SimpleAggregateFunction(sum, UInt64); `values` AggregateFunction(uniqExact, UInt8)",
                  "AggregatingMergeTree", "SORTING_KEY tuple()"),
    "names": table("`k` UInt8; `name` String", "MergeTree", "SORTING_KEY k"),
    "named": table("`n` UInt64; `name` String", "MergeTree", "SORTING_KEY n"),
    "v": view_pipe("SELECT n, k, v FROM source", "landing"),
    "to_latest": view_pipe("SELECT n, k, v FROM landing", "latest"),
    "to_sums": view_pipe(
        "SELECT intDiv(k, 2) AS half, count() AS rows, sum(v) AS total FROM landing GROUP BY half", "sums"
    ),
    "to_most": view_pipe("SELECT sum(rows) AS rows, uniqExactState(half) AS values FROM sums", "most"),
    "to_named": view_pipe("SELECT l.n AS n, m.name AS name FROM latest AS l JOIN names AS m ON l.k = m.k", "named"),
}  # fmt: skip
CASCADED = (
    ("SELECT n, k, v FROM latest FINAL ORDER BY k",
     "SELECT max(n) AS n, k, argMax(v, source.n) AS v FROM source GROUP BY k ORDER BY k"),
    ("SELECT half, sum(rows), sum(total) FROM sums GROUP BY half ORDER BY half",
     "SELECT intDiv(k, 2) AS half, count(), sum(v) FROM source GROUP BY half ORDER BY half"),
    ("SELECT sum(rows), uniqExactMerge(values) FROM most", "SELECT count(), uniqExact(intDiv(k, 2)) FROM source"),
    ("SELECT n, name FROM named ORDER BY n",
     "SELECT n, if(k % 2, 'odd', 'even') AS name FROM source WHERE k > 1 ORDER BY n"),
)  # fmt: skip


@given(blocks=streams())
@few
async def test_cascades_and_joins_are_what_their_source_gives(
    home: Home, tmp_path: Path, blocks: list[list[Row]]
) -> None:
    """Through a target that stores nothing, over an aggregate, and beside a table that is only joined."""
    if "source" not in home.workspace.resources:
        await home.push(**CASCADE)
    stream = await emptied(home, tmp_path)
    await home.load("names", "SELECT number, if(number % 2, 'odd', 'even') FROM numbers(2, 4)")

    async def all_agree() -> None:
        for read, expected in CASCADED:
            await agree(home, read, expected, merged=["latest", "sums", "most"])

    for block in blocks:
        await stream.send(block)
    await all_agree()
    await stream.populate(truncate=True)
    await all_agree()
    await stream.replace()
    await stream.send(blocks[0])
    await all_agree()


async def test_a_table_that_is_only_joined_triggers_nothing(home: Home) -> None:
    await home.push(**CASCADE)
    await home.load("source", "SELECT 1, 3, 5, 1, 0")
    await home.load("names", "SELECT 3, 'late'")
    assert await home.query("SELECT count() FROM named") == ["0"]
    await home.load("source", "SELECT 2, 3, 5, 1, 0")
    assert await home.query("SELECT n, name FROM named") == ["2\tlate"]

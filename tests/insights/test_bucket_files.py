"""The datafiles that follow from the number of buckets."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from insights_project import INSIGHTS

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query
from birdhouse.language.datafile.include import unroll
from birdhouse.language.datafile.parse import problems
from buckets.city_hash import BYTES_MAX, BYTES_MIN, city_hash_64
from buckets.includes import unrolled
from buckets.layout import BUCKETS_MAX, BUCKETS_MIN, ON_DEMAND, Layout, datafiles, minute
from buckets.migrate import Migration, MigrationRefused
from buckets.stages import Stage, layout
from buckets.tree import apply, changes, current_buckets

COMMITTED = 10
SCRIPT = INSIGHTS / "scripts" / "grow_buckets"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(INSIGHTS, tmp_path / "project", ignore=ignored))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=60)


def test_the_committed_project_is_what_its_number_says() -> None:
    assert current_buckets(INSIGHTS) == COMMITTED
    assert changes(INSIGHTS, COMMITTED) == []


def test_the_project_grows_shrinks_and_is_the_same_again(folder: Path) -> None:
    before = everything(folder)
    for buckets in (20, 40, 13, COMMITTED):
        apply(folder, changes(folder, buckets))
        assert current_buckets(folder) == buckets
        assert changes(folder, buckets) == []
        assert len(list(folder.glob("*/activityRelations_bucket_MV_ds_*"))) == buckets
    assert everything(folder) == before


@pytest.mark.parametrize("buckets", [BUCKETS_MIN, 20, BUCKETS_MAX])
def test_every_datafile_can_be_read(buckets: int) -> None:
    files = datafiles(Layout.of(buckets))
    assert len(files) == 5 * buckets + 3
    for path, text in files.items():
        ours = unrolled(text, INSIGHTS / "pipes")
        assert ours.rstrip() == unroll(text, read=lambda name: (INSIGHTS / "pipes" / name).read_text("utf-8")).rstrip()
        assert problems(ours, path) == []
        assert "$" not in ours


def test_the_tests_ask_for_the_bucket_of_their_project(folder: Path) -> None:
    apply(folder, changes(folder, 20))
    segments = {
        row["record"]["slug"]: row["record"]["segmentId"]
        for row in map(orjson.loads, (folder / "fixtures" / "insightsProjects.ndjson").read_bytes().splitlines())
    }
    asked: Counter[tuple[str, int]] = Counter()
    for path in folder.glob("tests/*.test"):
        text = path.read_text("utf-8")
        found = re.search(r"project=([\w-]+)(?s:.*)bucketId=(\d+)", text)
        if found and found[1] in segments:
            asked[found[1], int(found[2])] += 1
    assert asked.total() > 50
    assert dict(asked.keys()) == {slug: city_hash_64(segments[slug]) % 20 for slug, _ in asked}
    result = (folder / "tests" / "project_buckets_perch.test.result").read_text("utf-8")
    assert result == f'"bucketId"\n{city_hash_64(segments["perch"]) % 20}\n'


def test_segments_that_are_no_uuids_and_missing_fixtures_are_no_obstacle(folder: Path) -> None:
    fixture = folder / "fixtures" / "insightsProjects.ndjson"
    text = fixture.read_text("utf-8")
    fixture.write_text(text.replace("00000000-0000-0000-0000-000000000003", "perch-segment"), "utf-8")
    apply(folder, changes(folder, 20))
    assert "\n9\n" in (folder / "tests" / "project_buckets_perch.test.result").read_text("utf-8")
    fixture.unlink()
    assert changes(folder, 20) == []


@pytest.mark.parametrize("buckets", [BUCKETS_MIN, 10, 20, 26, 27, 50, BUCKETS_MAX])
def test_refreshes_are_spread_over_the_hour_two_at_a_time(buckets: int) -> None:
    minutes = Counter(minute(bucket, buckets) for bucket in range(buckets))
    assert max(minutes.values()) <= 2
    assert min(minutes) == 10
    assert max(minutes) <= 59


def test_ten_buckets_have_the_minutes_they_always_had() -> None:
    assert [minute(bucket, 10) for bucket in range(10)] == [10, 10, 14, 14, 18, 18, 22, 22, 26, 26]


@given(hashed=st.integers(0, 2**64 - 1), old=st.integers(2, 20), factor=st.integers(2, 5))
def test_every_row_is_read_once_in_every_stage(hashed: int, old: int, factor: int) -> None:
    """Tables get what their view lets through. Of the split tables what moved is deleted."""
    new = old * factor
    for stage in Stage:
        plan = layout(stage, old, new)
        tables = {bucket for bucket in range(plan.buckets) if hashed % plan.modulus(bucket) == bucket}
        united = [b for b in tables if b < plan.read and (not plan.filtered or hashed % plan.read == b)]
        assert len(united) == 1
        assert hashed % plan.read in tables
        if stage is Stage.SWITCHED:
            assert hashed % old in tables


def test_nothing_is_refreshed_while_readers_may_know_an_old_bucket() -> None:
    """A reader that goes from the old bucket of a project to the new one would go back in time."""
    for stage in Stage:
        plan = layout(stage, 10, 20)
        is_held = {plan.schedule(bucket) == ON_DEMAND for bucket in range(plan.buckets)}
        assert (is_held == {True}) is (stage in (Stage.HELD, Stage.SWITCHED))


class Deployed:
    """A server, as far as its datafiles go."""

    def __init__(self, plan: Layout) -> None:
        self._texts = {Path(path).stem: unrolled(text, INSIGHTS / "pipes") for path, text in datafiles(plan).items()}

    def datafile(self, pipe: str) -> str | None:
        return self._texts.get(pipe)


def place(stage: Stage, buckets: int) -> tuple[Stage, int]:
    """Where a migration to `buckets` finds a workspace that is in that stage between 10 and 20."""
    return Migration(Deployed(layout(stage, 10, 20)), INSIGHTS, buckets, 0, print).place()


def test_the_datafiles_tell_the_stage() -> None:
    for stage in Stage:
        assert place(stage, 20) == (stage, 20 if stage in (Stage.SPLIT, Stage.NEW) else 10)


def test_an_unfinished_migration_has_to_be_finished_first() -> None:
    assert place(Stage.OLD, 40) == (Stage.OLD, 10)
    assert place(Stage.NEW, 40) == (Stage.OLD, 20)
    for stage in (Stage.DOUBLED, Stage.HELD, Stage.SWITCHED, Stage.SPLIT):
        for buckets in (30, 40):
            with pytest.raises(MigrationRefused, match="on its way to 20 buckets"):
                place(stage, buckets)


@given(text=st.text(st.characters(codec="ascii", exclude_characters="'\\"), min_size=BYTES_MIN, max_size=BYTES_MAX))
def test_the_hash_has_no_other_length(text: str) -> None:
    assert 0 <= city_hash_64(text) < 2**64
    with pytest.raises(ValueError, match="33 to 64"):
        city_hash_64(text[:10])


async def test_the_hash_is_that_of_the_engine(engine: Engine) -> None:
    sql = (
        "SELECT id, toString(cityHash64(id)) FROM (SELECT toString(generateUUIDv4(number)) AS id FROM numbers(200)) "
        "UNION ALL SELECT repeat('é7', number) AS id, toString(cityHash64(id)) FROM numbers(11, 11)"
    )
    rows = [orjson.loads(line) for line in (await engine.select(Query(sql, "JSONCompactEachRow"))).body.splitlines()]
    assert len(rows) == 211
    assert [city_hash_64(text) for text, _ in rows] == [int(hashed) for _, hashed in rows]


def test_golden_buckets() -> None:
    ids = [f"00000000-0000-0000-0000-{number:012d}" for number in range(12)]
    assert [city_hash_64(each) % 10 for each in ids] == [7, 9, 8, 9, 3, 9, 9, 6, 9, 3, 1, 9]


def test_the_command_tells_writes_and_checks(folder: Path) -> None:
    place = ["--folder", str(folder)]
    assert run(*place).stdout == "10\n"
    assert run("10", "--check", *place).returncode == 0
    unlike = run("12", "--check", *place)
    assert unlike.returncode == 1
    assert "write datasources/activityRelations_bucket_MV_ds_11.datasource" in unlike.stdout
    assert current_buckets(folder) == 10
    assert run("12", *place).stdout.startswith("12 buckets: ")
    assert run("10", *place).stdout.endswith(" 10 removed\n")
    assert not list(folder.rglob("__pycache__"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("1",), 2, "'1' is not a number from 2 to 100"),
        (("ten",), 2, "'ten' is not a number from 2 to 100"),
        (("20", "--migrate", "--host", "http://127.0.0.1:1"), 1, "does not answer"),
        (("--help",), 0, "scripts/grow_buckets 20 --migrate"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], code: int, said: str) -> None:
    ended = run(*arguments)
    assert ended.returncode == code
    assert said in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr

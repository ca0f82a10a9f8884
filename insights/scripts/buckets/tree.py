"""The project folder for a number of buckets: what is written, changed and removed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from buckets.city_hash import can_hash, city_hash_64
from buckets.layout import Layout, cleaned_table, datafiles, raw_table

RULES = "tests/buckets.yaml"
PROJECT_BUCKETS = "pipes/project_buckets.pipe"
PROJECTS = "fixtures/insightsProjects.ndjson"

_FAMILY = re.compile(
    r"activityRelations_("
    r"bucket_MV_ds_\d+|bucket_MV_\d+|bucket_MV_snapshot_\d+|"
    r"bucket_clean_enrich_copy_pipe_\d+|deduplicated_cleaned_bucket_\d+_ds)"
)
_MODULUS = re.compile(r"cityHash64\(segmentId\) % (\d+)")
_PROJECT = re.compile(r"project(?:=|: \")([\w-]+)")
_BUCKET_ID = re.compile(r"(bucketId(?:=|: \"))(\d+)")


@dataclass(frozen=True)
class Change:
    """`text` is None when the file goes."""

    path: str
    text: str | None


def current_buckets(folder: Path) -> int:
    """How many buckets the folder is written for."""
    return modulus_of((folder / PROJECT_BUCKETS).read_text("utf-8"))


def modulus_of(text: str) -> int:
    """The number that the hash of the segment is divided by; 0 when there is none."""
    found = _MODULUS.search(text)
    return int(found[1]) if found else 0


def changes(folder: Path, buckets: int) -> list[Change]:
    """What makes the folder one for `buckets` buckets; nothing when it is."""
    wanted = {**datafiles(Layout.of(buckets)), RULES: rules(buckets), **_tests(folder, buckets)}
    found = [
        Change(path, text)
        for path, text in wanted.items()
        if not (folder / path).is_file() or (folder / path).read_text("utf-8") != text
    ]
    for path in sorted((*folder.glob("datasources/*"), *folder.glob("pipes/*"))):
        name = path.relative_to(folder).as_posix()
        if _FAMILY.fullmatch(path.stem) and name not in wanted:
            found.append(Change(name, None))
    return found


def apply(folder: Path, found: list[Change]) -> None:
    for change in found:
        path = folder / change.path
        if change.text is None:
            path.unlink()
        else:
            path.write_text(change.text, "utf-8")


def rules(buckets: int) -> str:
    """The queries about the buckets themselves, each of which has to find nothing."""
    numbers = range(buckets)
    counts = "\n          + ".join(f"(SELECT count() FROM {raw_table(each)} FINAL)" for each in numbers)
    return f"""\
# Every query here finds rows that break a rule of the buckets: it has to return nothing.

- raw_buckets_hold_every_relation_once:
    max_bytes_read: null
    max_time: 5
    sql: |
      SELECT
          {counts}
              AS inBuckets,
          (SELECT count() FROM activityRelations FINAL) AS inSource
      WHERE inBuckets != inSource

- a_segment_is_in_no_other_raw_bucket:
    max_bytes_read: null
    max_time: 5
    sql: |
{_strays(raw_table(each) for each in numbers)}
- a_segment_is_in_no_other_cleaned_bucket:
    max_bytes_read: null
    max_time: 5
    sql: |
{_strays(cleaned_table(each) for each in numbers)}"""


def _strays(tables: Iterator[str]) -> str:
    names = list(tables)
    return "      UNION ALL\n".join(
        f"      SELECT segmentId FROM {table} WHERE cityHash64(segmentId) % {len(names)} != {bucket}\n"
        for bucket, table in enumerate(names)
    )


def _tests(folder: Path, buckets: int) -> dict[str, str]:
    """The tests with the buckets of their projects: a number that was right is made right again, any other stays."""
    before = current_buckets(folder)
    segments = _segments(folder)
    found: dict[str, str] = {}
    for path in sorted((*folder.glob("tests/*.test"), *folder.glob("tests/*.yaml"))):
        name = path.relative_to(folder).as_posix()
        if name != RULES:
            found[name] = _moved(path.read_text("utf-8"), segments, before, buckets)
    for path in sorted(folder.glob("tests/project_buckets_*.test")):
        segment = _segment_of(path.read_text("utf-8"), segments)
        result = path.with_name(f"{path.name}.result")
        if segment is not None and result.is_file():
            lines = result.read_text("utf-8").splitlines()
            answer = [str(city_hash_64(segment) % buckets) if line.isdigit() else line for line in lines]
            found[result.relative_to(folder).as_posix()] = "".join(f"{line}\n" for line in answer)
    return found


def _moved(text: str, segments: dict[str, str], before: int, after: int) -> str:
    """A `.test` is one call, a `.yaml` has one after the other, each with its project above its bucket."""
    parts = re.split(r"(?m)^(?=- )", text)
    for number, part in enumerate(parts):
        segment = _segment_of(part, segments)
        if segment is None:
            continue
        hashed = city_hash_64(segment)

        def right(match: re.Match[str], hashed: int = hashed) -> str:
            return f"{match[1]}{hashed % after}" if int(match[2]) == hashed % before else match[0]

        parts[number] = _BUCKET_ID.sub(right, part)
    return "".join(parts)


def _segment_of(text: str, segments: dict[str, str]) -> str | None:
    project = _PROJECT.search(text)
    return segments.get(project[1]) if project else None


def _segments(folder: Path) -> dict[str, str]:
    """Slug to segment, of the projects that the tests are about."""
    newest: dict[str, tuple[str, str, str]] = {}
    fixture = folder / PROJECTS
    for line in fixture.read_text("utf-8").splitlines() if fixture.is_file() else ():
        record = json.loads(line)["record"]
        version = (record["updatedAt"], record["slug"], record["segmentId"])
        newest[record["id"]] = max(version, newest.get(record["id"], version))
    return {slug: segment for _, slug, segment in newest.values() if can_hash(segment)}

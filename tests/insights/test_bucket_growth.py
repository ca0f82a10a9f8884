"""A running workspace gets twice as many buckets while rows come in and endpoints answer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flows.flow_server import Server, running_server
from insights_project import INSIGHTS, append, run_copies, with_buckets
from living_workspace import FIXTURES, Life, check_final_state, fixture_rows

from buckets.includes import unrolled
from buckets.layout import Layout, clean_copy, datafiles
from buckets.migrate import Migration, MigrationRefused
from buckets.server import Server as Target
from buckets.stages import Stage
from buckets.tree import apply, changes

CACHE_SECONDS = 3.0
NEEDED = ("activities_count", "country_mapping_copy", "members_sorted_copy_pipe")


def project_folder(folder: Path, buckets: int) -> Path:
    """The data project, written for that many buckets."""
    shutil.copytree(INSIGHTS, folder, ignore=shutil.ignore_patterns("scripts"))
    apply(folder, changes(folder, buckets))
    return folder


def deploy_buckets(server: Server, buckets: int) -> None:
    """The buckets with what they read, and an endpoint on top."""
    server.deploy(with_buckets(buckets, NEEDED))
    for name in FIXTURES:
        append(server, name, (INSIGHTS / "fixtures" / f"{name}.ndjson").read_bytes().splitlines())
    run_copies(server, "country_mapping_copy", "members_sorted_copy_pipe", *map(clean_copy, range(buckets)))


@contextmanager
def workspace(directory: Path, buckets: int) -> Iterator[tuple[Server, Path]]:
    folder = project_folder(directory / "project", buckets)
    with running_server(directory / "data", follow_schedules=False) as server:
        deploy_buckets(server, buckets)
        yield server, folder


def migration(server: Server, folder: Path, buckets: int, life: Life | None = None) -> tuple[Migration, list[str]]:
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if life is not None and line.endswith(Stage.HELD.value):
            life.hold_schedules(True)
        if life is not None and line.endswith(Stage.SPLIT.value):
            life.hold_schedules(False)

    return Migration(Target(server.url, server.admin_token), folder, buckets, CACHE_SECONDS, say), said


def grow_while_it_is_used(server: Server, folder: Path, buckets: int) -> None:
    life = Life(lambda: server.url, lambda: server.admin_token, buckets)
    life.remember([row["record"] for row in fixture_rows("activityRelations")])
    grown, said = migration(server, folder, buckets, life)
    assert grown.place() == (Stage.OLD, buckets // 2)
    with life.going_on():
        grown.run()
    assert life.failures == []
    assert life.answers > 50
    assert life.rows_sent > 50
    stages = [line for line in said if line[0].isdigit()]
    assert stages == [f"{number}/6 {stage.value}" for number, stage in enumerate(Stage, 1)]
    run_copies(server, *map(clean_copy, range(buckets)))
    check_final_state(server.sql, life, buckets)


def test_a_workspace_grows_while_it_is_used(tmp_path: Path) -> None:
    """Two buckets to four: what goes wrong with few goes wrong with many."""
    with workspace(tmp_path, 2) as (server, folder):
        apply(folder, changes(folder, 4))
        grow_while_it_is_used(server, folder, 4)

        again, said = migration(server, folder, 4)
        again.run()
        assert said == [f"6/6 {Stage.NEW.value}"]
        own = datafiles(Layout.of(4))
        texts = {path: unrolled(text, (folder / path).parent) for path, text in own.items()}
        assert server.deploy(texts).json()["steps"] == []
        for buckets in (6, 2):
            with pytest.raises(MigrationRefused, match=f"has 4 buckets, and {buckets} is no multiple of that"):
                migration(server, folder, buckets)[0].run()


@pytest.mark.torture
def test_a_workspace_grows_from_10_to_20_buckets_while_it_is_used(tmp_path: Path) -> None:
    with workspace(tmp_path, 10) as (server, folder):
        grow_while_it_is_used(server, folder, 20)

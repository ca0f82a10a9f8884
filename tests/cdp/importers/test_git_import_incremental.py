"""A later import reads what is new, and finds out when that is not enough."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from git_repositories import ANN, BOB, NOON, Clone, MemorySink, authored_by_person
from synthetic_history import write_history

from cdp.importers.git import EventsSink, GitImportError, ImportSummary, Project, Receipt, import_repository


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    clone = Clone(tmp_path / "rocket")
    clone.commit("one", when=NOON)
    clone.commit("two", author=BOB, when=NOON + 100)
    return clone


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "data" / "git-state.json"


def comparable(sink: MemorySink) -> dict[str, list[dict[str, object]]]:
    names = sorted({name for name, _ in sink.sends})
    return {name: sorted(({**row, "updatedAt": ""} for row in sink.rows(name)), key=str) for name in names}


async def test_the_second_import_reads_only_new_commits(clone: Clone, state: Path) -> None:
    sink = MemorySink()
    first = await import_repository(clone.path, sink=sink, state=state)
    assert (first.commits, first.full) == (2, True)
    clone.commit("three", when=NOON + 200)
    second = await import_repository(clone.path, sink=sink, state=state)
    assert (second.commits, second.full) == (1, False)
    assert authored_by_person(sink) == clone.shortlog()


async def test_an_import_with_nothing_new_sends_nothing(clone: Clone, state: Path) -> None:
    await import_repository(clone.path, sink=MemorySink(), state=state)
    sink = MemorySink()
    summary = await import_repository(clone.path, sink=sink, state=state)
    assert (summary.commits, summary.full, sink.sends) == (0, False, [])


async def test_imports_in_steps_give_the_rows_of_one_import(clone: Clone, state: Path) -> None:
    steps = MemorySink()
    await import_repository(clone.path, sink=steps, state=state)
    clone.commit("three\n\nReviewed-by: Carl <carl@tyrell.jp>\n", committer=BOB, when=NOON - 5000)
    await import_repository(clone.path, sink=steps, state=state)
    clone.commit("four", author="Ann <ANN@acme.io>", when=NOON + 900)
    await import_repository(clone.path, sink=steps, state=state)
    whole = MemorySink()
    await import_repository(clone.path, sink=whole)
    assert comparable(steps) == comparable(whole)


async def test_a_known_member_is_not_sent_again_unless_something_changed(clone: Clone, state: Path) -> None:
    await import_repository(clone.path, sink=MemorySink(), state=state)
    clone.commit("three", author=ANN, when=NOON + 300)
    sink = MemorySink()
    await import_repository(clone.path, sink=sink, state=state)
    assert (sink.rows("members"), sink.rows("organizations")) == ([], [])
    clone.commit("four", author=ANN, when=NOON - 300)
    await import_repository(clone.path, sink=sink, state=state)
    assert [row["joinedAt"] for row in sink.rows("members")] == ["2024-05-01T11:55:00Z"]


async def test_a_rewritten_history_is_read_in_full(clone: Clone, state: Path) -> None:
    await import_repository(clone.path, sink=MemorySink(), state=state)
    clone.commit("another two", parents=[clone.git("rev-parse", "HEAD~1")])
    summary = await import_repository(clone.path, sink=MemorySink(), state=state)
    assert (summary.commits, summary.full) == (2, True)


async def test_a_lost_revision_is_read_in_full(clone: Clone, state: Path) -> None:
    await import_repository(clone.path, sink=MemorySink(), state=state)
    lost = clone.git("rev-parse", "HEAD")
    clone.git("update-ref", "HEAD", "HEAD~1")
    (clone.path / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    summary = await import_repository(clone.path, sink=MemorySink(), state=state)
    assert (summary.commits, summary.full) == (1, True)


async def test_a_changed_mailmap_is_read_in_full_and_moves_old_commits(clone: Clone, state: Path) -> None:
    sink = MemorySink()
    await import_repository(clone.path, sink=sink, state=state, imported_at=datetime(2025, 1, 1, tzinfo=UTC))
    clone.write(".mailmap", "Ann Author <ann@acme.io> <bob@initech.de>\n")
    clone.commit("three")
    summary = await import_repository(clone.path, sink=sink, state=state)
    assert (summary.commits, summary.full) == (3, True)
    assert {row["username"] for row in sink.relations("authored-commit")} == {"ann@acme.io"}
    assert authored_by_person(sink) == clone.shortlog() == {("Ann Author", "ann@acme.io"): 3}


async def test_an_unshallowed_clone_is_read_in_full(clone: Clone, state: Path, tmp_path: Path) -> None:
    shallow = clone.shallow(path := tmp_path / "shallow", depth=1)
    sink = MemorySink()
    assert (await import_repository(path, sink=sink, state=state)).commits == 1
    shallow.git("fetch", "--quiet", "--unshallow", "origin")
    assert (await import_repository(path, sink=sink, state=state)).commits == 2
    assert authored_by_person(sink) == shallow.shortlog()


async def test_a_state_of_another_destination_or_project_does_not_count(clone: Clone, state: Path) -> None:
    async def summary(destination: str, project: Project | None = None) -> ImportSummary:
        return await import_repository(clone.path, sink=MemorySink(destination), state=state, project=project)

    assert (await summary("here")).full
    assert (await summary("there")).commits == 2
    assert (await summary("there", Project("Moon"))).commits == 2
    assert (await summary("there", Project("Moon"))).commits == 0


async def test_full_reads_everything_whatever_the_state_says(clone: Clone, state: Path) -> None:
    await import_repository(clone.path, sink=MemorySink(), state=state)
    assert (await import_repository(clone.path, sink=MemorySink(), state=state, full=True)).commits == 2


async def test_one_state_serves_many_repositories_and_knows_a_person_from_all(
    clone: Clone, state: Path, tmp_path: Path
) -> None:
    other = Clone(tmp_path / "pad", remote="https://github.com/acme/pad")
    other.commit(when=NOON + 9_000)
    sink = MemorySink()
    for each in (clone, other, clone):
        await import_repository(each.path, sink=sink, state=state)
    assert sink.member("ann@acme.io")["joinedAt"] == "2024-05-01T12:00:00Z"
    assert len(sink.relations("authored-commit")) == 3


class BreakingSink(MemorySink):
    async def send(self, datasource: str, rows: Iterable[bytes]) -> Receipt:
        if datasource == "activityRelations":
            raise GitImportError("The wire was cut.")
        return await super().send(datasource, rows)


async def test_an_interrupted_import_starts_over_and_doubles_nothing(clone: Clone, state: Path) -> None:
    sink = BreakingSink()
    with pytest.raises(GitImportError, match="The wire was cut"):
        await import_repository(clone.path, sink=sink, state=state)
    assert not state.exists()
    again = MemorySink()
    again.sends = sink.sends
    await import_repository(clone.path, sink=again, state=state)
    assert len(again.rows("activities")) == len(again.rows("activityRelations")) == 2


class QuarantiningSink(MemorySink):
    async def send(self, datasource: str, rows: Iterable[bytes]) -> Receipt:
        receipt = await super().send(datasource, rows)
        return receipt._replace(quarantined_rows=receipt.rows if datasource == "members" else 0)


async def test_quarantined_rows_are_reported_and_keep_the_state_where_it_was(clone: Clone, state: Path) -> None:
    summary = await import_repository(clone.path, sink=QuarantiningSink(), state=state)
    assert summary.quarantined_rows == {"members": 2}
    assert not state.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 99}', '{"format": 1, "destination": "memory"}'])
async def test_a_state_file_that_cannot_be_read_is_an_error(clone: Clone, state: Path, content: str) -> None:
    state.parent.mkdir()
    state.write_text(content)
    with pytest.raises(GitImportError, match="state file cannot be used"):
        await import_repository(clone.path, sink=MemorySink(), state=state)
    assert state.read_text() == content


async def test_progress_counts_what_is_durable(clone: Clone) -> None:
    seen = []
    await import_repository(clone.path, sink=MemorySink(), progress=seen.append)
    assert [(step.commits, step.commits_total) for step in seen] == [(2, 2)]
    assert EventsSink("http://127.0.0.1:7181/", "t").destination == "http://127.0.0.1:7181"


async def test_a_cancelled_import_ends_git_and_leaves_no_state(tmp_path: Path, state: Path) -> None:
    write_history(tmp_path / "history", 3_000)
    before = psutil.Process().children()

    async def cancelled_after(seconds: float) -> None:
        running = asyncio.create_task(import_repository(tmp_path / "history", sink=SleepingSink(), state=state))
        await asyncio.sleep(seconds)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    for seconds in (0.0, 0.05, 0.3):
        await cancelled_after(seconds)
    assert not state.exists()
    # They have been told to end; a busy machine takes a moment to do it.
    _, alive = psutil.wait_procs(set(psutil.Process().children()) - set(before), timeout=10)
    assert alive == []


class SleepingSink(MemorySink):
    async def send(self, datasource: str, rows: Iterable[bytes]) -> Receipt:
        await asyncio.sleep(60)
        return Receipt()

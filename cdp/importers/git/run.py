"""One import from start to end: which commits to read, in what order their rows are sent, what is
remembered."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from cdp.importers.git import state as states
from cdp.importers.git.activities import Activity, CommitActivities
from cdp.importers.git.errors import GitFailed
from cdp.importers.git.identity import Bot
from cdp.importers.git.log import Commit, read_commits
from cdp.importers.git.people import People
from cdp.importers.git.records import (
    Project,
    Source,
    insights_project_row,
    integration_row,
    repository_row,
    segment_rows,
)
from cdp.importers.git.repository import Repository
from cdp.importers.git.state import RepositoryState, State
from cdp.importers.git.trailers import Mailmap
from cdp.moments import moment
from cdp.records import Envelope, activity_type_rows
from cdp.sink import Receipt, Sink

CHUNK_ROWS_MAX = 10_000


class Progress(NamedTuple):
    """How far an import is, once everything counted here is durable."""

    commits: int
    commits_total: int
    sent_rows: int


@dataclass(slots=True)
class ImportSummary:
    repository: str
    """Its URL, the channel of the activities."""
    project: str
    """Slug of the project page."""
    revision: str
    """Full hash; empty for a repository without commits."""
    full: bool
    """The whole history was read, not only what is new."""
    commits: int = 0
    activities: int = 0
    members: int = 0
    """Distinct people of the commits read, programs included."""
    organizations: int = 0
    bots: int = 0
    suspected_bots: int = 0
    sent_rows: int = 0
    quarantined_rows: dict[str, int] = field(default_factory=dict)
    """By data source; empty when everything fitted."""
    seconds: float = 0.0

    def add(self, datasource: str, receipt: Receipt) -> None:
        self.sent_rows += receipt.rows
        if receipt.quarantined_rows:
            self.quarantined_rows[datasource] = self.quarantined_rows.get(datasource, 0) + receipt.quarantined_rows


async def import_repository(
    path: str | os.PathLike[str],
    *,
    sink: Sink,
    revision: str = "HEAD",
    url: str = "",
    project: Project | None = None,
    state: str | os.PathLike[str] | None = None,
    full: bool = False,
    imported_at: datetime | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> ImportSummary:
    """Sends the history of a local repository to `sink`, oldest commit first.

    With a `state` file, a later call reads only commits that are new since; `full` reads all of them again.
    The state is written when every row is durable and none was quarantined, so a broken import starts over
    and meets its own rows.
    """
    started = time.monotonic()
    moment_of_import = (imported_at or datetime.now(UTC)).astimezone(UTC)
    plan = await asyncio.to_thread(_plan, path, revision, url, project, state, sink.destination, full)
    summary = ImportSummary(
        repository=plan.url, project=plan.project.page_slug, revision=plan.head, full=plan.since is None
    )
    if plan.total:
        run = _Run(plan, f"{moment_of_import:%Y-%m-%dT%H:%M:%S}.{moment_of_import.microsecond // 1000:03d}Z")
        await _send_all(run, sink, summary, progress)
        _count_people(run.people, summary)
        if state is not None and not summary.quarantined_rows:
            await asyncio.to_thread(states.save, Path(state), sink.destination, run.state_afterwards())
    summary.seconds = time.monotonic() - started
    return summary


class _Plan(NamedTuple):
    repository: Repository
    url: str
    project: Project
    head: str
    since: str | None
    """The commit the last import ended at; None reads everything."""
    total: int
    basis: str
    boundary: frozenset[str]
    has_mailmap: bool
    known: State

    @property
    def commits(self) -> str:
        return self.head if self.since is None else f"{self.since}..{self.head}"


def _plan(
    path: str | os.PathLike[str],
    revision: str,
    url: str,
    project: Project | None,
    state: str | os.PathLike[str] | None,
    destination: str,
    full: bool,
) -> _Plan:
    repository = Repository(path)
    url = url or repository.remote_url()
    project = project or Project.of_url(url, repository.name)
    known = states.load(Path(state), destination) if state is not None else State()
    boundary = repository.shallow_boundary()
    mailmap = repository.mailmap_digest()
    basis = hashlib.sha256(
        "\n".join([mailmap, *sorted(boundary), project.segment_id("subproject")]).encode()
    ).hexdigest()
    head = repository.commit(revision)
    since = None
    if head is not None and not full:
        since = _since(repository, known.repositories.get(url), head, basis)
    plan = _Plan(repository, url, project, head or "", since, 0, basis, boundary, bool(mailmap), known)
    return plan if head is None else plan._replace(total=repository.count(plan.commits))


def _since(repository: Repository, last: RepositoryState | None, head: str, basis: str) -> str | None:
    if last is None or last.basis != basis or not repository.is_ancestor(last.revision, head):
        return None
    return last.revision


@dataclass(slots=True)
class _Chunk:
    """Rows to send in the order of the stages: an activity is enriched with its organization when it
    arrives, so what it refers to must be there before."""

    commits: int = 0
    reference: dict[str, list[bytes]] = field(default_factory=dict)
    people: dict[str, list[bytes]] = field(default_factory=dict)
    relations: list[bytes] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)

    def add(self, activity: Activity) -> None:
        self.relations.append(activity.relation)
        self.contents.append(activity.content)

    @property
    def stages(self) -> tuple[dict[str, list[bytes]], ...]:
        return (
            self.reference,
            self.people,
            {"activities": self.contents, "activityRelations": self.relations},
        )


class _Run:
    def __init__(self, plan: _Plan, imported_at: str) -> None:
        self.plan = plan
        self.people: People = plan.known.people
        self._imported_at = imported_at
        self._envelope = Envelope(imported_at)
        self._created_seconds = 0

    def chunks(self) -> Generator[_Chunk, None, None]:
        """Blocking: git is read and rows are encoded here, in whichever thread asks for the next chunk."""
        plan = self.plan
        mailmap = Mailmap(plan.repository, present=plan.has_mailmap)
        commits = read_commits(plan.repository, plan.commits)
        read = 0
        try:
            first = next(commits, None)
            if first is not None:
                for chunk in self._encode(first, commits, mailmap):
                    read += chunk.commits
                    yield chunk
        finally:
            commits.close()
            mailmap.close()
        if read != plan.total:
            raise GitFailed(
                f"git counts {plan.total} commits, but its log has {read}.",
                hint="`git fsck` may tell more.",
            )

    def _encode(self, first: Commit, others: Iterator[Commit], mailmap: Mailmap) -> Iterator[_Chunk]:
        source = self._source(first)
        activities = CommitActivities(source, self.people, mailmap, self._envelope, self.plan.boundary)
        chunk = _Chunk(reference=self._reference(source))
        commit: Commit | None = first
        while commit is not None:
            for activity in activities.of(commit):
                chunk.add(activity)
            chunk.commits += 1
            commit = next(others, None)
            if len(chunk.relations) >= CHUNK_ROWS_MAX or commit is None:
                chunk.people = self._changed_people()
                yield chunk
                chunk = _Chunk()

    def _source(self, first: Commit) -> Source:
        last = self.plan.known.repositories.get(self.plan.url)
        self._created_seconds = last.created_seconds if last else moment(first.committer_seconds).created
        return Source(self.plan.url, self.plan.project, self._imported_at, self._created_seconds)

    def _reference(self, source: Source) -> dict[str, list[bytes]]:
        rows = {
            "activityTypes": activity_type_rows(),
            "segments": segment_rows(source),
            "integrations": [integration_row(source)],
            "insightsProjects": [insights_project_row(source)],
            "repositories": [repository_row(source)],
        }
        return self._wrapped(rows)

    def _changed_people(self) -> dict[str, list[bytes]]:
        changes = self.people.take_changes(self._imported_at)
        return self._wrapped(
            {
                "organizations": changes.organizations,
                "organizationIdentities": changes.organization_identities,
                "members": changes.members,
                "memberIdentities": changes.member_identities,
            }
        )

    def _wrapped(self, rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[bytes]]:
        return {table: [self._envelope.wrap(table, row) for row in of] for table, of in rows.items() if of}

    def state_afterwards(self) -> State:
        plan = self.plan
        repositories = {
            **plan.known.repositories,
            plan.url: RepositoryState(plan.head, plan.basis, self._created_seconds),
        }
        return State(repositories, self.people)


async def _send_all(
    run: _Run,
    sink: Sink,
    summary: ImportSummary,
    progress: Callable[[Progress], None] | None,
) -> None:
    """One chunk is sent while the next is made: two are in memory, never more."""
    chunks = run.chunks()
    making = asyncio.create_task(asyncio.to_thread(next, chunks, None))
    try:
        # Shielded: a generator cannot be closed while its thread is in it, so a cancelled import lets it finish.
        while (chunk := await asyncio.shield(making)) is not None:
            making = asyncio.create_task(asyncio.to_thread(next, chunks, None))
            await _send(chunk, sink, summary)
            if progress is not None:
                progress(Progress(summary.commits, run.plan.total, summary.sent_rows))
    finally:
        await asyncio.wait([making])
        if not making.cancelled():
            making.exception()
        await asyncio.to_thread(chunks.close)


async def _send(chunk: _Chunk, sink: Sink, summary: ImportSummary) -> None:
    for stage in chunk.stages:
        try:
            async with asyncio.TaskGroup() as group:
                sends = {name: group.create_task(sink.send(name, rows)) for name, rows in stage.items()}
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        for datasource, sent in sends.items():
            summary.add(datasource, sent.result())
    summary.commits += chunk.commits
    summary.activities += len(chunk.relations)


def _count_people(people: People, summary: ImportSummary) -> None:
    members = [people.members[username] for username in people.seen_members]
    summary.members = len(members)
    summary.organizations = len(people.seen_organizations)
    summary.bots = sum(member.bot is Bot.CONFIRMED for member in members)
    summary.suspected_bots = sum(member.bot is Bot.SUSPECTED for member in members)

"""Turns a commit into its activities: one authored-commit, a committed-commit when somebody else committed
it, and one per person a trailer names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from cdp.importers.git.log import Commit, Signature
from cdp.importers.git.people import People
from cdp.importers.git.records import PLATFORM, Source
from cdp.importers.git.trailers import Mailmap, trailers
from cdp.moments import Moment, iso, moment
from cdp.records import ATTRIBUTES_BYTES_MAX, Envelope, clipped, stable_id

AUTHORED = "authored-commit"
COMMITTED = "committed-commit"

_UINT32_MAX = 2**32 - 1
_INT32_MAX = 2**31 - 1
# The word as the ids in the field have it.
_ID_WORDS = {COMMITTED: "commited-commit"}


class Activity(NamedTuple):
    relation: bytes
    content: bytes


class CommitActivities:
    def __init__(
        self,
        source: Source,
        people: People,
        mailmap: Mailmap,
        envelope: Envelope,
        shallow_boundary: frozenset[str],
    ) -> None:
        self._source = source
        self._people = people
        self._mailmap = mailmap
        self._envelope = envelope
        self._boundary = shallow_boundary
        self._segment_id = source.segment_id

    def of(self, commit: Commit) -> Iterator[Activity]:
        author = self._people.member(commit.author, moment(commit.author_seconds))
        authored = self._authored(commit)
        yield authored[1]
        committer = self._people.member(commit.committer, moment(commit.committer_seconds))
        written: set[str] = set()
        if committer is not author:
            yield from self._share(commit, COMMITTED, commit.committer, authored[0], written)
        for trailer in trailers(commit.message):
            # There is one author by definition, so `Authored-by:` names one more of them: see the alias
            # table.
            person = self._mailmap.signature(trailer.name, trailer.email)
            yield from self._share(commit, trailer.activity_type, person, authored[0], written)

    def _authored(self, commit: Commit) -> tuple[str, Activity]:
        """The activity and its id."""
        counted = commit.hash not in self._boundary
        insertions = min(commit.insertions, _UINT32_MAX) if counted else 0
        deletions = min(commit.deletions, _UINT32_MAX) if counted else 0
        extra: dict[str, Any] = {
            "insertions": insertions,
            "deletions": deletions,
            "lines": insertions - deletions,
        }
        if not counted:
            extra["isShallowBoundary"] = True
        when = moment(commit.author_seconds)
        if when.clamped:
            extra["clampedTimestamp"] = _written(commit.author_seconds)
        return self._activity(commit, AUTHORED, commit.author, when, source_id=commit.hash, parent_id="", extra=extra)

    def _share(
        self, commit: Commit, activity_type: str, person: Signature, parent_id: str, written: set[str]
    ) -> Iterator[Activity]:
        """An activity of somebody other than the author, at most once for each address and type."""
        word = _ID_WORDS.get(activity_type, activity_type)
        key = f"{commit.hash}{word}{person.written_email.lower()}"
        source_id = hashlib.sha1(key.encode()).hexdigest()
        if source_id in written:
            return
        written.add(source_id)
        when = moment(commit.committer_seconds)
        extra = {"clampedTimestamp": _written(commit.committer_seconds)} if when.clamped else {}
        _, activity = self._activity(
            commit, activity_type, person, when, source_id=source_id, parent_id=parent_id, extra=extra
        )
        yield activity

    def _activity(
        self,
        commit: Commit,
        activity_type: str,
        person: Signature,
        when: Moment,
        *,
        source_id: str,
        parent_id: str,
        extra: dict[str, Any],
    ) -> tuple[str, Activity]:
        source = self._source
        member = self._people.member(person, when)
        timestamp = when.iso
        shared: dict[str, Any] = {
            "type": activity_type,
            "timestamp": timestamp,
            "platform": PLATFORM,
            "score": -1,
            "sourceId": source_id,
            "createdAt": iso(moment(commit.committer_seconds).created),
            "updatedAt": source.imported_at,
            "channel": source.url,
            "segmentId": self._segment_id,
        }
        id_ = stable_id("activity", self._segment_id, timestamp, activity_type, source.url, source_id)
        relation = {
            "activityId": id_,
            "conversationId": "",
            "memberId": member.id,
            "objectMemberId": "",
            "objectMemberUsername": "",
            "organizationId": self._people.organization(member, person, when),
            "parentId": parent_id,
            "username": member.username,
            "sourceParentId": commit.hash if parent_id else "",
            "sentimentScore": -1,
            "gitInsertions": extra.get("insertions", 0),
            "gitDeletions": extra.get("deletions", 0),
            "isContribution": False,
            "pullRequestReviewState": "",
            **shared,
        }
        content = self._content(id_, shared, commit, person, extra)
        return id_, Activity(self._envelope.wrap("activityRelations", relation), orjson.dumps(content))

    def _content(
        self,
        id_: str,
        shared: dict[str, Any],
        commit: Commit,
        person: Signature,
        extra: dict[str, Any],
    ) -> dict[str, Any]:
        """The flat row of `activities`. Sentiment, tenant and audit columns keep their defaults."""
        is_merge = len(commit.parents) > 1
        title, _, body = commit.message.strip().partition("\n")
        attributes = {
            **extra,
            "isMerge": is_merge,
            "isMainBranch": True,
            "timezone": commit.timezone,
            "name": person.name,
            "email": person.email,
        }
        text = orjson.dumps(attributes)
        lines = max(-_INT32_MAX, min(extra.get("lines", 0), _INT32_MAX))
        return {
            "id": id_,
            **shared,
            "attributes": text.decode() if len(text) <= ATTRIBUTES_BYTES_MAX else "{}",
            "title": clipped(title.strip()),
            "body": clipped(body.strip()),
            "url": self._source.url,
            "gitIsMainBranch": True,
            "gitIsIndirectFork": False,
            "gitLines": lines,
            "gitIsMerge": is_merge,
        }


def _written(seconds: int | None) -> str:
    """As text, because the number may be larger than any JSON reader takes; empty when the commit has none."""
    return "" if seconds is None else str(seconds)

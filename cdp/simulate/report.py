"""Turns what happened into rows: the relation and the content of an activity, corrected and withdrawn now and then as
a platform does when it learns more."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from cdp.moments import MOMENT_SECONDS_MAX, iso
from cdp.records import ATTRIBUTES_BYTES_MAX, clipped, message
from cdp.reference import activity_types
from cdp.simulate.entity import Entity, Version, updated
from cdp.simulate.errors import ImpossibleCommunity
from cdp.simulate.event import Event
from cdp.simulate.members import Member, Members
from cdp.simulate.population import Population
from cdp.simulate.projects import TALK_PLATFORMS
from cdp.simulate.scale import DAY
from cdp.simulate.words import Tone

RELATIONS, CONTENTS = "activityRelations", "activities"
_TYPES = {(row.platform, row.activity_type): row for row in activity_types()}
_NOBODY = ""
_LATE, _ON_TIME = frozenset({"late"}), frozenset[str]()
_UNDATED_EVERY = 20_000
"""Among so many activities one has a clock that never was set, and one is ahead of its time."""
_FUTURE_SECONDS = 40 * 365 * DAY
_ANSWER_SCORE = 8
_TONES: dict[Tone, tuple[int, int]] = {"negative": (3, 30), "neutral": (35, 30), "positive": (68, 31)}
"""Least score and how far above it they go."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How troubled the data and its way are. Each is a share of activities or, for the last two, of deliveries."""

    late: float = 0.02
    """Delivered one to thirty days after they happened."""
    updated: float = 0.03
    """Corrected once or more: another member, organization, size or sentiment."""
    deleted: float = 0.005
    duplicated: float = 0.02
    """Delivered twice."""
    disordered: float = 0.03
    """Delivered up to six hours after their turn."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise ImpossibleCommunity(f"The share of {name} must be from 0 to 1.", detail=f"(given: {share})")


class Identities:
    """Says when a member is first seen on a platform: that is when the identity is created."""

    _PLATFORMS = ("git", "github", "gitlab", "gerrit", *TALK_PLATFORMS)

    def __init__(self, members: Members, count: int) -> None:
        self._members = members
        self._bits = {platform: 1 << place for place, platform in enumerate(self._PLATFORMS)}
        self._seen = array("I", bytes(4 * count))

    def meet(self, member: Member, platform: str, seconds: int) -> Entity | None:
        bit = self._bits[platform]
        if self._seen[member.index] & bit:
            return None
        self._seen[member.index] |= bit
        return self._members.identity(member, platform, max(member.joined, seconds))


class Reporter:
    def __init__(self, rng: Random, shares: Shares, people: Population, identities: Identities) -> None:
        self._rng = rng
        self._shares = shares
        self._people = people
        self._identities = identities
        self._reported = self._undated = self._ahead = 0

    def entities(self, event: Event) -> Iterator[Entity]:
        member = event.member
        if member.merged_at is not None and event.seconds >= member.merged_at:
            event.member = member = self._people.first_account(member)
        for person in (member, event.object_member):
            if person is not None and (identity := self._identities.meet(person, event.platform, event.seconds)):
                yield identity
        is_late = self._rng.random() < self._shares.late
        ingested = self._ingested(event, is_late)
        self._misdate(event)
        event.is_reported = True
        shared = _shared(event, ingested)
        relation, content = _relation(event, shared), _content(event, shared)
        self._feel(event, relation, content)
        yield from self._histories(event, relation, content, ingested, _LATE if is_late else _ON_TIME)

    def _ingested(self, event: Event, is_late: bool) -> int:
        wait = 60 + int(self._rng.random() * 600)
        if is_late:
            wait += DAY + int(self._rng.random() * 29 * DAY)
        elif event.is_held_back:
            wait += int((1 + self._rng.random() * 9) * DAY)
        return event.seconds + wait

    def _misdate(self, event: Event) -> None:
        """Only commits: they are dated by the clock of whoever writes them."""
        self._reported += 1
        if event.platform != "git" or event.parent is not None:
            return
        turn = self._reported // _UNDATED_EVERY
        if self._reported % _UNDATED_EVERY >= 1_000 and self._undated <= turn:
            self._undated += 1
            event.move_to(0)
        elif self._reported % _UNDATED_EVERY >= 2_000 and self._ahead <= turn:
            self._ahead += 1
            event.move_to(min(event.seconds + _FUTURE_SECONDS, MOMENT_SECONDS_MAX))

    def _feel(self, event: Event, relation: dict[str, Any], content: dict[str, Any]) -> None:
        if event.tone is not None and _TYPES[event.platform, event.type].sentiment:
            least, room = _TONES[event.tone]
            score = least + int(self._rng.random() * room)
            relation["sentimentScore"] = score
            content.update(_sentiment(score))

    def _histories(
        self, event: Event, relation: dict[str, Any], content: dict[str, Any], ingested: int, traits: frozenset[str]
    ) -> Iterator[Entity]:
        told = Entity(
            RELATIONS, [Version(ingested, message(RELATIONS, relation, relation["updatedAt"]))], traits=traits
        )
        written = Entity(CONTENTS, [Version(ingested, orjson.dumps(content))])
        last = ingested
        for wait, values, texts in self._corrections(event, relation, last):
            last = max(last + 1, wait)
            told.versions.append(Version(last, updated(RELATIONS, relation, last, values)))
            if texts:
                written.versions.append(Version(last, updated(CONTENTS, content, last, texts)))
        if len(told.versions) > 1:
            told.inverted = self._rng.random() < 0.25
        if self._rng.random() < self._shares.deleted:
            last += 3_600 + int(self._rng.random() * 10 * DAY)
            told.tombstone = Version(last, message(RELATIONS, relation, iso(last), "delete"))
            written.versions.append(Version(last, updated(CONTENTS, content, last, {"deletedAt": iso(last)})))
        yield written
        yield told

    def _corrections(
        self, event: Event, relation: dict[str, Any], ingested: int
    ) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
        """(when, new values of the relation, new values of the content), in order of time."""
        rng, at = self._rng, ingested
        if rng.random() < self._shares.updated:
            for _ in range(1 + (rng.random() < 0.3) + (rng.random() < 0.1)):
                at += 60 + int(rng.random() ** 3 * 20 * DAY)
                values, texts = self._correction(event, relation)
                yield at, values, texts
        member = event.member
        if member.merged_at is not None and member.merged_into is not None:
            first = self._people.first_account(member)
            # The identity of the row decides for whom it counts, whatever was corrected before.
            organization = first.organization_at(event.seconds)
            yield max(at + 60, member.merged_at), {"memberId": first.id, "organizationId": organization}, {}

    def _correction(self, event: Event, relation: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Something that really changes the row."""
        rng = self._rng
        drawn = rng.random()
        if event.insertions and drawn < 0.4:
            added = event.insertions = event.insertions + 1 + int(rng.random() * 200)
            attributes = {**event.attributes, "insertions": added, "additions": added}
            return {"gitInsertions": added}, {
                "attributes": _attributes(attributes),
                "gitLines": added - event.deletions if event.platform == "git" else 0,
            }
        if relation["sentimentScore"] >= 0 and drawn < 0.5:
            score = (relation["sentimentScore"] + 1 + int(rng.random() * 99)) % 100
            return {"sentimentScore": score}, _sentiment(score)
        if drawn < 0.75 and (other := self._people.somebody_else(rng, event.project, event.member)):
            other = self._people.first_account(other)
            if other.id != relation["memberId"]:
                return {"memberId": other.id, "organizationId": other.organization_at(event.seconds)}, {}
        if relation["organizationId"]:
            return {"organizationId": _NOBODY}, {}
        return {"score": relation["score"] + 1}, {}


def _relation(event: Event, shared: dict[str, Any]) -> dict[str, Any]:
    parent, asked = event.parent, event.object_member
    return {
        "activityId": event.id,
        "conversationId": "",
        "memberId": event.member.id,
        "objectMemberId": asked.id if asked else "",
        "objectMemberUsername": asked.username(event.platform) if asked else "",
        "organizationId": event.member.organization_at(event.seconds),
        "parentId": parent.id if parent is not None and parent.is_reported else "",
        "username": event.member.username(event.platform),
        "sourceParentId": event.source_parent_id,
        "sentimentScore": -1,
        "gitInsertions": event.insertions,
        "gitDeletions": event.deletions,
        "isContribution": False,
        "pullRequestReviewState": event.review_state,
        **shared,
    }


def _content(event: Event, shared: dict[str, Any]) -> dict[str, Any]:
    is_git = event.platform == "git"
    return {
        "id": event.id,
        **shared,
        "attributes": _attributes(event.attributes),
        "title": event.title,
        "body": clipped(event.body),
        "url": event.url,
        "gitIsMainBranch": is_git,
        "gitIsIndirectFork": False,
        "gitLines": event.insertions - event.deletions if is_git else 0,
        "gitIsMerge": bool(event.attributes.get("isMerge")),
    }


def _shared(event: Event, ingested: int) -> dict[str, Any]:
    """What both rows say."""
    at = iso(ingested)
    score = _ANSWER_SCORE if event.attributes.get("isAnswer") else _TYPES[event.platform, event.type].score
    return {
        "type": event.type,
        "timestamp": event.timestamp,
        "platform": event.platform,
        "score": score,
        "sourceId": event.source_id,
        "createdAt": at,
        "updatedAt": at,
        "channel": event.channel,
        "segmentId": event.project.segment_id,
    }


def _attributes(attributes: dict[str, Any]) -> str:
    text = orjson.dumps(attributes)
    return text.decode() if len(text) <= ATTRIBUTES_BYTES_MAX else "{}"


def _sentiment(score: int) -> dict[str, Any]:
    """The columns of the content for a score from 0 to 100."""
    return {
        "sentimentLabel": "negative" if score < 33 else "positive" if score > 66 else "neutral",
        "sentimentScoreNegative": max(0, 50 - score),
        "sentimentScorePositive": max(0, score - 50),
        "sentimentScoreNeutral": 100 - abs(score - 50),
        "sentimentScoreMixed": 100 - abs(score - 50),
    }

"""A commit on the main branch: its author, its committer, and whom its trailers name."""

from __future__ import annotations

from hashlib import sha1
from typing import Any

from cdp.simulate.event import Event
from cdp.simulate.members import Kind, Member
from cdp.simulate.stories.scene import Scene

_SIGNED = 0.55
_TRAILERS = (
    # activity type, trailer, share of commits
    ("reviewed-commit", "Reviewed-by", 0.16),
    ("approved-commit", "Acked-by", 0.05),
    ("co-authored-commit", "Co-authored-by", 0.06),
    ("tested-commit", "Tested-by", 0.03),
    ("reported-commit", "Reported-by", 0.03),
    ("informed-commit", "Cc", 0.02),
    ("influenced-commit", "Suggested-by", 0.015),
    ("resolved-commit", "Fixed-by", 0.01),
)
# The word the ids in the field have.
_ID_WORDS = {"committed-commit": "commited-commit"}


def commit(scene: Scene) -> list[Event]:
    author = scene.actor()
    return commit_of(scene, author, scene.today(author), scene.headline())


def commit_of(scene: Scene, author: Member, seconds: int, title: str, *, is_merge: bool = False) -> list[Event]:
    hash_ = scene.hash()
    insertions, deletions = (0, 0) if is_merge else scene.size()
    named = _named(scene, author)
    trailers = "\n".join(f"{trailer}: {member.name} <{member.email}>" for _, trailer, member in named if trailer)
    written: dict[str, Any] = {
        "title": title,
        "body": trailers,
        "url": f"{scene.repository.url}/commit/{hash_}",
    }
    attributes = {
        "insertions": insertions,
        "deletions": deletions,
        "lines": insertions - deletions,
        "isMerge": is_merge,
        "isMainBranch": True,
        "timezone": f"{author.place.offset_hours:+03d}00",
    }
    authored = scene.event(
        "authored-commit", author, seconds, hash_, platform="git",
        insertions=insertions, deletions=deletions, attributes=attributes, **written,
    )  # fmt: skip
    found = [authored]
    if author.kind is not Kind.BOT:
        for type_, _, member in named:
            word = _ID_WORDS.get(type_, type_)
            source_id = sha1(f"{hash_}{word}{member.email}".encode(), usedforsecurity=False).hexdigest()
            found.append(
                scene.event(
                    type_,
                    member,
                    seconds + 30,
                    source_id,
                    platform="git",
                    parent=authored,
                    source_parent_id=hash_,
                    **written,
                )
            )
    return found


def _named(scene: Scene, author: Member) -> list[tuple[str, str, Member]]:
    """(activity type, trailer, member); a committer stands in no trailer."""
    if author.kind is Kind.BOT:
        return []
    named: list[tuple[str, str, Member]] = []
    if scene.chance(0.12) and (committer := scene.somebody_else(author)):
        named.append(("committed-commit", "", committer))
    for type_, trailer, share in _TRAILERS:
        if scene.chance(share) and (member := scene.somebody_else(author)):
            named.append((type_, trailer, member))
    if scene.chance(_SIGNED):
        named.append(("signed-off-commit", "Signed-off-by", author))
    return named

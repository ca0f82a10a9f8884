"""Changesets on Gerrit: patch sets, approvals of a patch set, and how they end."""

from __future__ import annotations

from cdp.simulate.chance import few
from cdp.simulate.event import Event
from cdp.simulate.stories.commits import commit_of
from cdp.simulate.stories.scene import Scene

PATCH_SETS_MAX = 9
_MERGED, _ABANDONED, _CLOSED = 0.7, 0.14, 0.04
_ORPHAN = 0.006


def changeset(scene: Scene) -> list[Event]:
    owner = scene.actor()
    opened_at = last = scene.today(owner)
    key = f"I{scene.hash()}"
    title = scene.headline()
    url = f"{scene.repository.url}/+/{scene.rng.getrandbits(20)}"
    insertions, deletions = scene.size()
    text = scene.text_of(insertions=insertions, deletions=deletions)
    opening = scene.event(
        "changeset-created", owner, opened_at, key,
        insertions=insertions, deletions=deletions, title=title, url=url, **text,
    )  # fmt: skip
    found = [opening]
    for number in range(1, 2 + few(scene.rng, 0.9, PATCH_SETS_MAX - 1)):
        patch_set = f"{key}-{number}"
        last = opened_at if number == 1 else scene.later(owner, last, 16)
        found.append(
            scene.event(
                "patchset-created", owner, last, patch_set, parent=opening, source_parent_id=key, title=title, url=url
            )
        )
        for event in _reviews(scene, opening, patch_set, last):
            found.append(event)
            last = max(last, event.seconds)
    if scene.chance(0.5) and (speaker := scene.somebody_else()):
        last = scene.later(speaker, last, 6)
        found.append(
            scene.event(
                "changeset_comment-created",
                speaker,
                last,
                scene.node_id("c"),
                parent=opening,
                source_parent_id=key,
                url=url,
                **scene.text_of(),
            )
        )
    found += _end(scene, opening, last)
    return found[1:] if scene.chance(_ORPHAN) else found


def _reviews(scene: Scene, opening: Event, patch_set: str, after: int) -> list[Event]:
    found = []
    for type_, mean, prefix in (("patchset_approval-created", 0.5, "a"), ("patchset_comment-created", 0.4, "p")):
        for _ in range(few(scene.rng, mean, 4)):
            reviewer = scene.somebody_else(opening.member)
            if reviewer is None:
                continue
            after = scene.later(reviewer, after, 7)
            text = scene.text_of() if prefix == "p" else {}
            event = scene.event(
                type_, reviewer, after, f"{patch_set}-{scene.node_id(prefix)}",
                parent=opening, source_parent_id=patch_set, title=opening.title, url=opening.url, **text,
            )  # fmt: skip
            found.append(event)
    return found


def _end(scene: Scene, opening: Event, last: int) -> list[Event]:
    """A merged or abandoned changeset is reported under its own id, a closed one under an id of the closing."""
    drawn = scene.rng.random()
    if drawn > _MERGED + _ABANDONED + _CLOSED:
        return []
    closer = (scene.somebody_else(opening.member) if drawn < _MERGED else None) or opening.member
    seconds = scene.later(closer, last, 10)
    if drawn > _MERGED + _ABANDONED:
        source_id, type_ = scene.node_id("x"), "changeset-closed"
    else:
        source_id, type_ = opening.source_id, "changeset-merged" if drawn < _MERGED else "changeset-abandoned"
    parent_id = opening.source_id if type_ == "changeset-closed" else ""
    ended = scene.event(
        type_, closer, seconds, source_id,
        parent=opening, source_parent_id=parent_id, title=opening.title, url=opening.url,
    )  # fmt: skip
    commits = []
    if drawn < _MERGED and scene.chance(0.6):
        commits = commit_of(scene, opening.member, seconds, opening.title)
    return [ended, *commits]

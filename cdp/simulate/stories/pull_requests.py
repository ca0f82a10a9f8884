"""Pull requests on GitHub and merge requests on GitLab, through every life they can have: assigned or not, reviewed by
nobody or by several, sent back, approved, merged, closed, left open, and now and then without an opening."""

from __future__ import annotations

from typing import Any

from cdp.moments import iso
from cdp.simulate.chance import few, one_of
from cdp.simulate.event import Event
from cdp.simulate.members import Member
from cdp.simulate.stories.commits import commit_of
from cdp.simulate.stories.scene import Scene

_MERGED, _CLOSED = 0.72, 0.15
_ORPHAN = 0.006
"""The opening was never reported."""
_HELD_BACK = 0.01
"""The opening is reported after its reviews."""
_STATES = (("APPROVED", 0.5), ("CHANGES_REQUESTED", 0.18), ("COMMENTED", 0.3), ("DISMISSED", 0.02))


def github_pull_request(scene: Scene) -> list[Event]:
    return _Request(scene, "PR_kwD").told_by_github()


def gitlab_merge_request(scene: Scene) -> list[Event]:
    return _Request(scene, "").told_by_gitlab()


class _Request:
    def __init__(self, scene: Scene, prefix: str) -> None:
        self.scene = scene
        self.author = scene.actor()
        self.opened_at = self.last = scene.today(self.author)
        self.key = scene.node_id(prefix) if prefix else scene.number()
        self.title = scene.headline()
        self.url = f"{scene.repository.url}/pull/{scene.rng.getrandbits(15)}"
        self.reviewers: list[Member] = []
        self.events: list[Event] = []
        self.opening: Event | None = None

    def told_by_github(self) -> list[Event]:
        self._open("pull_request-opened")
        self._commits()
        self._prepare("pull_request")
        for _ in range(few(self.scene.rng, 0.9, 4)):
            self._github_review()
        self._comments("pull_request-comment", 0.9)
        self._comments("pull_request-review-thread-comment", 0.5)
        self._end("pull_request", closes_when_merged=True)
        return self._as_reported()

    def told_by_gitlab(self) -> list[Event]:
        self._open("merge_request-opened")
        self._commits()
        self._prepare("merge_request")
        for _ in range(few(self.scene.rng, 0.8, 4)):
            verdict = "changes-requested" if self.scene.chance(0.3) else "approved"
            if reviewer := self._reviewer():
                self._after(f"merge_request-review-{verdict}", reviewer, 9, self.scene.number())
        self._comments("merge_request-comment", 1.1)
        self._end("merge_request", closes_when_merged=False)
        return self._as_reported()

    def _open(self, type_: str) -> None:
        insertions, deletions = self.scene.size()
        text = self.scene.text_of(
            additions=insertions, deletions=deletions, changedFiles=1 + insertions // 40, labels=["enhancement"]
        )
        self.opening = self.scene.event(
            type_, self.author, self.opened_at, self.key,
            insertions=insertions, deletions=deletions, title=self.title, url=self.url, **text,
        )  # fmt: skip
        self.events.append(self.opening)

    def _commits(self) -> None:
        scene = self.scene
        for number in range(few(scene.rng, 0.6, 5)):
            insertions, deletions = scene.size()
            self.events.append(
                scene.event(
                    "authored-commit",
                    self.author,
                    self.opened_at + 5 + number,
                    scene.hash(),
                    insertions=insertions,
                    deletions=deletions,
                    title=scene.headline(),
                    url=self.url,
                    attributes={"insertions": insertions, "deletions": deletions, "isMainBranch": False},
                )
            )

    def _prepare(self, noun: str) -> None:
        """Assigned to somebody and review asked for, within minutes or days, or neither."""
        scene = self.scene
        if scene.chance(0.3):
            self._asks(f"{noun}-assigned", "AE", scene.somebody_else() or self.author, 3)
        if scene.chance(0.55):
            for _ in range(1 + scene.chance(0.3)):
                if reviewer := scene.somebody_else(self.author, *self.reviewers):
                    self.reviewers.append(reviewer)
                    self._asks(f"{noun}-review-requested", "RRE", reviewer, 1)

    def _asks(self, type_: str, code: str, asked: Member, hours: float) -> None:
        seconds = self.scene.later(self.author, self.opened_at, hours)
        asked = self.scene.first_account(asked)
        source_id = self._generated_id(code, self.author, seconds, asked)
        self._follow(type_, self.author, seconds, source_id, object_member=asked)

    def _github_review(self) -> None:
        reviewer = self._reviewer()
        if reviewer is None:
            return
        seconds = self.scene.later(reviewer, self.last, 8)
        state = self._state()
        self._follow(
            "pull_request-reviewed", reviewer, seconds, self._generated_id("PRR", reviewer, seconds),
            review_state=state, **self.scene.text_of(reviewState=state),
        )  # fmt: skip

    def _state(self) -> str:
        drawn = self.scene.rng.random()
        for state, share in _STATES:
            drawn -= share
            if drawn < 0:
                return state
        return _STATES[0][0]

    def _reviewer(self) -> Member | None:
        if self.reviewers and self.scene.chance(0.75):
            return one_of(self.scene.rng, self.reviewers)
        return self.scene.somebody_else(self.author)

    def _comments(self, type_: str, mean: float) -> None:
        scene = self.scene
        for _ in range(few(scene.rng, mean, 8)):
            speaker = self.author if scene.chance(0.4) else scene.actor()
            self._after(type_, speaker, 14, scene.node_id("IC_"), **scene.text_of())

    def _end(self, noun: str, *, closes_when_merged: bool) -> None:
        scene = self.scene
        drawn = scene.rng.random()
        if drawn > _MERGED + _CLOSED:
            return
        merged = drawn < _MERGED
        closer = (scene.somebody_else(self.author) if merged or scene.chance(0.5) else None) or self.author
        seconds = scene.later(closer, self.last, 12)
        if merged:
            self._follow(f"{noun}-merged", closer, seconds, self._generated_id("ME", closer, seconds))
            if scene.chance(0.5):
                self.events += commit_of(scene, self.author, seconds, self.title, is_merge=scene.chance(0.3))
        if not merged or closes_when_merged:
            self._follow(f"{noun}-closed", closer, seconds, self._generated_id("CE", closer, seconds))

    def _generated_id(self, code: str, member: Member, seconds: int, asked: Member | None = None) -> str:
        whom = f"_{asked.login}" if asked else ""
        return f"gen-{code}_{self.key}_{member.login}{whom}_{iso(seconds)}"

    def _after(self, type_: str, member: Member, hours: float, source_id: str, **more: Any) -> None:
        self._follow(type_, member, self.scene.later(member, self.last, hours), source_id, **more)

    def _follow(self, type_: str, member: Member, seconds: int, source_id: str, **more: Any) -> None:
        self.last = max(self.last, seconds)
        self.events.append(
            self.scene.event(
                type_,
                member,
                seconds,
                source_id,
                parent=self.opening,
                source_parent_id=self.key,
                title=self.title,
                url=self.url,
                **more,
            )
        )

    def _as_reported(self) -> list[Event]:
        if len(self.events) > 1 and self.scene.chance(_ORPHAN):
            return [event for event in self.events if event is not self.opening]
        if self.opening is not None:
            self.opening.is_held_back = self.scene.chance(_HELD_BACK)
        return self.events

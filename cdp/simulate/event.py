"""One activity before it is a row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cdp.moments import iso
from cdp.records import stable_id
from cdp.simulate.members import Member
from cdp.simulate.projects import Project
from cdp.simulate.words import Tone


@dataclass(slots=True)
class Event:
    project: Project
    platform: str
    type: str
    seconds: int
    member: Member
    source_id: str
    channel: str
    url: str
    parent: Event | None = None
    source_parent_id: str = ""
    object_member: Member | None = None
    insertions: int = 0
    deletions: int = 0
    review_state: str = ""
    title: str = ""
    body: str = ""
    tone: Tone | None = None
    """How the body sounds; None where nobody says anything."""
    attributes: dict[str, Any] = field(default_factory=dict)
    is_held_back: bool = False
    """It arrives days after what refers to it."""
    is_reported: bool = False
    """Its row exists, so others may refer to it."""
    timestamp: str = ""
    _id: str = ""

    def __post_init__(self) -> None:
        self.timestamp = iso(self.seconds)

    def move_to(self, seconds: int) -> None:
        """Before anything refers to it: the time is part of the id."""
        self.seconds, self.timestamp = seconds, iso(seconds)

    @property
    def id(self) -> str:
        if not self._id:
            self._id = stable_id(
                "activity", self.project.segment_id, self.timestamp, self.type, self.channel, self.source_id
            )
        return self._id

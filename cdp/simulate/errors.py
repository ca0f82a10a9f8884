"""What can go wrong in a simulation, besides what the sink reports."""

from __future__ import annotations

from cdp.errors import CommunityDataError


class ImpossibleCommunity(CommunityDataError):
    """A community cannot have this size or time."""


class FolderUnusable(CommunityDataError):
    """The rows cannot be written to the folder."""

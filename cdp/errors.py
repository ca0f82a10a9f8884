"""What can go wrong on the way to the events API, and the root of every error of this package.

    CommunityDataError
    └── EventsRejected
        └── EventsUnreachable

As everywhere, an error has three parts: what is wrong, the detail, what to do.
"""

from __future__ import annotations


class CommunityDataError(Exception):
    """Community data cannot be read or delivered."""

    def __init__(self, message: str = "", *, detail: str = "", hint: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.detail = detail
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        return " ".join(part for part in (self.message, self.detail, self.hint) if part)


class EventsRejected(CommunityDataError):
    """The server refused the rows."""


class EventsUnreachable(EventsRejected):
    """The server did not take the rows in time."""

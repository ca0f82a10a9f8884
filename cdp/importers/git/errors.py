"""What can go wrong in an import.

    GitImportError
    ├── GitMissing
    ├── NotARepository
    ├── UnknownRevision
    ├── GitFailed
    ├── StateUnreadable
    └── EventsRejected
        └── EventsUnreachable

As everywhere, an error has three parts: what is wrong, the detail, what to do.
"""

from __future__ import annotations


class GitImportError(Exception):
    """The history cannot be imported."""

    def __init__(self, message: str = "", *, detail: str = "", hint: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.detail = detail
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        return " ".join(part for part in (self.message, self.detail, self.hint) if part)


class GitMissing(GitImportError):
    """The git command was not found."""


class NotARepository(GitImportError):
    """The path is not a git repository."""


class UnknownRevision(GitImportError):
    """The repository has no such revision."""


class GitFailed(GitImportError):
    """git stopped before the history was complete."""


class StateUnreadable(GitImportError):
    """The state file cannot be used."""


class EventsRejected(GitImportError):
    """The server refused the rows."""


class EventsUnreachable(EventsRejected):
    """The server did not take the rows in time."""

"""What can go wrong in an import, besides what the sink reports.

GitImportError
├── GitMissing
├── NotARepository
├── UnknownRevision
├── GitFailed
├── StateUnreadable
└── EventsRejected, EventsUnreachable (cdp.errors)
"""

from __future__ import annotations

from cdp.errors import CommunityDataError

# An import that fails while sending has failed too: whoever catches this catches the errors of the sink.
GitImportError = CommunityDataError


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

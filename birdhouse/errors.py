"""Every error Birdhouse raises on purpose.

    BirdhouseError
    ├── InvalidInput
    │   ├── DatafileError            a datafile, with file, line and column
    │   ├── TemplateError            a SQL template
    │   │   └── CustomTemplateError  the template's own custom_error()
    │   ├── SqlError                 SQL that cannot be parsed, resolved or run
    │   ├── InvalidParameter         a request parameter
    │   ├── InvalidRows              rows that cannot be read at all
    │   ├── NothingToAlter
    │   └── DeploymentRefused        with every problem that was found
    ├── Forbidden
    │   ├── InvalidToken
    │   └── MissingScope
    ├── NotFound
    ├── Conflict
    │   ├── NameTaken
    │   ├── InUse
    │   └── BrokenBackup
    ├── TooLarge
    ├── LimitReached
    │   ├── QueryTimeout
    │   ├── MemoryLimit
    │   └── RowLimit
    ├── PartialWrite
    ├── Busy
    │   └── RateLimited          one token asks too often
    ├── StorageFull
    ├── Cancelled
    └── CannotStart
        ├── DataDirectoryInUse
        └── PortInUse

An error has three parts: what is wrong (the message), the detail (file, line, column, value) and what to do
(the hint). A class's docstring is its message where none is given. No class knows HTTP: `api/errors.py` maps them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Self


class BirdhouseError(Exception):
    """Something went wrong."""

    documentation = "docs/errors.md"
    file = ""
    line = 0
    column = 0
    """Where in a datafile the reason stands, as far as it is known; lines and columns count from 1."""

    def __init__(self, message: str = "", *, detail: str = "", hint: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.detail = detail
        self.hint = hint
        super().__init__(self.message)

    def at(self, file: str, line: int = 0, column: int = 0) -> Self:
        """The same error with its place, which becomes the detail where there is none."""
        self.file, self.line, self.column = file, line, column
        self.detail = self.detail or _place(file, line, column)
        return self

    def __str__(self) -> str:
        said = " ".join(part for part in (self.message, self.detail) if part)
        if not self.hint:
            return said
        is_sentence = any(text.endswith((".", "!", "?")) for text in (self.message, said))
        return f"{said}{'' if is_sentence else '.'} {self.hint}"


class InvalidInput(BirdhouseError):
    """The request cannot be understood."""


def _place(file: str, line: int, column: int) -> str:
    """`(file:line:column)`, or `(line 2, column 3)` for a text that is no file; what is unknown is left out."""
    if file:
        return f"({':'.join(str(part) for part in (file, line, column) if part)})"
    parts = ", ".join(f"{word} {number}" for word, number in (("line", line), ("column", column)) if number)
    return f"({parts})" if parts else ""


class DatafileError(InvalidInput):
    """The datafile cannot be read."""

    documentation = "docs/datafiles.md"

    def __init__(self, message: str = "", *, file: str = "", line: int = 0, column: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.at(file, line, column)


class TemplateError(InvalidInput):
    """The SQL template cannot be rendered."""

    documentation = "docs/templates.md"


class CustomTemplateError(TemplateError):
    """The template ended the request with custom_error()."""

    def __init__(self, body: Any, status: int = 400) -> None:
        self.body = body
        self.status = status
        super().__init__(str(body))


class SqlError(InvalidInput):
    """The SQL cannot be run."""

    documentation = "docs/sql.md"

    def __init__(self, message: str = "", *, code: int = 0, name: str = "", detail: str = "", hint: str = "") -> None:
        """`code` and `name` are the engine's, such as 47 and UNKNOWN_IDENTIFIER; 0 when we refused it ourselves."""
        self.code = code
        self.name = name
        super().__init__(message, detail=detail, hint=hint)

    @property
    def quoted_word(self) -> str:
        """The first name the message quotes, such as the column that is missing; an empty text when there is none."""
        match = re.search(r"[`'\"]([^`'\"\s]+)[`'\"]", self.message)
        return match[1].rpartition(".")[2] if match else ""


class InvalidParameter(InvalidInput):
    """A request parameter is missing or has a value that cannot be used."""


class InvalidRows(InvalidInput):
    """The rows cannot be read."""


class NothingToAlter(InvalidInput):
    """There were no operations to perform"""


class DeploymentRefused(InvalidInput):
    """The deployment was refused; nothing was changed."""

    def __init__(self, problems: Sequence[BirdhouseError]) -> None:
        self.problems = tuple(problems)
        message = str(self.problems[0]) if len(self.problems) == 1 else f"{len(self.problems)} problems were found"
        super().__init__(message)


class Forbidden(BirdhouseError):
    """The token may not do this."""

    documentation = "docs/tokens.md"


class InvalidToken(Forbidden):
    """invalid authentication token"""


class MissingScope(Forbidden):
    """The token lacks a scope."""


class NotFound(BirdhouseError):
    """The resource does not exist."""


class Conflict(BirdhouseError):
    """The present state does not allow this."""


class NameTaken(Conflict):
    """A resource with this name already exists."""


class InUse(Conflict):
    """Other resources depend on this one."""


class BrokenBackup(Conflict):
    """The backup is damaged."""

    documentation = "docs/backups.md"


class TooLarge(BirdhouseError):
    """The request is larger than the server accepts."""


class LimitReached(BirdhouseError):
    """A limit of the query was reached."""


class QueryTimeout(LimitReached):
    """The query ran longer than its time limit."""


class MemoryLimit(LimitReached):
    """The query needed more memory than its limit."""


class RowLimit(LimitReached):
    """The query read or returned more rows than its limit."""


class PartialWrite(BirdhouseError):
    """Rows were written, but a materialized view on them failed."""

    documentation = "docs/materialized-views.md"

    def __init__(
        self, message: str = "", *, detail: str = "", hint: str = "", view: str = "", is_settled: bool = False
    ) -> None:
        """`view` is the engine's name of one that failed. When settled, the other views have the rows."""
        self.view = view
        self.is_settled = is_settled
        super().__init__(message, detail=detail, hint=hint)


class Busy(BirdhouseError):
    """The server has more work than it can take. Try again shortly."""


class RateLimited(Busy):
    """The token makes more requests per second than its limit."""

    def __init__(
        self, message: str = "", *, requests_per_second: int, retry_after_seconds: int, hint: str = ""
    ) -> None:
        self.requests_per_second = requests_per_second
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message, detail=f"(limit: {requests_per_second} per second)", hint=hint)


class StorageFull(BirdhouseError):
    """The disk is full. Nothing of this request was written."""


class Cancelled(BirdhouseError):
    """The work was cancelled."""


class CannotStart(BirdhouseError):
    """The server cannot start."""


class DataDirectoryInUse(CannotStart):
    """The data directory is in use by another process."""


class PortInUse(CannotStart):
    """The port is in use by another process."""

"""What a row of a service data source is: a small frozen value that knows its table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import orjson


class Row:
    """The fields of a subclass, a frozen dataclass, are named like the columns they go into.

    Columns without a field keep their default.
    """

    __slots__ = ()

    TABLE: ClassVar[str]
    """The data source of the service workspace that takes the row."""
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def stored(self) -> dict[str, object]:
        """Column to value, as JSON takes it, in the same order for every row of a kind."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def encoded(self) -> bytes:
        """The values as a JSON array. Raises TypeError for text that is no Unicode."""
        return orjson.dumps(list(self.stored().values()))


Note = Callable[[Row], None]
"""Takes a row for the service data sources. It returns at once and never fails: `Recorder.note` is one."""


def not_recorded(row: Row) -> None:
    """For parts that work without a recorder."""

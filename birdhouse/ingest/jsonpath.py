"""Where in a JSON document a column's value stands: `$.a.b`, `$.items[:].name`, `$.list[0]`, `$['a key']`."""

from __future__ import annotations

import re
from typing import Any

from birdhouse.errors import InvalidInput

_STEP = re.compile(r"\.([^.\[\]'\"]+)|\[(\d+|:)\]|\[(['\"])(.+?)\3\]")
MISSING = object()
"""What a path gives in a document that has nothing there."""

Step = str | int | slice
_EVERY = slice(None)


def parse_jsonpath(path: str) -> tuple[Step, ...]:
    """Keys are texts, positions are numbers, `[:]` is a slice."""
    steps: list[Step] = []
    position = 1
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            break
        key, index, _, quoted = match.groups()
        steps.append((_EVERY if index == ":" else int(index)) if index else key or quoted)
        position = match.end()
    if not path.startswith("$") or position < len(path):
        raise InvalidInput(f"The JSONPath {path!r} cannot be read.", hint="Write it like $.a.b or $.items[:].name.")
    return tuple(steps)


def value_at(document: Any, steps: tuple[Step, ...]) -> Any:
    """MISSING where a step leads nowhere. After `[:]` the values of all items that have one."""
    value = document
    for number, step in enumerate(steps):
        if isinstance(step, slice):
            if not isinstance(value, list):
                return value if value is None or number + 1 == len(steps) else MISSING
            rest = steps[number + 1 :]
            found = [value_at(item, rest) for item in value]
            return [item for item in found if item is not MISSING]
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return MISSING
        elif not isinstance(value, list) or step >= len(value):
            return MISSING
        value = value[step]
    return value

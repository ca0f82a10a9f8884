"""What one template may use, so that no text and no value can hold the server."""

from __future__ import annotations

from birdhouse.errors import TemplateError

TEMPLATE_LENGTH_MAX = 500_000
"""Characters of a template's text."""
TEMPLATE_DEPTH_MAX = 50
"""Blocks within blocks."""
EXPRESSION_DEPTH_MAX = 200
"""Levels of one expression's syntax tree."""
CACHED_TEMPLATES_MAX = 1024
LOOP_ITERATIONS_MAX = 100_000
"""Turns of all loops and comprehensions of one rendering together."""
OUTPUT_LENGTH_MAX = 4_000_000
"""Characters of rendered SQL."""
VALUE_LENGTH_MAX = 1_000_000
"""Characters of a text, items of a list with everything inside it."""
ALLOCATION_MAX = 30_000_000
"""Characters and items of all large values that one rendering builds together."""
SMALL_VALUE_LENGTH = 1000
"""Values up to this long are not counted: loops and the template's length bound their number."""
INTEGER_BITS_MAX = 1024
RENDER_SECONDS_MAX = 2.0
FORMAT_WIDTH_MAX = 100
"""Characters that a padding method or an f-string format may ask for."""


class TemplateLimit(TemplateError):
    """The template uses more than a template may."""

    def __init__(self, what: str, limit: object) -> None:
        super().__init__(f"The template {what}", detail=f"(limit: {limit})", hint="Make it do less.")


def check_length(length: int) -> None:
    if length > VALUE_LENGTH_MAX:
        raise TemplateLimit("builds a value that is too large", VALUE_LENGTH_MAX)


def weigh(value: object) -> None:
    """Refuses a container whose whole tree is too large to print or compare, or that has no end."""
    if not isinstance(value, (list, tuple, dict, set)):
        return
    seen = 0
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item)
            waiting.extend(item.values())
            seen += len(item)
        elif isinstance(item, (list, tuple, set)):
            waiting.extend(item)
            seen += len(item)
        elif isinstance(item, str):
            seen += len(item)
        seen += 1
        check_length(seen)

"""The state of one rendering: names, output, side channels and what is left of the budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from birdhouse.language.template.limits import (
    ALLOCATION_MAX,
    LOOP_ITERATIONS_MAX,
    OUTPUT_LENGTH_MAX,
    RENDER_SECONDS_MAX,
    SMALL_VALUE_LENGTH,
    TemplateLimit,
)
from birdhouse.language.template.literals import Placeholder
from birdhouse.language.template.slots import Slots


@dataclass(frozen=True, slots=True)
class Hints:
    """What the template asked of the query engine."""

    max_threads: int | None = None
    backend_hint: str | None = None
    cache_ttl: str | None = None
    """One of 5s, 1m, 5m, 30m, 1h."""
    activate: frozenset[str] = field(default_factory=frozenset)
    disable: frozenset[str] = field(default_factory=frozenset)


class Run:
    """Closures of a parsed template read and write this, never the template."""

    __slots__ = (
        "allocated",
        "check",
        "deadline",
        "hints",
        "iterations",
        "missing_secrets",
        "names",
        "out",
        "query_parameters",
        "secrets",
        "size",
        "slots",
    )

    def __init__(
        self, names: dict[str, Any], secrets: Mapping[str, str], check: bool, slots: Slots | None = None
    ) -> None:
        self.names = names
        self.secrets = secrets
        self.check = check
        self.slots = slots
        self.out: list[str] = []
        self.size = 0
        self.iterations = 0
        self.allocated = 0
        self.deadline = perf_counter() + RENDER_SECONDS_MAX
        self.hints: dict[str, Any] | None = None
        self.query_parameters: dict[str, str] = {}
        self.missing_secrets: set[str] = set()

    def missing(self, name: str, line: int) -> Placeholder | None:
        return Placeholder(name, line) if self.check else None

    def write(self, text: str) -> None:
        self.size += len(text)
        if self.size > OUTPUT_LENGTH_MAX:
            raise TemplateLimit("writes too much SQL", OUTPUT_LENGTH_MAX)
        self.out.append(text)

    def turn(self) -> None:
        """Called once for every turn of a loop."""
        self.iterations += 1
        if self.iterations > LOOP_ITERATIONS_MAX:
            raise TemplateLimit("loops too often", LOOP_ITERATIONS_MAX)
        self.check_time()

    def built(self, value: Any) -> Any:
        """Gives the value back, counted: many large values together are too much where each alone is not."""
        if isinstance(value, (str, list, tuple, set, dict)) and len(value) > SMALL_VALUE_LENGTH:
            self.allocated += len(value)
            if self.allocated > ALLOCATION_MAX:
                raise TemplateLimit("builds too many large values", ALLOCATION_MAX)
        return value

    def check_time(self) -> None:
        if perf_counter() > self.deadline:
            raise TemplateLimit("takes too long to render", f"{RENDER_SECONDS_MAX} s")

    def hint(self, name: str, value: Any) -> None:
        if self.hints is None:
            self.hints = {}
        if name in ("activate", "disable"):
            value = self.hints.get(name, frozenset()) | {value}
        self.hints[name] = value

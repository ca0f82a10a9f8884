"""Values to try a template with: what it declares itself, as defaults and as examples of its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from birdhouse.language.template.parameters import Parameter, merged


@dataclass(frozen=True, slots=True)
class Trial:
    """`title` says in words what is given."""

    title: str
    values: Mapping[str, str]


def trials(parameters: Iterable[Parameter]) -> list[Trial]:
    """Every default given by name, which `defined()` can see; then every example."""
    declared = merged(parameters)
    defaults = {each.name: _text(each.default) for each in declared if each.default is not None}
    examples = {each.name: _text(each.example) for each in declared if each.example is not None}
    found = [Trial(f"with the defaults of {', '.join(defaults)} given", defaults)] if defaults else []
    if examples:
        found.append(Trial(f"with the examples of {', '.join(examples)} given", examples))
    return found


def _text(value: Any) -> str:
    """As it stands in a URL."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list | tuple):
        return ",".join(_text(each) for each in value)
    return str(value)

"""Every template function by name: the table to add a new one to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from birdhouse.language.template.conditions import CONDITION_FUNCTIONS, ERROR_FUNCTIONS
from birdhouse.language.template.dates import DATE_FUNCTIONS
from birdhouse.language.template.hints import HINT_FUNCTIONS
from birdhouse.language.template.names import NAME_FUNCTIONS
from birdhouse.language.template.values import VALUE_FUNCTIONS

PURE_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **VALUE_FUNCTIONS,
    **NAME_FUNCTIONS,
    **CONDITION_FUNCTIONS,
    **DATE_FUNCTIONS,
}
"""Functions of their arguments alone."""

RUN_FUNCTIONS: dict[str, Callable[..., Any]] = {**ERROR_FUNCTIONS, **HINT_FUNCTIONS}
"""Functions that take the rendering as their first argument."""

FUNCTION_NAMES = frozenset(PURE_FUNCTIONS) | frozenset(RUN_FUNCTIONS)

"""The functions that say something beside the SQL: query hints and secrets."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from birdhouse.language.template.literals import Sql, Symbol, syntax_error
from birdhouse.language.template.run import Run

CACHE_TTLS = ("5s", "1m", "5m", "30m", "1h")
ACTIVATABLE = ("analyzer", "parallel_replicas", "optimize_aggregation_in_order")
DISABLEABLE = ("analyzer",)
COMMENT_LENGTH_MAX = 200
"""Characters of a value shown in a hint's comment."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _comment(name: str, value: Any) -> Sql:
    # A line break in a value would end the comment and turn the rest of it into SQL.
    return Sql(f"-- {name} {_CONTROL.sub(' ', str(value))[:COMMENT_LENGTH_MAX]}\n")


def max_threads(run: Run, x: Any) -> Sql:
    try:
        run.hint("max_threads", int(x))
    except (TypeError, ValueError):
        return _comment("max_threads: wrong argument", x)
    return _comment("max_threads", x)


def backend_hint(run: Run, hint: Any) -> Sql:
    run.hint("backend_hint", None if hint is None or hint is False else str(hint))
    return _comment("backend_hint", hint)


def cache_ttl(run: Run, ttl_expression: Any) -> Sql:
    if ttl_expression not in CACHE_TTLS:
        raise syntax_error(f"Invalid TTL cache expression, valid expressions are {CACHE_TTLS}")
    run.hint("cache_ttl", ttl_expression)
    return _comment("cache_ttl", ttl_expression)


def activate(run: Run, feature: Any) -> Sql:
    if feature not in ACTIVATABLE:
        raise syntax_error(f"'{feature}' is not a valid 'activate' argument")
    run.hint("activate", feature)
    return _comment("activate", feature)


def disable(run: Run, feature: Any) -> Sql:
    if feature not in DISABLEABLE:
        raise syntax_error(f"'{feature}' is not a valid 'disable' argument")
    run.hint("disable", feature)
    return _comment("disable", feature)


def tb_secret(run: Run, x: Any, default: Any = None) -> Any:
    """A query parameter: the secret's value travels beside the SQL and is never part of it."""
    name = str(x)
    if _SECRET_NAME.fullmatch(name):
        if name in run.secrets:
            run.query_parameters[name] = run.secrets[name]
            return Symbol("{" + name + ": String}")
        if default is None and run.check:
            run.missing_secrets.add(name)
            return Symbol("{" + name + ": String}")
    if default is not None:
        return default
    raise syntax_error(
        f"Cannot access secret '{name}'. Check the secret exists in the Workspace and the token has the required scope."
    )


HINT_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "max_threads": max_threads,
    "backend_hint": backend_hint,
    "cache_ttl": cache_ttl,
    "activate": activate,
    "disable": disable,
    "tb_secret": tb_secret,
    "tb_var": tb_secret,
}

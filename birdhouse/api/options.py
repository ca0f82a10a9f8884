"""Splits the parameters of a query request into the template's own and the options of the request."""

from __future__ import annotations

from collections.abc import Mapping

from birdhouse.api.call import TRUE_WORDS
from birdhouse.errors import InvalidParameter
from birdhouse.query.run import OUTPUT_SETTINGS, Request

RESERVED = frozenset(
    {
        "token", "q", "format", "explain", "pipeline", "playground", "release_replacements", "finalize_aggregations",
        "cli_version", "debug", "debug_source_tables", "query_id", "tag", "template_parameters", "pipe_checker",
        "__tb__semver", "__tb__deployment", *OUTPUT_SETTINGS,
    }
)  # fmt: skip
"""Names that mean something to the server; a template never sees them."""


def query_request(values: Mapping[str, str]) -> Request:
    settings = {name: _zero_or_one(name, values[name]) for name in OUTPUT_SETTINGS if name in values}
    return Request(
        parameters={name: value for name, value in values.items() if name not in RESERVED},
        q=values.get("q"),
        explain=values.get("explain", "").lower() in TRUE_WORDS,
        settings=settings,
    )


def _zero_or_one(name: str, value: str) -> int:
    if value.lower() not in {*TRUE_WORDS, "0", "false", "no", "off"}:
        raise InvalidParameter(f"'{name}' must be 0 or 1, not '{value}'")
    return int(value.lower() in TRUE_WORDS)

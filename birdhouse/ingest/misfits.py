"""What is in a quarantine, summed up."""

from __future__ import annotations

from typing import Any

import orjson

from birdhouse.catalog.resources import DataSource
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Lane, Query, quote_identifier, quote_string
from birdhouse.ingest.quarantine import ingested

GROUPS_MAX = 100


async def misfit_groups(engine: Engine, datasource: DataSource) -> list[dict[str, Any]]:
    """What is in quarantine, by columns and kinds of reason, the largest group first; each with one row as it came.

    Reasons that differ in the value alone are of one kind.
    """
    sql = f"""
        SELECT c__error_column AS columns, arrayMap(each -> replaceRegexpOne(each, {_VALUE}, {_ANY}), c__error)
            AS reasons, count() AS rows, min(insertion_date) AS first, max(insertion_date) AS last,
            any(c__error) AS example_errors, any(map({_pairs(datasource)})) AS example
        FROM {datasource.quarantine} GROUP BY columns, reasons ORDER BY rows DESC, columns, reasons LIMIT {GROUPS_MAX}
    """
    found = await engine.select(Query(sql, "JSONEachRow", lane=Lane.CONTROL))
    return [orjson.loads(line) for line in found.body.splitlines()]


_VALUE = quote_string(
    r"^(Value|Invalid value|value|The line is not a JSON object:) (?s:.*?)( out of | for type | is |$)"
)
_ANY = quote_string(r"\1 …\2")


def _pairs(datasource: DataSource) -> str:
    names = [each.name for each in ingested(datasource.definition.columns)]
    return ", ".join(f"{quote_string(name)}, {quote_identifier(name)}" for name in names)

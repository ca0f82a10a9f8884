"""`birdhouse backup check DATASOURCE BACKUP`: whether a data source and the one that mirrors it hold the same."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from birdhouse.cli import output
from birdhouse.cli.servers import DEFAULT_HOST, HostOption, TokenOption, server_at
from birdhouse.client import Client
from birdhouse.engine.types import quote_identifier

DIFFERING_SHOWN_MAX = 20
ATTEMPTS_MAX = 3
AGAIN_SECONDS = 1.0
"""Rows that have just come into one of the two have reached the other by then."""

FINGERPRINT = "fingerprint"
"""Of all ids together: equal counts of different ids are not the same."""

_FINAL = ("Replacing", "Summing", "Aggregating", "Collapsing", "VersionedCollapsing")
"""Engines that merge rows of one key; of others every row counts."""


def check(
    name: Annotated[str, typer.Argument(help="The data source.")],
    backup: Annotated[str, typer.Argument(help="The data source that a view mirrors it into.")],
    key: Annotated[str, typer.Option(help="The column that tells rows apart.")] = "id",
    host: HostOption = DEFAULT_HOST,
    token: TokenOption = "",
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Compare a data source with its backup: distinct ids and deduplicated rows. Exit 0 when they agree, else 1.

    Example: birdhouse backup check activities activities_backup
    """
    with server_at(host, token).client() as client:
        found = compared(client, name, backup, key)
    if json:
        output.as_json(found)
    else:
        _show(found)
    if not found["consistent"]:
        raise typer.Exit(1)


def compared(client: Client, name: str, backup: str, key: str) -> dict[str, Any]:
    """What the four queries give, and at most 20 of the ids that differ. A difference has to last to count."""
    sources = [_source(client, each) for each in (name, backup)]
    for attempt in range(ATTEMPTS_MAX):
        if attempt:
            time.sleep(AGAIN_SECONDS)
        counts = _counted(client, sources, key)
        is_same = all(counts[each] == counts[f"backup_{each}"] for each in ("ids", "rows", FINGERPRINT))
        differing = [] if is_same else client.sql(_differing(sources, key))
        if is_same:
            break
    return {
        "datasource": name,
        "backup": backup,
        "key": key,
        **{each: count for each, count in counts.items() if FINGERPRINT not in each},
        "consistent": is_same,
        "differing": differing[:DIFFERING_SHOWN_MAX],
        "more_differ": len(differing) > DIFFERING_SHOWN_MAX,
    }


def _source(client: Client, name: str) -> str:
    engine = str(client.datasource(name)["engine"]["engine"])
    return f"{quote_identifier(name)}{' FINAL' if engine.startswith(_FINAL) else ''}"


def _counted(client: Client, sources: list[str], key: str) -> dict[str, int]:
    """In one query, so that little happens between the counts."""
    column = quote_identifier(key)
    counts = []
    for prefix, source in zip(("", "backup_"), sources, strict=True):
        plain = source.removesuffix(" FINAL")
        counts += [
            f"(SELECT uniqExact({column}) FROM {plain}) AS {prefix}ids",
            f"(SELECT count() FROM {source}) AS {prefix}rows",
            f"(SELECT sum(cityHash64({column})) FROM {source}) AS {prefix}{FINGERPRINT}",
        ]
    (row,) = client.sql(f"SELECT {', '.join(counts)}")
    return {name: int(value) for name, value in row.items()}


def _differing(sources: list[str], key: str) -> str:
    column = quote_identifier(key)
    each = [
        f"SELECT {column} AS {column}, {side} AS rows, {other} AS backup_rows FROM {source} GROUP BY {column}"
        for source, side, other in zip(sources, ("count()", "0"), ("0", "count()"), strict=True)
    ]
    return (
        f"SELECT toString({column}) AS id, sum(rows) AS rows, sum(backup_rows) AS backup_rows FROM "
        f"({' UNION ALL '.join(each)}) GROUP BY {column} HAVING rows != backup_rows "
        f"ORDER BY {column} LIMIT {DIFFERING_SHOWN_MAX + 1}"
    )


def _show(found: dict[str, Any]) -> None:
    rows = [
        (found[name], found[f"{prefix}ids"], found[f"{prefix}rows"])
        for name, prefix in (("datasource", ""), ("backup", "backup_"))
    ]
    distinct, deduplicated = f"distinct {found['key']}", "rows, deduplicated"
    output.table(("data source", distinct, deduplicated), rows, numbers=(distinct, deduplicated))
    if found["consistent"]:
        output.done(f"{found['backup']} is consistent with {found['datasource']}")
        return
    output.wrong(f"{found['backup']} is not consistent with {found['datasource']}")
    for each in found["differing"]:
        output.line(
            f"  {each['id']}: {each['rows']} in {found['datasource']}, {each['backup_rows']} in {found['backup']}"
        )
    if found["more_differ"]:
        output.line(f"  and others; {DIFFERING_SHOWN_MAX} are shown")

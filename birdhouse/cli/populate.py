"""`birdhouse populate PIPE`"""

from __future__ import annotations

from typing import Annotated

import typer

from birdhouse.cli import output
from birdhouse.cli.jobs import ended
from birdhouse.cli.servers import DEFAULT_HOST, HostOption, TokenOption, server_at


def populate(
    pipe: Annotated[str, typer.Argument(help="A pipe with a materialized view.")],
    truncate: Annotated[
        bool, typer.Option("--truncate", help="In place of the rows of the target, not beside them.")
    ] = False,
    condition: Annotated[str, typer.Option(help="Only rows of the source for which this SQL holds.")] = "",
    subset: Annotated[float | None, typer.Option(help="Only that part of the rows of the source, for a try.")] = None,
    missed: Annotated[
        bool, typer.Option("--missed", help="Only rows that were kept for the view because it had failed on them.")
    ] = False,
    host: HostOption = DEFAULT_HOST,
    token: TokenOption = "",
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Run a materialized view over the rows its source has, and wait until they are in the target.

    Example: birdhouse populate orders_per_day_view --truncate
    """
    options = {"truncate": truncate, "missed": missed, "populate_condition": condition, "populate_subset": subset}
    with server_at(host, token).client() as client:
        job = ended(client, client.populate(pipe, options), f"Populating {pipe}")
    if json:
        output.as_json(job)
        return
    rows = job["statistics"]["row_count"]
    output.done(f"{pipe}: {rows:,} row{'' if rows == 1 else 's'} into {job['datasource']['name']}")

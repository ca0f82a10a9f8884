"""Who reads a data source in other workspaces: what must be known before it goes."""

from __future__ import annotations

from collections.abc import Iterable

from birdhouse.catalog import lineage
from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.resources import DataSource, Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.errors import InUse


def readers_elsewhere(catalog: Catalog, datasource: DataSource, workspaces: Iterable[Workspace]) -> list[str]:
    """Pipes of these workspaces and of their branches that read it, as `workspace.pipe`."""
    ids = {each.id for each in workspaces}
    return sorted(
        f"{reader.name}.{pipe.name}"
        for reader in catalog.workspaces()
        if reader.id in ids or reader.main_id in ids
        for pipe in _pipes_reading(reader, datasource)
    )


def refuse_while_read_elsewhere(
    catalog: Catalog, datasource: DataSource, deed: str, workspaces: Iterable[Workspace] | None = None
) -> None:
    """Raises InUse, naming the pipes. Without `workspaces` it is about all that it is shared with."""
    pipes = readers_elsewhere(catalog, datasource, catalog.readers_of(datasource) if workspaces is None else workspaces)
    if pipes:
        raise InUse(
            f"The Data Source '{datasource.name}' cannot be {deed}: pipes of other workspaces read it: "
            f"{', '.join(pipes)}",
            hint="Delete or change those pipes first.",
        )


def _pipes_reading(workspace: Workspace, datasource: DataSource) -> list[Pipe]:
    found = workspace.find_shared(datasource.id)
    return [] if found is None else [pipe for pipe in workspace.pipes() if found[0] in lineage.sources(pipe.definition)]

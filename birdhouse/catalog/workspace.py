"""A workspace at one moment: an immutable set of resources, found by name or id."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from typing import Any

from birdhouse.catalog.connection import Connection
from birdhouse.catalog.resources import QUARANTINE_SUFFIX, DataSource, Pipe, Resource
from birdhouse.engine.types import TableName
from birdhouse.errors import Conflict, NotFound

SERVICE_DATABASE = "tinybird"
"""The namespace of the service data sources, as users write it: `tinybird.pipe_stats_rt`."""

LIKELY_NAMES = 8

MAIN_DATABASE = "main"
"""The namespace of the main workspace's data sources, as the user of a branch writes it: `main.page_views`."""


@dataclass(frozen=True)
class Workspace:
    """Every change makes a new value with a higher `version`, so that what was derived from one stays true to it."""

    id: str
    name: str
    database: str
    resources: Mapping[str, Resource] = field(default_factory=dict)
    """By name. Data sources and pipes share one namespace."""
    version: int = 0
    connections: Mapping[str, Connection] = field(default_factory=dict)
    """By name: how the workspace reaches services outside."""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Secrets, name to value: for templates, never for an answer."""
    main_id: str | None = None
    """The workspace that this one is a branch of."""
    shared: Mapping[str, DataSource] = field(default_factory=dict)
    """Data sources of other workspaces that this one may read, by `origin.name`."""

    @cached_property
    def by_id(self) -> Mapping[str, Resource]:
        return {resource.id: resource for resource in self.resources.values()}

    @cached_property
    def derived(self) -> dict[str, Any]:
        """What has been found out about this value and is asked again and again; it goes with the value."""
        return {}

    def find(self, name_or_id: str) -> Resource | None:
        return self.resources.get(name_or_id) or self.by_id.get(name_or_id)

    def datasource(self, name_or_id: str) -> DataSource:
        """One of its own. Raises Conflict for a shared one, NotFound, naming the nearest, for one that is not there."""
        found = self.find(name_or_id)
        if isinstance(found, DataSource):
            return found
        if self.find_shared(name_or_id) is not None:
            raise Conflict(
                f"The Data Source '{name_or_id}' is shared with this workspace and can only be read here",
                hint="Change it in the workspace that it belongs to.",
            )
        raise NotFound(f"Data Source '{name_or_id}' not found", hint=self.nearest(name_or_id, self.datasources()))

    def find_shared(self, name_or_id: str) -> tuple[str, DataSource] | None:
        """With the name that it has here."""
        return next((each for each in self.shared.items() if name_or_id in (each[0], each[1].id)), None)

    def pipe(self, name_or_id: str) -> Pipe:
        """Raises NotFound, naming the nearest pipe."""
        found = self.find(name_or_id)
        if isinstance(found, Pipe):
            return found
        raise NotFound(f"Pipe '{name_or_id}' not found", hint=self.nearest(name_or_id, self.pipes()))

    def datasources(self) -> Iterator[DataSource]:
        return (each for each in self.resources.values() if isinstance(each, DataSource))

    def pipes(self) -> Iterator[Pipe]:
        return (each for each in self.resources.values() if isinstance(each, Pipe))

    def writers(self, datasource: str) -> tuple[Pipe, ...]:
        """The materialized and copy pipes whose target is the data source of that name."""
        return tuple(pipe for pipe in self.pipes() if pipe.target == datasource)

    def quarantine_of(self, name: str) -> TableName | None:
        """The table behind `NAME_quarantine`, when NAME is a data source."""
        if not name.endswith(QUARANTINE_SUFFIX):
            return None
        found = self.resources.get(name.removesuffix(QUARANTINE_SUFFIX))
        return found.quarantine if isinstance(found, DataSource) else None

    def name_of(self, table: TableName) -> str:
        """What people call a physical table of the workspace; the physical name for one that it does not know."""
        found = self.by_id.get(table.table.removesuffix(QUARANTINE_SUFFIX))
        if not isinstance(found, DataSource):
            return table.table
        return found.name if found.table == table else f"{found.name}{QUARANTINE_SUFFIX}"

    def hint_for_unknown(self, name: str) -> str:
        """What may have been meant by a name that a query reads and that nothing has here; may be empty."""
        origin, dot, table = name.partition(".")
        near = difflib.get_close_matches(name, self.shared, n=1)
        likely = f"Did you mean '{near[0]}'?" if near else self.nearest(name, self.resources.values())
        if not dot or near:
            return likely
        lent = (
            f"One of the workspace '{origin}' can be read once it is shared: tb datasource share {table} {self.name}."
        )
        return f"{likely} {lent}".strip()

    def with_changes(self, saved: Iterable[Resource] = (), deleted_ids: Iterable[str] = ()) -> Workspace:
        gone = set(deleted_ids)
        saved = tuple(saved)
        changed = gone | {resource.id for resource in saved}
        kept = {name: each for name, each in self.resources.items() if each.id not in changed}
        for resource in saved:
            if resource.id not in gone:
                kept[resource.name] = resource
        return replace(self, resources=kept, version=self.version + 1)

    @staticmethod
    def nearest(name: str, among: Iterable[Resource]) -> str:
        """A hint that names the resource whose name is most like `name`, or an empty text."""
        likely = heapq.nlargest(LIKELY_NAMES, (each.name for each in among), key=partial(_parts_shared, name))
        near = difflib.get_close_matches(name, likely, n=1)
        return f"Did you mean '{near[0]}'?" if near else ""


def _parts_shared(name: str, other: str) -> float:
    """From 0 to 1: tells the few names that are worth a comparison letter by letter, at a tenth of its price."""
    ours, theirs = _parts(name), _parts(other)
    return 2 * len(ours & theirs) / (len(ours) + len(theirs))


@lru_cache(maxsize=4096)
def _parts(name: str) -> frozenset[str]:
    """Its pairs of letters that stand side by side, and its ends."""
    whole = f" {name.lower()} "
    return frozenset(map("".join, pairwise(whole)))

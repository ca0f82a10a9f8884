"""Where rows go: the tables of a data source and the columns they fit into."""

from __future__ import annotations

from dataclasses import dataclass

from birdhouse.engine.types import TableName
from birdhouse.language.datafile.model import Column


@dataclass(frozen=True, slots=True)
class Target:
    """`name` is what people call the data source; it stands in messages."""

    table: TableName
    quarantine: TableName
    columns: tuple[Column, ...]
    name: str

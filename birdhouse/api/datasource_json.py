"""Data sources on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from birdhouse.api.parts import Parts
from birdhouse.catalog import lineage
from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import wire_time
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query, quote_string
from birdhouse.language.datafile.model import Column, DataSourceDefinition, DefaultKind, Index
from birdhouse.language.datafile.schema import format_column

WITHOUT_ROWS = frozenset({"Null", "Join"})
"""Engines that the statistics of a table say nothing about."""

Size = Mapping[str, int | None]
NO_SIZE: Size = {"row_count": None, "bytes": None}
_NONE: Mapping[str, DataSource] = {}


async def datasource_list(
    parts: Parts, workspace: Workspace, datasources: Iterable[DataSource], shared: Mapping[str, DataSource] = _NONE
) -> list[dict[str, Any]]:
    """Data sources of the workspace, then those shared with it, with the sizes of all of them."""
    chosen = list(datasources)
    sizes = await _sizes(parts.engine, [*chosen, *shared.values()])
    users = _users(workspace)
    own = [
        {
            **datasource_json(each.name, each, sizes.get(each.id, NO_SIZE), users.get(each.name, [])),
            "connector": _connector(workspace, each),
            "shared_with": sorted(reader.id for reader in parts.catalog.readers_of(each)),
        }
        for each in chosen
    ]
    return own + [
        datasource_json(name, each, sizes.get(each.id, NO_SIZE), users.get(name, [])) for name, each in shared.items()
    ]


async def datasource_of(parts: Parts, workspace: Workspace, datasource: DataSource) -> dict[str, Any]:
    return (await datasource_list(parts, workspace, [datasource]))[0]


def datasource_json(name: str, datasource: DataSource, size: Size, used_by: list[dict[str, str]]) -> dict[str, Any]:
    """`push --force` compares `description`, `engine.ttl`, `schema.sql_schema`, `indexes` and `tags` with its file."""
    definition = datasource.definition
    return {
        "id": datasource.id,
        "name": name,
        "description": definition.description,
        "type": _type(definition),
        "service": _service(definition),
        "connector": None,
        "cluster": None,
        "version": definition.version or 0,
        "tags": dict(definition.options),
        "created_at": wire_time(datasource.created_at),
        "updated_at": wire_time(datasource.updated_at),
        "replicated": False,
        "statistics": dict(size),
        "shared_with": [],
        "headers": {},
        "engine": _engine(definition),
        "schema": {"sql_schema": sql_schema(definition.columns)},
        "indexes": [_index(index) for index in definition.indexes],
        "columns": [_column(column) for column in definition.columns],
        "used_by": used_by,
        "errors_discarded_at": None,
        "new_columns_detected": {},
    }


def _connector(workspace: Workspace, datasource: DataSource) -> str | None:
    """The id of the connection that it reads through, as far as that exists."""
    definition = datasource.definition
    name = definition.kafka.get("kafka_connection_name") or definition.imports.get("import_connection_name")
    found = workspace.connections.get(name or "")
    return found.id if found else None


def sql_schema(columns: Iterable[Column]) -> str:
    """The one-line form that the client pushes and compares; it writes `materialized` in lower case."""
    return ",".join(_sql_column(column) for column in columns)


def _sql_column(column: Column) -> str:
    text = format_column(column)
    if column.default_kind is not DefaultKind.MATERIALIZED:
        return text
    return text.replace(f" {DefaultKind.MATERIALIZED} ", " materialized ", 1)


def _type(definition: DataSourceDefinition) -> str:
    is_ndjson = any(column.jsonpath is not None for column in definition.columns)
    return _service(definition) or ("ndjson" if is_ndjson else "csv")


def _service(definition: DataSourceDefinition) -> str:
    return "kafka" if definition.kafka else definition.imports.get("import_service", "")


def _engine(definition: DataSourceDefinition) -> dict[str, str]:
    if definition.engine is None:
        return {"engine": "MergeTree"}
    return {"engine": definition.engine.name, **definition.engine.options}


def _index(index: Index) -> dict[str, str | None]:
    """Exactly these four keys: the client compares them as dictionaries."""
    return {
        "name": index.name,
        "expr": index.expression,
        "type_full": index.type,
        "granularity": None if index.granularity is None else str(index.granularity),
    }


def _column(column: Column) -> dict[str, Any]:
    default = f"{column.default_kind} {column.default}" if column.default_kind else None
    return {
        "name": column.name,
        "normalized_name": column.name,
        "type": column.type,
        "nullable": column.type.startswith(("Nullable(", "LowCardinality(Nullable(")),
        "jsonpath": column.jsonpath,
        "default_value": default,
        "codec": column.codec,
        "auto": False,
    }


def _users(workspace: Workspace) -> dict[str, list[dict[str, str]]]:
    """Which pipes read each data source, found in one walk over the pipes."""
    users: dict[str, list[dict[str, str]]] = {}
    for pipe in workspace.pipes():
        names = {read.name for read in lineage.reads(workspace, pipe)}
        if workspace.shared:
            names |= lineage.sources(pipe.definition) & workspace.shared.keys()
        for name in sorted(names):
            users.setdefault(name, []).append({"id": pipe.id, "name": pipe.name})
    return users


async def _sizes(engine: Engine, datasources: list[DataSource]) -> dict[str, Size]:
    counted = [each for each in datasources if _engine(each.definition)["engine"] not in WITHOUT_ROWS]
    found: dict[str, Size] = {}
    for database in sorted({each.database for each in counted}):
        found |= await _sizes_in(engine, database, [each for each in counted if each.database == database])
    return found


async def _sizes_in(engine: Engine, database_name: str, counted: list[DataSource]) -> dict[str, Size]:
    database = quote_string(database_name)
    # The names only narrow a short list: a long one is cheaper to read whole than to compare.
    names = f" AND name = {quote_string(counted[0].id)}" if len(counted) == 1 else ""
    result = await engine.select(
        Query(
            "SELECT name, ifNull(total_rows, 0), ifNull(total_bytes, 0) FROM system.tables "
            f"WHERE database = {database}{names}",
            "JSONCompactEachRow",
        )
    )
    rows = {row[0]: row for row in map(orjson.loads, result.body.splitlines())}
    found = {each.id: rows[each.id] for each in counted if each.id in rows}
    return {name: {"row_count": int(row[1]), "bytes": int(row[2])} for name, row in found.items()}

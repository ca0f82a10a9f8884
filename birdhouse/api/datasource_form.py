"""Data sources as a form describes them: `schema`, `engine_*`, `indexes`, …; and back to their one form, a datafile."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from birdhouse.api.call import required
from birdhouse.api.pipe_json import engine_of
from birdhouse.catalog.connection import KAFKA, without_credentials
from birdhouse.catalog.workspace import Workspace
from birdhouse.deploy.draft import Desired
from birdhouse.errors import DatafileError, InvalidParameter, NotFound
from birdhouse.language.datafile.format import format_datasource
from birdhouse.language.datafile.model import DataSourceDefinition, Index, TableEngine
from birdhouse.language.datafile.parse import normal_description, parse_datasource
from birdhouse.language.datafile.schema import parse_indexes, parse_schema

RAW_MESSAGES = (
    "`__topic` LowCardinality(String), `__partition` Int16, `__offset` Int64, `__timestamp` DateTime, "
    "`__key` String, `__value` String"
)
"""The columns of a Kafka data source that names none."""
RAW_MESSAGES_ENGINE = TableEngine("MergeTree", {"partition_key": "toYYYYMM(__timestamp)", "sorting_key": "__timestamp"})

_IMPORTS = {
    "service": "import_service",
    "mode": "import_strategy",
    "connection": "import_connection_name",
    "cron": "import_schedule",
    "query": "import_query",
    "external_data_source": "import_external_datasource",
    "bucket_uri": "import_bucket_uri",
    "from_time": "import_from_timestamp",
    "dynamodb_table_arn": "import_table_arn",
    "dynamodb_export_bucket": "import_export_bucket",
}
_OWN_KEYS = frozenset(
    {
        "name", "description", "schema", "format", "engine", "indexes", "indexes_list", "tags", "branch_mode",
        "connector", "token", "cli_version", "version", "ingest_now", "debug", "dry", "dry_run", "attrs", "url",
        "progress", "jsonpaths", "type_guessing", "replace_condition", "skip_incompatible_partition_key", "force",
        *_IMPORTS,
    }
)  # fmt: skip
_OWN_PREFIXES = ("engine_", "kafka_", "dialect_", "__tb__")
_OPTION = re.compile(r"\w+")
_NOT_IN_OPTION = re.compile(r"[&=,\"'\s]")


def definition_of(values: Mapping[str, str]) -> DataSourceDefinition:
    """The data source that the form of a create call describes. Raises InvalidParameter or DatafileError."""
    name = required(values.get("name"), "name")
    tags, tag_options = _tags(values.get("tags", ""))
    service = values.get("service", "").lower()
    imported = service and service != KAFKA
    is_raw = service == KAFKA and not values.get("schema")
    columns = parse_schema(RAW_MESSAGES if is_raw else required(values.get("schema"), "schema"))
    return DataSourceDefinition(
        name=name,
        columns=columns,
        description=normal_description(values.get("description", "")),
        indexes=parse_indexes(values.get("indexes", "")),
        engine=engine_of(values) or (RAW_MESSAGES_ENGINE if is_raw else None),
        tags=tags,
        options=tag_options | options_of(values),
        kafka=without_credentials({key: value for key, value in values.items() if key.startswith("kafka_")}),
        imports={into: values[key] for key, into in _IMPORTS.items() if values.get(key)} if imported else {},
    )


def connected(values: Mapping[str, str], workspace: Workspace) -> dict[str, str]:
    """The form with the service and the name of the connection that `connector` names or identifies."""
    wanted = values.get("connector")
    if not wanted:
        return dict(values)
    found = next((each for each in workspace.connections.values() if wanted in (each.name, each.id)), None)
    if found is None and (values.get("kafka_connection_name") or values.get("connection")):
        return dict(values)  # it may come later
    if found is None:
        raise NotFound(f"Connection '{wanted}' not found", hint="tb connection ls shows those there are.")
    named = {"kafka_connection_name": found.name} if found.service == KAFKA else {"connection": found.name}
    return {"service": found.service, **named, **values}


def import_settings(imports: Mapping[str, str]) -> dict[str, str]:
    """The IMPORT_ lines, named as in the form."""
    return {key: imports[into] for key, into in _IMPORTS.items() if into in imports}


def altered(definition: DataSourceDefinition, values: Mapping[str, str]) -> DataSourceDefinition:
    """The definition with what an alter call names; `ttl=false` and `indexes=0` remove."""
    if values.get("schema"):
        definition = replace(definition, columns=parse_schema(values["schema"]))
    if "description" in values:
        definition = replace(definition, description=normal_description(values["description"]))
    if values.get("ttl"):
        definition = replace(definition, engine=_with_ttl(definition.engine, values["ttl"]))
    if values.get("indexes"):
        definition = replace(definition, indexes=_indexes(values["indexes"]))
    return definition


def updated(definition: DataSourceDefinition, values: Mapping[str, str]) -> DataSourceDefinition:
    """What an update call names. The client takes `backfill_column` away by sending nothing at all."""
    if "description" in values:
        definition = replace(definition, description=normal_description(values["description"]))
    imports = {into: values[key] for key, into in _IMPORTS.items() if values.get(key)}
    if imports and definition.imports:
        return replace(definition, imports={**definition.imports, **imports})
    kept = {key: value for key, value in definition.options.items() if key != "backfill_column"}
    return replace(definition, options={**kept, **options_of(values)})


def options_of(values: Mapping[str, str]) -> dict[str, str]:
    """The `k=v` entries of TAGS, which the client sends as fields of their own. Raises InvalidParameter."""
    found = {key: value for key, value in values.items() if key not in _OWN_KEYS and not key.startswith(_OWN_PREFIXES)}
    for key, value in found.items():
        if not _OPTION.fullmatch(key) or _NOT_IN_OPTION.search(value):
            raise InvalidParameter(f"The option '{key}={value}' cannot be written into TAGS of a datafile")
    return {key: value for key, value in found.items() if value}


def desired(definition: DataSourceDefinition) -> Desired:
    """The definition as its own datafile says it, with that text: what is stored is what was read from it."""
    text = format_datasource(definition)
    return Desired(parse_datasource(text, name=definition.name), text)


def _with_ttl(engine: TableEngine | None, ttl: str) -> TableEngine:
    engine = engine or TableEngine("MergeTree")
    options = {key: value for key, value in engine.options.items() if key != "ttl"}
    if ttl.lower() != "false":
        options["ttl"] = ttl
    return replace(engine, options=options)


def _indexes(text: str) -> tuple[Index, ...]:
    return () if text.strip() == "0" else parse_indexes(text)


def _tags(text: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """`a, b, k=v` as a TAGS line has it: the filtering tags and the options."""
    tags: dict[str, None] = {}
    options: dict[str, str] = {}
    for entry in filter(None, (" ".join(each.split()) for each in text.split(","))):
        for pair in entry.split("&") if "=" in entry else ():
            key, separator, value = pair.partition("=")
            if not separator or not _OPTION.fullmatch(key.strip()):
                raise DatafileError(f"'{pair}' of the tags is not key=value", hint="Write tags=key=value,tag.")
            options[key.strip()] = value.strip()
        if "=" not in entry:
            tags[entry] = None
    return tuple(tags), options

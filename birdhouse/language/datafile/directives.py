"""Every directive that a datafile knows, and the kinds of file it belongs to."""

from __future__ import annotations

import difflib
from enum import StrEnum


class FileKind(StrEnum):
    DATASOURCE = ".datasource"
    PIPE = ".pipe"
    TOKEN = ".token"


ENGINE_OPTIONS = (
    "partition_key",
    "sorting_key",
    "primary_key",
    "sampling_key",
    "ttl",
    "settings",
    "ver",
    "is_deleted",
    "columns",
    "sign",
    "version",
    "join_strictness",
    "join_type",
    "key_columns",
)

ENGINE = frozenset({"ENGINE", *(f"ENGINE_{option.upper()}" for option in ENGINE_OPTIONS)})

_KAFKA_WORDS = """
KAFKA_CONNECTION_NAME KAFKA_TOPIC KAFKA_GROUP_ID KAFKA_BOOTSTRAP_SERVERS KAFKA_KEY KAFKA_SECRET
KAFKA_SECURITY_PROTOCOL KAFKA_SASL_MECHANISM KAFKA_SASL_OAUTHBEARER_METHOD
KAFKA_SASL_OAUTHBEARER_AWS_REGION KAFKA_SASL_OAUTHBEARER_AWS_ROLE_ARN
KAFKA_SASL_OAUTHBEARER_AWS_EXTERNAL_ID KAFKA_SSL_CA_PEM KAFKA_SCHEMA_REGISTRY_URL
KAFKA_TARGET_PARTITIONS KAFKA_AUTO_OFFSET_RESET KAFKA_STORE_RAW_VALUE KAFKA_STORE_HEADERS
KAFKA_STORE_BINARY_HEADERS KAFKA_KEY_FORMAT KAFKA_VALUE_FORMAT KAFKA_KEY_AVRO_DESERIALIZATION
"""
KAFKA = frozenset(_KAFKA_WORDS.split())

_IMPORT_WORDS = """
IMPORT_SERVICE IMPORT_CONNECTION_NAME IMPORT_SCHEDULE IMPORT_STRATEGY IMPORT_EXTERNAL_DATASOURCE
IMPORT_BUCKET_URI IMPORT_FROM_TIMESTAMP IMPORT_QUERY IMPORT_TABLE_ARN IMPORT_EXPORT_BUCKET
"""
IMPORT = frozenset(_IMPORT_WORDS.split())

_EXPORT_IN_ORDER_WORDS = """
EXPORT_SERVICE EXPORT_CONNECTION_NAME EXPORT_SCHEDULE EXPORT_BUCKET_URI EXPORT_FILE_TEMPLATE
EXPORT_FORMAT EXPORT_COMPRESSION EXPORT_WRITE_STRATEGY EXPORT_STRATEGY EXPORT_KAFKA_TOPIC
"""
EXPORT_IN_ORDER = tuple(_EXPORT_IN_ORDER_WORDS.split())
STREAM_IN_ORDER = ("KAFKA_CONNECTION_NAME", "KAFKA_TOPIC")

IGNORED = frozenset({"MAINTAINER", "SOURCE", "FROM", "TEST"})
"""Accepted and not part of a definition: the official client does not send them either."""

IGNORED_KEYS = frozenset({"PARTITION_KEY", "SORTING_KEY", "PRIMARY_KEY", "SAMPLING_KEY", "TTL"})
"""The form before ENGINE_ existed; the official client reads these lines and sends nothing."""

RESOURCE = frozenset({"DESCRIPTION", "VERSION", "TOKEN", "TAGS", "INCLUDE"})

DATASOURCE = frozenset({"SCHEMA", "INDEXES", "INDICES", "SHARED_WITH"}) | ENGINE | KAFKA | IMPORT | IGNORED_KEYS

NODE = (
    frozenset({"SQL", "TYPE", "DATASOURCE", "TARGET_DATASOURCE", "COPY_SCHEDULE", "COPY_MODE", "MODE"})
    | frozenset({"ON_DEMAND_COMPUTE"})
    | frozenset(EXPORT_IN_ORDER)
    | frozenset(STREAM_IN_ORDER)
    | ENGINE
    | IGNORED_KEYS
)

TOKEN = frozenset({"DESCRIPTION", "INCLUDE", "SCOPE", "RESOURCE", "FILTER"})

OF_KIND: dict[FileKind, frozenset[str]] = {
    FileKind.DATASOURCE: RESOURCE | IGNORED | DATASOURCE,
    FileKind.PIPE: RESOURCE | IGNORED | NODE | {"NODE"},
    FileKind.TOKEN: TOKEN | IGNORED,
}

DIRECTIVES = frozenset().union(*OF_KIND.values()) | {"SETTINGS"}
"""The words that end a block when they stand in the first column, whatever the kind of file."""


def nearest(word: str, kind: FileKind) -> str | None:
    """The directive of this kind of file that a misspelt word most likely means."""
    found = difflib.get_close_matches(word.upper(), sorted(OF_KIND[kind]), n=1, cutoff=0.7)
    return found[0] if found else None


def home(directive: str) -> FileKind | None:
    """The kind of file that a directive belongs to, for a hint."""
    return next((kind for kind, directives in OF_KIND.items() if directive in directives), None)

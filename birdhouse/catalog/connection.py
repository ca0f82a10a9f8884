"""The services that a connection can be to, and what each needs to know."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from urllib.parse import urlsplit

from birdhouse.errors import InvalidInput, InvalidParameter

KAFKA = "kafka"
S3 = "s3"
S3_IAMROLE = "s3_iamrole"
GCS_HMAC = "gcs_hmac"

NAME_CHARACTERS_MAX = 250
VALUE_BYTES_MAX = 32_768
"""Of one setting. The longest are chains of certificates."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What may be shown of it. Its secrets are asked for where they are used."""

    id: str
    name: str
    service: str
    settings: Mapping[str, str]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Service:
    """The settings that a connection to it takes, named as the official client sends them."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    secret: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()

    @property
    def known(self) -> tuple[str, ...]:
        return (*self.required, *self.optional)


SERVICES: Mapping[str, Service] = MappingProxyType(
    {
        KAFKA: Service(
            ("kafka_bootstrap_servers",),
            (
                "kafka_sasl_plain_username", "kafka_sasl_plain_password", "kafka_security_protocol",
                "kafka_sasl_mechanism", "kafka_auto_offset_reset", "kafka_schema_registry_url", "kafka_ssl_ca_pem",
            ),
            secret=frozenset({"kafka_sasl_plain_password", "kafka_schema_registry_url"}),
        ),
        S3: Service(
            ("s3_access_key_id", "s3_secret_access_key"),
            ("s3_region", "s3_endpoint_url"),
            secret=frozenset({"s3_secret_access_key"}),
            urls=frozenset({"s3_endpoint_url"}),
        ),
        S3_IAMROLE: Service(
            ("s3_iamrole_arn", "s3_iamrole_region"),
            ("s3_iamrole_external_id",),
        ),
        GCS_HMAC: Service(
            ("gcs_hmac_access_id", "gcs_hmac_secret"),
            ("gcs_region", "gcs_endpoint_url"),
            secret=frozenset({"gcs_hmac_secret"}),
            urls=frozenset({"gcs_endpoint_url"}),
        ),
    }
)  # fmt: skip
"""The URL of a schema registry may hold a password, so all of it is secret."""

CLOUD_ONLY: Mapping[str, str] = MappingProxyType(
    {
        "gcs": "Create a gcs_hmac connection with an HMAC key, or import files by URL (POST /v0/datasources?url=…).",
        "gcs_service_account": "Create a gcs_hmac connection with an HMAC key instead.",
        "bigquery": "Export the table to files and import them by URL (POST /v0/datasources?url=…).",
        "snowflake": "Unload the table to files and import them by URL (POST /v0/datasources?url=…).",
        "dynamodb": "Export the table to files and import them by URL, or send its changes to POST /v0/events.",
    }
)
"""Services that need a cloud account of the server, and the way around."""

_CREDENTIALS = {"kafka_key": "kafka_sasl_plain_username", "kafka_secret": "kafka_sasl_plain_password"}
"""The lines of a datafile and what they are called in a connection."""
_NAME = re.compile(r"[^\x00-\x1f\x7f]+")
_REGION_IS_URL = re.compile(r"https?://", re.IGNORECASE)


def without_credentials(lines: Mapping[str, str]) -> dict[str, str]:
    """KAFKA_ lines of a data source, keyed in lower case, without those that belong to its connection alone.

    What a datafile says is given back by a pull, so it must not keep a password.
    """
    kept = {name: value for name, value in lines.items() if value and value != "None" and name not in _CREDENTIALS}
    if "@" in kept.get("kafka_schema_registry_url", ""):
        del kept["kafka_schema_registry_url"]
    return kept


def connection_of(lines: Mapping[str, str]) -> dict[str, str]:
    """The settings of the connection that KAFKA_ lines describe; empty when they describe none."""
    if not lines.get("kafka_bootstrap_servers"):
        return {}
    renamed = {_CREDENTIALS.get(name, name): value for name, value in lines.items()}
    return {name: renamed[name] for name in SERVICES[KAFKA].known if renamed.get(name)}


def service_of(name: str) -> Service:
    """Raises InvalidParameter; for a cloud service it names what to use instead."""
    found = SERVICES.get(name)
    if found is not None:
        return found
    if name in CLOUD_ONLY:
        raise cloud_only(name)
    near = difflib.get_close_matches(name, SERVICES, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Use one of {', '.join(SERVICES)}."
    raise InvalidParameter(f"There is no service {name!r} to connect to", hint=hint)


def cloud_only(service: str) -> InvalidInput:
    return InvalidParameter(f"This server has no connector for {service}.", hint=CLOUD_ONLY[service])


def check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > NAME_CHARACTERS_MAX or name != name.strip():
        raise InvalidParameter(
            f"The name of a connection has 1 to {NAME_CHARACTERS_MAX} characters, none of them a line end."
        )


def checked_settings(service: str, given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What may be shown, and what is secret. Raises InvalidParameter, and repeats no value of a secret."""
    spec = service_of(service)
    values = _with_endpoint({name: value for name, value in given.items() if value})
    for name in values:
        if name not in spec.known:
            near = difflib.get_close_matches(name, spec.known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"It takes {', '.join(spec.known)}."
            raise InvalidParameter(f"A connection to {service} has no setting {name!r}", hint=hint)
    for name in spec.required:
        if not values.get(name):
            raise InvalidParameter(f"A connection to {service} needs {name}")
    for name, value in values.items():
        if len(value.encode()) > VALUE_BYTES_MAX:
            raise InvalidParameter(f"The value of {name} is too long", detail=f"(limit: {VALUE_BYTES_MAX} bytes)")
    for name in spec.urls & values.keys():
        values[name] = _checked_url(name, values[name])
    shown = {name: value for name, value in values.items() if name not in spec.secret}
    return shown, {name: value for name, value in values.items() if name in spec.secret}


def _with_endpoint(values: dict[str, str]) -> dict[str, str]:
    """The official client asks for a region and never for an address: a URL there is the endpoint."""
    region = values.get("s3_region", "")
    if not _REGION_IS_URL.match(region):
        return values
    return {name: value for name, value in values.items() if name != "s3_region"} | {"s3_endpoint_url": region}


def _checked_url(name: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        has_port = False
    if not has_port or parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidParameter(f"{name} is not a URL", hint="Write http://host:port or https://host.")
    if parts.username or parts.password:
        raise InvalidParameter(f"{name} must not hold credentials", hint="Give them as the key and the secret.")
    return url.rstrip("/")

"""What a token can be allowed, and its text form `TYPE[:resource[:filter]]`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from birdhouse.errors import InvalidParameter, SqlError
from birdhouse.language.sql.statements import check_expression

SCOPES_PER_TOKEN_MAX = 1_000


class ScopeType(StrEnum):
    ADMIN = "ADMIN"
    ADMIN_USER = "ADMIN_USER"
    TOKENS = "TOKENS"
    DATASOURCES_CREATE = "DATASOURCES:CREATE"
    DATASOURCES_APPEND = "DATASOURCES:APPEND"
    DATASOURCES_DROP = "DATASOURCES:DROP"
    DATASOURCES_READ = "DATASOURCES:READ"
    PIPES_CREATE = "PIPES:CREATE"
    PIPES_DROP = "PIPES:DROP"
    PIPES_READ = "PIPES:READ"
    WORKSPACE_READ_ALL = "WORKSPACE:READ_ALL"
    ORG_DATASOURCES_READ = "ORG_DATASOURCES:READ"

    @property
    def names_resource(self) -> bool:
        return self in _NAMING

    @property
    def takes_filter(self) -> bool:
        return self in (ScopeType.DATASOURCES_READ, ScopeType.PIPES_READ)


_NAMING = frozenset(
    {
        ScopeType.DATASOURCES_APPEND,
        ScopeType.DATASOURCES_DROP,
        ScopeType.DATASOURCES_READ,
        ScopeType.PIPES_DROP,
        ScopeType.PIPES_READ,
    }
)
ADMIN_TYPES = frozenset({ScopeType.ADMIN, ScopeType.ADMIN_USER})


@dataclass(frozen=True, slots=True)
class Scope:
    """One permission. `resource` is what a client reads and writes: a name, or an id in a JWT.

    `resource_id` is set on scopes that the server keeps, so that they follow a renamed resource.
    """

    type: ScopeType
    resource: str | None = None
    filter: str | None = None
    """An SQL condition on the rows that may be read."""
    fixed_params: Mapping[str, str] = field(default_factory=dict)
    """Parameters of a pipe that win over the request's. Only in JWTs."""
    resource_id: str | None = None

    def __str__(self) -> str:
        return format_scope(self)


def parse_scope(text: str) -> Scope:
    """`DATASOURCES:READ:events:city = 'x:y'`: the filter is all that follows the third colon.

    Permission words are read in any case. Raises InvalidParameter.
    """
    area, _, rest = text.strip().partition(":")
    word, _, rest_after_word = rest.partition(":")
    for spelling, rest_of_it in ((f"{area}:{word}", rest_after_word), (area, rest)):
        try:
            type = ScopeType(spelling.strip().upper())
        except ValueError:
            continue
        resource, _, condition = rest_of_it.partition(":")
        return checked(Scope(type, resource.strip() or None, condition.strip() or None))
    raise InvalidParameter(f"{text!r} is not a scope.", hint=f"The scopes are {', '.join(ScopeType)}.")


def checked(scope: Scope) -> Scope:
    """The scope itself, once it has the parts that its type asks for. Raises InvalidParameter."""
    if scope.type.names_resource and not scope.resource:
        raise InvalidParameter(
            f"The scope {scope.type} needs a resource.", hint=f"Write {scope.type}:name_of_the_resource."
        )
    if scope.resource and not scope.type.names_resource:
        raise InvalidParameter(f"The scope {scope.type} takes no resource.", detail=f"Given: {scope.resource!r}.")
    if scope.filter and not scope.type.takes_filter:
        raise InvalidParameter(f"The scope {scope.type} takes no filter.", detail=f"Given: {scope.filter!r}.")
    return scope


def check_filters(scopes: Iterable[Scope]) -> None:
    """Raises InvalidParameter unless every filter is an SQL expression that reads no table."""
    for scope in scopes:
        if scope.filter:
            try:
                check_expression(scope.filter)
            except SqlError as error:
                raise InvalidParameter(
                    f"The filter of the scope {scope.type}:{scope.resource} is not a condition: {error.message}",
                    detail=error.detail,
                    hint=error.hint,
                ) from error


def format_scope(scope: Scope) -> str:
    return ":".join(part for part in (scope.type, scope.resource, scope.filter) if part)


def datafile_scope(area: str, permission: str) -> ScopeType:
    """The scope of a line `TOKEN name READ`; `area` is DATASOURCES or PIPES. Raises InvalidParameter."""
    try:
        type = ScopeType(f"{area}:{permission}".upper())
    except ValueError:
        type = ScopeType.ADMIN
    if not type.names_resource:
        allowed = [each.partition(":")[2] for each in _NAMING if each.startswith(f"{area}:")]
        raise InvalidParameter(
            f"TOKEN cannot give the permission {permission!r}.", hint=f"Use {' or '.join(sorted(allowed))}."
        )
    return type

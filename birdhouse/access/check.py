"""The one question: may this token do that? The answer is a value with its reason or conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from birdhouse.access.scopes import ADMIN_TYPES, Scope, ScopeType
from birdhouse.errors import MissingScope


class Resource(Protocol):
    """What a scope can be about: a data source or a pipe of the catalog."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Allowed:
    filters: tuple[str, ...] = ()
    """SQL conditions of which a row must meet at least one; empty allows every row."""
    fixed_params: Mapping[str, str] = field(default_factory=dict)
    """Parameters that win over the request's."""


@dataclass(frozen=True, slots=True)
class Refused:
    reason: str
    needed: str
    """The scope that would allow it."""


Decision = Allowed | Refused

ALLOWED = Allowed()


def require(decision: Decision) -> Allowed:
    """Raises MissingScope, naming the scope that would be needed."""
    if isinstance(decision, Allowed):
        return decision
    raise MissingScope(decision.reason, hint=f"It needs the scope {decision.needed}.")


@dataclass(frozen=True, slots=True)
class Grants:
    """What a verified token may do. Scopes are found by a resource's id; those of a JWT by id or name."""

    workspace_id: str
    token_id: str
    """Empty for a JWT."""
    token_name: str
    scopes: tuple[Scope, ...]
    is_user: bool = False
    """Whether it is the token of a person, which may also create, delete and share workspaces."""
    expires_at: int | None = None
    """Unix seconds; only for a JWT."""
    requests_per_second: int | None = None
    """Shared by all JWTs of the same name; None sets no limit."""
    is_admin: bool = field(init=False)
    _by_subject: Mapping[tuple[ScopeType, str | None], tuple[Scope, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_subject: dict[tuple[ScopeType, str | None], tuple[Scope, ...]] = {}
        for scope in self.scopes:
            subject = scope.type, scope.resource_id or scope.resource
            by_subject[subject] = (*by_subject.get(subject, ()), scope)
        object.__setattr__(self, "_by_subject", by_subject)
        object.__setattr__(self, "is_admin", any(scope.type in ADMIN_TYPES for scope in self.scopes))

    @property
    def is_persons_admin(self) -> bool:
        """Whether it is an admin token that comes with a person, and not one that was made for a program."""
        return any(scope.type is ScopeType.ADMIN_USER for scope in self.scopes)

    @property
    def is_jwt(self) -> bool:
        return self.expires_at is not None

    def may_read_datasource(self, datasource: Resource) -> Decision:
        """Also answers for its quarantine table."""
        return self._may_read(ScopeType.DATASOURCES_READ, datasource, "read the data source")

    def may_read_pipe(self, pipe: Resource) -> Decision:
        return self._may_read(ScopeType.PIPES_READ, pipe, "read the pipe")

    def may_append(self, datasource: Resource) -> Decision:
        """Adding rows. Replacing and deleting them asks `may_create_datasource`."""
        if self.is_admin or self._has(ScopeType.DATASOURCES_CREATE):
            return ALLOWED
        return self._may(ScopeType.DATASOURCES_APPEND, datasource, "append to the data source")

    def may_create_datasource(self) -> Decision:
        return self._may_generally(ScopeType.DATASOURCES_CREATE, "create or change data sources")

    def may_drop_datasource(self, datasource: Resource) -> Decision:
        return self._may(ScopeType.DATASOURCES_DROP, datasource, "drop the data source")

    def may_create_pipe(self) -> Decision:
        return self._may_generally(ScopeType.PIPES_CREATE, "create or change pipes")

    def may_drop_pipe(self, pipe: Resource) -> Decision:
        return self._may(ScopeType.PIPES_DROP, pipe, "drop the pipe")

    def may_read_all(self) -> Decision:
        return self._may_generally(ScopeType.WORKSPACE_READ_ALL, "read everything in the workspace")

    def may_read_organization(self) -> Decision:
        """What other workspaces do is not an admin's of this one to see."""
        if self.is_user or self._has(ScopeType.ORG_DATASOURCES_READ):
            return ALLOWED
        return self._refused(ScopeType.ORG_DATASOURCES_READ, "read organization.*")

    def may_administer(self) -> Decision:
        return ALLOWED if self.is_admin else self._refused(ScopeType.ADMIN, "administer the workspace")

    def may_manage_tokens(self, scopes: Iterable[Scope] = ()) -> Decision:
        """Creating, seeing, changing and deleting a token with these scopes.

        Only an admin may do so with a token that is more than TOKENS itself allows, and only a person with one that
        sees other workspaces: nobody lifts themselves.
        """
        scopes = tuple(scopes)
        if any(scope.type is ScopeType.ORG_DATASOURCES_READ for scope in scopes) and not self.is_user:
            return Refused(
                f"The token {self.token_name!r} may not see or give the scope {ScopeType.ORG_DATASOURCES_READ}.",
                f"{ScopeType.ADMIN_USER} of the user token",
            )
        if any(scope.type in ADMIN_TYPES for scope in scopes) and not self.is_admin:
            return self._refused(ScopeType.ADMIN, "see or give an admin token")
        return self._may_generally(ScopeType.TOKENS, "manage tokens")

    def _may_read(self, type: ScopeType, resource: Resource, deed: str) -> Decision:
        """The filters of several scopes widen each other; one scope without a filter allows every row.

        Of fixed parameters the scope written first wins, and none of them can be left out.
        """
        if self.is_admin or self._has(ScopeType.WORKSPACE_READ_ALL):
            return ALLOWED
        scopes = self._about(type, resource)
        if not scopes:
            return self._refused(type, deed, resource)
        filters = tuple(scope.filter for scope in scopes if scope.filter)
        fixed = {name: value for scope in reversed(scopes) for name, value in scope.fixed_params.items()}
        return Allowed(filters if len(filters) == len(scopes) else (), fixed)

    def _may(self, type: ScopeType, resource: Resource, deed: str) -> Decision:
        if self.is_admin or self._about(type, resource):
            return ALLOWED
        return self._refused(type, deed, resource)

    def _may_generally(self, type: ScopeType, deed: str) -> Decision:
        return ALLOWED if self.is_admin or self._has(type) else self._refused(type, deed)

    def _has(self, type: ScopeType) -> bool:
        return (type, None) in self._by_subject

    def _about(self, type: ScopeType, resource: Resource) -> tuple[Scope, ...]:
        by_id = self._by_subject.get((type, resource.id), ())
        return by_id + self._by_subject.get((type, resource.name), ()) if self.is_jwt else by_id

    def _refused(self, type: ScopeType, deed: str, resource: Resource | None = None) -> Refused:
        subject = f" {resource.name!r}" if resource else ""
        needed = f"{type}:{resource.name}" if resource else str(type)
        return Refused(f"The token {self.token_name!r} may not {deed}{subject}.", needed)

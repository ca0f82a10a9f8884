"""The row filters of a token, as conditions by resource name."""

from __future__ import annotations

from collections.abc import Mapping

from birdhouse.access.check import Allowed, Grants
from birdhouse.access.scopes import ScopeType
from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import Workspace
from birdhouse.language.sql.statements import check_expression

_NONE: Mapping[str, str] = {}


def row_filters(workspace: Workspace, grants: Grants) -> Mapping[str, str]:
    """Only resources that the token may read in part have an entry. Raises SqlError for a condition that is none."""
    if grants.is_admin or not any(scope.filter for scope in grants.scopes):
        return _NONE
    found = {}
    for scope in grants.scopes:
        resource = workspace.find(scope.resource_id or scope.resource or "") if scope.filter else None
        if resource is None:
            continue
        reads_table = scope.type is ScopeType.DATASOURCES_READ and isinstance(resource, DataSource)
        decision = grants.may_read_datasource(resource) if reads_table else grants.may_read_pipe(resource)
        if isinstance(decision, Allowed) and decision.filters:
            found[resource.name] = " OR ".join(f"({check_expression(condition)})" for condition in decision.filters)
    return found

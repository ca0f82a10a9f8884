"""Deploys the datafiles of a whole project folder, with the tokens and tags they declare."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from birdhouse.access.check import Grants, require
from birdhouse.access.scopes import Scope, check_filters, datafile_scope, parse_scope
from birdhouse.access.store import TokenStore
from birdhouse.catalog.tags import Tags
from birdhouse.deploy.deployer import Deployer, Deployment
from birdhouse.deploy.draft import Desired
from birdhouse.errors import BirdhouseError, DeploymentRefused, NotFound
from birdhouse.language.datafile.model import DataSourceDefinition, Definition, TokenDefinition
from birdhouse.language.datafile.parse import parse_datafile, problems


async def deploy_project(
    deployer: Deployer,
    tokens: TokenStore,
    tags: Tags,
    workspace_id: str,
    files: Mapping[str, str],
    *,
    grants: Grants | None = None,
    dry_run: bool = False,
) -> Deployment:
    """`files` is path to text; with `grants`, no token gets a scope that those may not give.

    Raises DeploymentRefused with every problem of every file, and MissingScope; nothing is changed then.
    """
    found: list[BirdhouseError] = [each for path, text in files.items() for each in problems(text, path)]
    if found:
        raise DeploymentRefused(found)
    definitions = {path: parse_datafile(text, file=path) for path, text in files.items()}
    desired = [
        Desired(definition, files[path], path)
        for path, definition in definitions.items()
        if not isinstance(definition, TokenDefinition)
    ]
    declared = [scope for each in definitions.values() if isinstance(each, TokenDefinition) for scope in _scopes(each)]
    check_filters(declared)
    _refuse_unknown_resources(
        declared, {each.definition.resource_name for each in desired} | deployer.names(workspace_id)
    )
    if grants is not None:
        require(grants.may_manage_tokens(declared))
    deployment = await deployer.deploy(workspace_id, desired, dry_run=dry_run)
    if not dry_run:
        for definition in definitions.values():
            await _grant_declared(tokens, workspace_id, definition)
            if not isinstance(definition, TokenDefinition):
                for tag in definition.tags:
                    await tags.add(workspace_id, tag, definition.resource_name)
    return deployment


async def _grant_declared(tokens: TokenStore, workspace_id: str, definition: Definition) -> None:
    """Declared tokens are made, or get the scope in addition to those they have: a deployment takes nothing away."""
    if isinstance(definition, TokenDefinition):
        await grant(tokens, workspace_id, definition.name, _scopes(definition), definition.description)
        return
    area = "DATASOURCES" if isinstance(definition, DataSourceDefinition) else "PIPES"
    for declared in definition.tokens:
        scope = Scope(datafile_scope(area, declared.permission), definition.resource_name)
        await grant(tokens, workspace_id, declared.name, (scope,))


def _scopes(definition: TokenDefinition) -> tuple[Scope, ...]:
    """Raises InvalidParameter for a scope that does not exist or lacks its resource."""
    return tuple(
        parse_scope(":".join(part for part in (each.type, each.resource, each.filter) if part))
        for each in definition.scopes
    )


def _refuse_unknown_resources(scopes: Iterable[Scope], names: Collection[str]) -> None:
    for scope in scopes:
        if scope.resource is not None and scope.resource not in names:
            raise NotFound(
                f"The resource '{scope.resource}' of the scope {scope.type} does not exist",
                hint="Deploy it together with the token.",
            )


async def grant(
    tokens: TokenStore, workspace_id: str, name: str, scopes: tuple[Scope, ...], description: str = ""
) -> None:
    try:
        token = await tokens.get(workspace_id, name)
    except NotFound:
        await tokens.create(workspace_id, name, scopes, description=description)
        return
    missing = [scope for scope in scopes if str(scope) not in {str(each) for each in token.scopes}]
    if missing:
        await tokens.change(workspace_id, name, scopes=(*token.scopes, *missing))

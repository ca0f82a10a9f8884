"""Deploys the datafiles of a whole project folder, with the tokens they declare."""

from __future__ import annotations

from collections.abc import Mapping

from birdhouse.access.scopes import Scope, ScopeType, datafile_scope
from birdhouse.access.store import TokenStore
from birdhouse.deploy.deployer import Deployer, Deployment
from birdhouse.deploy.draft import Desired
from birdhouse.errors import BirdhouseError, DeploymentRefused, NotFound
from birdhouse.language.datafile.model import DataSourceDefinition, Definition, TokenDefinition
from birdhouse.language.datafile.parse import parse_datafile, problems


async def deploy_project(
    deployer: Deployer,
    tokens: TokenStore,
    workspace_id: str,
    files: Mapping[str, str],
    *,
    dry_run: bool = False,
) -> Deployment:
    """`files` is path to text. Raises DeploymentRefused with every problem of every file; nothing is changed then."""
    found: list[BirdhouseError] = [each for path, text in files.items() for each in problems(text, path)]
    if found:
        raise DeploymentRefused(found)
    definitions = {path: parse_datafile(text, file=path) for path, text in files.items()}
    desired = [
        Desired(definition, files[path], path)
        for path, definition in definitions.items()
        if not isinstance(definition, TokenDefinition)
    ]
    deployment = await deployer.deploy(workspace_id, desired, dry_run=dry_run)
    if not dry_run:
        for definition in definitions.values():
            await _grant_declared(tokens, workspace_id, definition)
    return deployment


async def _grant_declared(tokens: TokenStore, workspace_id: str, definition: Definition) -> None:
    """Declared tokens are made, or get the scope in addition to those they have: a deployment takes nothing away."""
    if isinstance(definition, TokenDefinition):
        scopes = tuple(Scope(ScopeType(each.type), each.resource, each.filter) for each in definition.scopes)
        await grant(tokens, workspace_id, definition.name, scopes, definition.description)
        return
    area = "DATASOURCES" if isinstance(definition, DataSourceDefinition) else "PIPES"
    for declared in definition.tokens:
        scope = Scope(datafile_scope(area, declared.permission), definition.resource_name)
        await grant(tokens, workspace_id, declared.name, (scope,))


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

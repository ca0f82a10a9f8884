"""Deploys the datafiles of a whole project folder, with the tokens and tags they declare."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from birdhouse.access.check import Grants, require
from birdhouse.access.scopes import Scope, check_filters, datafile_scope, parse_scope
from birdhouse.access.store import TokenStore
from birdhouse.catalog.connection import KAFKA, checked_settings, connection_of, without_credentials
from birdhouse.catalog.connections.connections import Connections
from birdhouse.catalog.tags import Tags
from birdhouse.deploy.deployer import Deployer, Deployment, refuse
from birdhouse.deploy.draft import Desired
from birdhouse.errors import BirdhouseError, DeploymentRefused, NotFound
from birdhouse.language.datafile.format import format_datasource
from birdhouse.language.datafile.model import (
    DataSourceDefinition,
    Definition,
    PipeDefinition,
    TokenDefinition,
    TokenScope,
)
from birdhouse.language.datafile.parse import examine
from birdhouse.language.datafile.places import word_place


async def deploy_project(
    deployer: Deployer,
    tokens: TokenStore,
    tags: Tags,
    workspace_id: str,
    files: Mapping[str, str],
    *,
    grants: Grants | None = None,
    connections: Connections | None = None,
    dry_run: bool = False,
) -> Deployment:
    """`files` is path to text; with `grants`, no token gets a scope that those may not give.

    With `connections`, a Kafka data source that says how to reach its brokers gets its connection when there is none.
    Raises DeploymentRefused with every problem of every file, and MissingScope; nothing is changed then.
    """
    definitions: dict[str, Definition] = {}
    found: list[BirdhouseError] = []
    for path, text in files.items():
        definition, wrong = examine(text, path)
        found += wrong
        if definition is not None:
            definitions[path] = definition
    if found:
        raise DeploymentRefused(found)
    desired = [
        _desired(path, files[path], definition)
        for path, definition in definitions.items()
        if not isinstance(definition, TokenDefinition)
    ]
    described = _described_connections(definitions.values())
    names = {each.definition.resource_name for each in desired} | deployer.names(workspace_id)
    tokens_wanted = {path: each for path, each in definitions.items() if isinstance(each, TokenDefinition)}
    refuse([each for path, token in tokens_wanted.items() for each in scope_problems(token, files[path], path, names)])
    if grants is not None:
        require(grants.may_manage_tokens(scope for token in tokens_wanted.values() for scope in _scopes(token)))
    deployment = await deployer.deploy(workspace_id, desired, dry_run=dry_run)
    if not dry_run:
        if connections is not None:
            for name in described.keys() - deployment.workspace.connections.keys():
                await connections.create(workspace_id, name, KAFKA, described[name])
        for definition in definitions.values():
            await _grant_declared(tokens, workspace_id, definition)
            if not isinstance(definition, TokenDefinition):
                for tag in definition.tags:
                    await tags.add(workspace_id, tag, definition.resource_name)
    return deployment


def _desired(path: str, text: str, definition: DataSourceDefinition | PipeDefinition) -> Desired:
    """What is stored of it: credentials belong to connections, and a datafile is given back by every pull."""
    if isinstance(definition, DataSourceDefinition):
        kept = without_credentials(definition.kafka)
        if kept != definition.kafka:
            definition = replace(definition, kafka=kept)
            return Desired(definition, format_datasource(definition), path)
    return Desired(definition, text, path)


def _described_connections(definitions: Iterable[Definition]) -> dict[str, dict[str, str]]:
    """Name to settings. Raises InvalidParameter for one that could not be made."""
    found: dict[str, dict[str, str]] = {}
    for definition in definitions:
        if isinstance(definition, DataSourceDefinition) and (settings := connection_of(definition.kafka)):
            checked_settings(KAFKA, settings)
            found.setdefault(definition.kafka.get("kafka_connection_name", ""), settings)
    return found


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
    return tuple(map(_scope, definition.scopes))


def _scope(scope: TokenScope) -> Scope:
    return parse_scope(":".join(part for part in (scope.type, scope.resource, scope.filter) if part))


def scope_problems(
    definition: TokenDefinition, text: str, file: str, names: Collection[str]
) -> Iterator[BirdhouseError]:
    """What is wrong with the scopes of a declared token; `names` are the resources that there are or will be."""
    for each in definition.scopes:
        try:
            scope = _scope(each)
            check_filters([scope])
            _require_resource(scope, names)
        except BirdhouseError as error:
            yield error.at(*word_place(text, file, each.resource or each.type))


def _require_resource(scope: Scope, names: Collection[str]) -> None:
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

"""The datafile of a resource as `pull` gets it: the text as pushed, and the tokens, tags and shares it has today."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from birdhouse.access.scopes import ScopeType
from birdhouse.access.store import Token
from birdhouse.api.parts import Parts
from birdhouse.catalog.resources import DataSource, Pipe, Resource
from birdhouse.catalog.workspace import Workspace
from birdhouse.language.datafile.format import format_datasource, format_pipe
from birdhouse.language.datafile.model import TokenGrant

Entry = TypeVar("Entry")

_DECLARABLE = frozenset({ScopeType.DATASOURCES_READ, ScopeType.DATASOURCES_APPEND, ScopeType.PIPES_READ})


async def datafile_text(parts: Parts, workspace: Workspace, resource: Resource) -> str:
    """Clients push a datafile in pieces: what TOKEN, TAGS and SHARED_WITH say arrives apart, and is put back here."""
    definition = resource.definition
    declared = _grants(await parts.tokens.list(workspace.id), resource)
    tokens = (*(each for each in definition.tokens if each in declared), *_missing(declared, definition.tokens))
    tagged = await parts.tags.of_resource(resource.id)
    tags = (*(each for each in definition.tags if each in tagged), *_missing(tagged, definition.tags))
    if isinstance(resource, DataSource):
        readers = tuple(sorted(each.name for each in parts.catalog.readers_of(resource)))
        written = resource.definition.shared_with
        shared_with = (*(each for each in written if each in readers), *_missing(readers, written))
        declared_now = replace(resource.definition, tokens=tokens, tags=tags, shared_with=shared_with)
        return resource.text if declared_now == resource.definition else format_datasource(declared_now)
    assert isinstance(resource, Pipe)
    if tokens == definition.tokens and tags == definition.tags:
        return resource.text
    return format_pipe(replace(resource.definition, tokens=tokens, tags=tags))


def _grants(tokens: tuple[Token, ...], resource: Resource) -> tuple[TokenGrant, ...]:
    """What a TOKEN line can say; a scope with a row filter cannot be declared in a datafile."""
    return tuple(
        TokenGrant(token.name, scope.type.rpartition(":")[2])
        for token in tokens
        for scope in token.scopes
        if scope.resource_id == resource.id and scope.type in _DECLARABLE and not scope.filter
    )


def _missing(wanted: tuple[Entry, ...], there: tuple[Entry, ...]) -> tuple[Entry, ...]:
    return tuple(each for each in wanted if each not in there)

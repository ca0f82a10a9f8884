"""Tokens in the metadata database: who has which scopes. The signing keys stay in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, update

from birdhouse.access import tokens as texts
from birdhouse.access.scopes import SCOPES_PER_TOKEN_MAX, Scope, ScopeType, checked
from birdhouse.clock import Clock
from birdhouse.errors import Conflict, InvalidParameter, InvalidToken, LimitReached, NameTaken, NotFound
from birdhouse.metadata.database import Database
from birdhouse.metadata.identifiers import new_id
from birdhouse.metadata.schema import resources, token_scopes, tokens, workspaces

TOKENS_PER_WORKSPACE_MAX = 10_000
NAME_CHARACTERS_MAX = 250
LOCAL_EMAIL = "local_testing@tinybird.co"
"""The name that clients expect a local admin token to carry."""


class TokenOrigin(StrEnum):
    """Why a token exists. The lower-case ones come with the workspace, once each."""

    CUSTOM = "C"
    DATASOURCE = "DS"
    PIPE = "P"
    TIMESERIES = "TS"
    WORKSPACE_ADMIN = "workspace_admin"
    ADMIN = "admin"
    USER = "user"
    CREATE_DATASOURCE = "create_datasource"

    @property
    def is_default(self) -> bool:
        return self in DEFAULT_TOKENS

    @classmethod
    def requested(cls, text: str) -> TokenOrigin:
        """The origin that a client may ask for. Raises InvalidParameter."""
        allowed = [origin for origin in cls if not origin.is_default]
        if text not in allowed:
            raise InvalidParameter(f"{text!r} is not an origin.", hint=f"Use one of {', '.join(allowed)}.")
        return cls(text)


DEFAULT_TOKENS: Mapping[TokenOrigin, tuple[str, ScopeType]] = {
    TokenOrigin.WORKSPACE_ADMIN: ("workspace admin token", ScopeType.ADMIN),
    TokenOrigin.ADMIN: (f"admin {LOCAL_EMAIL}", ScopeType.ADMIN_USER),
    TokenOrigin.USER: ("user token", ScopeType.ADMIN_USER),
    TokenOrigin.CREATE_DATASOURCE: ("create datasource token", ScopeType.DATASOURCES_CREATE),
}


@dataclass(frozen=True, slots=True)
class Token:
    id: str
    workspace_id: str
    name: str
    description: str
    origin: TokenOrigin
    resource_id: str | None
    """The resource for which it was made."""
    generation: int
    created_at: datetime
    scopes: tuple[Scope, ...]
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FixedTokens:
    """Texts that settings give to default tokens of the workspace of that name, instead of signed ones."""

    workspace: str = ""
    texts: Mapping[TokenOrigin, str] = field(default_factory=dict, repr=False)

    def text_of(self, workspace: str, origin: TokenOrigin) -> str:
        return self.texts.get(origin, "") if workspace == self.workspace else ""

    def origin_of(self, text: str) -> TokenOrigin | None:
        given = ((origin, fixed) for origin, fixed in self.texts.items() if fixed)
        return next((origin for origin, fixed in given if texts.same_text(fixed, text)), None)


class TokenStore:
    """Tokens are found by name or id. `version` grows with every change: who remembers tokens compares it."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        fixed: FixedTokens | None = None,
        host: str = "",
    ) -> None:
        """`host` is written into the tokens for clients that look for it there; empty leaves it out."""
        self._database = database
        self._clock = clock
        self._fixed = fixed or FixedTokens()
        self._host = host
        self.version = 0

    def changed(self) -> None:
        """For changes made elsewhere, such as a deleted workspace."""
        self.version += 1

    async def list(self, workspace_id: str) -> tuple[Token, ...]:
        """All but the user token, which is a person's and not the workspace's."""
        return await self._database.run(
            lambda connection: self._load(
                connection, tokens.c.workspace_id == workspace_id, tokens.c.origin != TokenOrigin.USER
            )
        )

    async def get(self, workspace_id: str, name_or_id: str) -> Token:
        return await self._database.run(lambda connection: self._get(connection, workspace_id, name_or_id))

    async def default(self, workspace_id: str, origin: TokenOrigin) -> Token | None:
        """The token of that origin that came with the workspace; None when there is no such workspace."""
        found = await self._database.run(
            lambda connection: self._load(connection, tokens.c.workspace_id == workspace_id, tokens.c.origin == origin)
        )
        return found[0] if found else None

    def is_fixed(self, text: str) -> bool:
        return self._fixed.origin_of(text) is not None

    async def by_text(self, text: str) -> Token:
        """The static token with this text, verified. Raises InvalidToken."""
        return await self._database.run(lambda connection: self._by_text(connection, text))

    async def create(
        self,
        workspace_id: str,
        name: str,
        scopes: Sequence[Scope],
        *,
        description: str = "",
        origin: TokenOrigin = TokenOrigin.CUSTOM,
        resource: str | None = None,
    ) -> Token:
        """`resource`, by name or id, is what it is made for. Raises NameTaken, NotFound, InvalidParameter."""

        def work(connection: Connection) -> Token:
            self._refuse_too_many(connection, workspace_id)
            resource_id = _resource(connection, workspace_id, resource)[0] if resource else None
            token_id = self._insert(connection, workspace_id, name, description, origin, resource_id)
            _replace_scopes(connection, workspace_id, token_id, scopes)
            return self._get(connection, workspace_id, token_id)

        return await self._database.run(work, then=self.changed)

    async def create_defaults(self, workspace_id: str) -> None:
        """Makes the default tokens that the workspace does not have yet."""

        def work(connection: Connection) -> None:
            present = {token.origin for token in self._load(connection, tokens.c.workspace_id == workspace_id)}
            for origin, (name, type) in DEFAULT_TOKENS.items():
                if origin not in present:
                    token_id = self._insert(connection, workspace_id, name, "", origin, None)
                    _replace_scopes(connection, workspace_id, token_id, [Scope(type)])

        await self._database.run(work, then=self.changed)

    async def change(
        self,
        workspace_id: str,
        name_or_id: str,
        *,
        scopes: Sequence[Scope] | None = None,
        name: str | None = None,
        description: str | None = None,
    ) -> Token:
        """What is None stays. `scopes` replaces all scopes. Raises NotFound, NameTaken, Conflict."""

        def work(connection: Connection) -> Token:
            token = self._get(connection, workspace_id, name_or_id)
            if scopes is not None or name not in (None, token.name):
                _refuse_default(token, "changed")
            if name is not None and name != token.name:
                _refuse_name(connection, workspace_id, name)
            values = {"name": name, "description": description}
            given = {column: value for column, value in values.items() if value is not None}
            if given:
                connection.execute(update(tokens).where(tokens.c.id == token.id).values(**given))
            if scopes is not None:
                _replace_scopes(connection, workspace_id, token.id, scopes)
            return self._get(connection, workspace_id, token.id)

        return await self._database.run(work, then=self.changed)

    async def delete(self, workspace_id: str, name_or_id: str) -> None:
        def work(connection: Connection) -> None:
            token = self._get(connection, workspace_id, name_or_id)
            _refuse_default(token, "deleted")
            connection.execute(delete(tokens).where(tokens.c.id == token.id))

        await self._database.run(work, then=self.changed)

    async def refresh(self, workspace_id: str, name_or_id: str) -> Token:
        """Gives the token a new text and ends the old one. A new workspace admin token ends all JWTs."""

        def work(connection: Connection) -> Token:
            token = self._get(connection, workspace_id, name_or_id)
            if self.is_fixed(token.text):
                raise Conflict(f"The text of {token.name!r} is fixed by a setting.", hint="Change the setting.")
            next_generation = {"generation": token.generation + 1}
            connection.execute(update(tokens).where(tokens.c.id == token.id).values(**next_generation))
            return self._get(connection, workspace_id, token.id)

        return await self._database.run(work, then=self.changed)

    def _by_text(self, connection: Connection, text: str) -> Token:
        origin = self._fixed.origin_of(text)
        if origin:
            found = self._load(connection, workspaces.c.name == self._fixed.workspace, tokens.c.origin == origin)
            if not found:
                raise InvalidToken(detail="It is fixed by a setting, but its workspace does not exist.")
            return found[0]
        claims = texts.read_claims(text)
        rows = _rows(connection, (tokens.c.id == claims.token_id, tokens.c.workspace_id == claims.workspace_id))
        if not rows:
            raise InvalidToken(detail="It is unknown here: it was deleted, or belongs to another server.")
        texts.verify(text, rows[0].signing_key)
        token = self._token(rows[0], _scopes(connection, (tokens.c.id == claims.token_id,)))
        if not texts.same_text(token.text, text):
            raise InvalidToken(detail=f"The token {token.name!r} has a new text.", hint="Ask for the new one.")
        return token

    def _get(self, connection: Connection, workspace_id: str, name_or_id: str) -> Token:
        named = or_(tokens.c.id == name_or_id, tokens.c.name == name_or_id)
        found = self._load(connection, tokens.c.workspace_id == workspace_id, named)
        if not found:
            raise NotFound(f"Token {name_or_id!r} not found")
        return next((token for token in found if token.id == name_or_id), found[0])

    def _load(self, connection: Connection, *conditions: ColumnElement[bool]) -> tuple[Token, ...]:
        scopes = _scopes(connection, conditions)
        return tuple(self._token(row, scopes) for row in _rows(connection, conditions))

    def _token(self, row: Row[Any], scopes: Mapping[str, tuple[Scope, ...]]) -> Token:
        origin = TokenOrigin(row.origin)
        claims = texts.TokenClaims(row.workspace_id, row.id, row.generation)
        return Token(
            id=row.id,
            workspace_id=row.workspace_id,
            name=row.name,
            description=row.description,
            origin=origin,
            resource_id=row.resource_id,
            generation=row.generation,
            created_at=row.created_at,
            scopes=scopes.get(row.id, ()),
            text=self._fixed.text_of(row.workspace_name, origin) or texts.sign(claims, row.signing_key, self._host),
        )

    def _insert(
        self,
        connection: Connection,
        workspace_id: str,
        name: str,
        description: str,
        origin: TokenOrigin,
        resource_id: str | None,
    ) -> str:
        _refuse_name(connection, workspace_id, name)
        token_id = new_id()
        connection.execute(
            insert(tokens).values(
                id=token_id,
                workspace_id=workspace_id,
                name=name,
                description=description,
                origin=origin,
                resource_id=resource_id,
                generation=1,
                created_at=self._clock.now(),
            )
        )
        return token_id

    def _refuse_too_many(self, connection: Connection, workspace_id: str) -> None:
        count = select(func.count()).select_from(tokens).where(tokens.c.workspace_id == workspace_id)
        if connection.execute(count).scalar_one() >= TOKENS_PER_WORKSPACE_MAX:
            raise LimitReached(f"A workspace can have {TOKENS_PER_WORKSPACE_MAX} tokens.")


def _rows(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> Sequence[Row[Any]]:
    workspace = (workspaces.c.signing_key, workspaces.c.name.label("workspace_name"))
    query = select(tokens, *workspace).join(workspaces, workspaces.c.id == tokens.c.workspace_id)
    return connection.execute(query.where(*conditions).order_by(tokens.c.created_at, tokens.c.name)).all()


def _scopes(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> dict[str, tuple[Scope, ...]]:
    """By token id, each with the name its resource has today."""
    query = (
        select(token_scopes, resources.c.name)
        .join(tokens, tokens.c.id == token_scopes.c.token_id)
        .join(workspaces, workspaces.c.id == tokens.c.workspace_id)
        .outerjoin(resources, resources.c.id == token_scopes.c.resource_id)
        .where(*conditions)
        .order_by(token_scopes.c.token_id, token_scopes.c.position)
    )
    found: dict[str, tuple[Scope, ...]] = {}
    for row in connection.execute(query):
        scope = Scope(ScopeType(row.type), row.name, row.filter, resource_id=row.resource_id)
        found[row.token_id] = (*found.get(row.token_id, ()), scope)
    return found


def _replace_scopes(connection: Connection, workspace_id: str, token_id: str, scopes: Sequence[Scope]) -> None:
    """Repeated scopes are kept once: clients add to a list without looking."""
    wanted: dict[tuple[str, str | None, str | None], None] = {}
    for scope in map(checked, scopes):
        resource_id = _scope_resource(connection, workspace_id, scope)
        wanted[scope.type, resource_id, scope.filter] = None
    if len(wanted) > SCOPES_PER_TOKEN_MAX:
        raise InvalidParameter(f"A token can have {SCOPES_PER_TOKEN_MAX} scopes.", detail=f"Given: {len(wanted)}.")
    connection.execute(delete(token_scopes).where(token_scopes.c.token_id == token_id))
    for position, (type, resource_id, condition) in enumerate(wanted):
        connection.execute(
            insert(token_scopes).values(
                token_id=token_id, position=position, type=type, resource_id=resource_id, filter=condition
            )
        )


def _scope_resource(connection: Connection, workspace_id: str, scope: Scope) -> str | None:
    if not scope.resource:
        return None
    resource_id, kind = _resource(connection, workspace_id, scope.resource)
    if kind != ("pipe" if scope.type.startswith("PIPES:") else "datasource"):
        raise InvalidParameter(f"The scope {scope.type} cannot be about the {kind} {scope.resource!r}.")
    return resource_id


def _resource(connection: Connection, workspace_id: str, name_or_id: str) -> tuple[str, str]:
    """Its id and its kind, `datasource` or `pipe`."""
    named = or_(resources.c.name == name_or_id, resources.c.id == name_or_id)
    query = select(resources.c.id, resources.c.kind, resources.c.name).where(
        resources.c.workspace_id == workspace_id, named
    )
    found = connection.execute(query).all()
    if not found:
        raise NotFound(f"Resource {name_or_id!r} not found", hint="A scope names a data source or pipe that exists.")
    by_name = next((row for row in found if row.name == name_or_id), found[0])
    return by_name.id, by_name.kind


def _refuse_name(connection: Connection, workspace_id: str, name: str) -> None:
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX:
        raise InvalidParameter(f"The name of a token has 1 to {NAME_CHARACTERS_MAX} characters.")
    same = select(tokens.c.id).where(tokens.c.workspace_id == workspace_id, tokens.c.name == name)
    if connection.execute(same).first():
        raise NameTaken(f"Token with name {name!r} already exists")


def _refuse_default(token: Token, deed: str) -> None:
    if token.origin.is_default:
        raise Conflict(
            f"The token {token.name!r} belongs to the workspace and cannot be {deed}.",
            hint="Refresh it to give it a new text.",
        )

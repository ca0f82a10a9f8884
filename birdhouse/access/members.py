"""The people of a workspace. The server has no accounts: a member is a static token with the person's e-mail."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from birdhouse.access.scopes import Scope, ScopeType
from birdhouse.access.store import Token, TokenStore
from birdhouse.errors import InvalidParameter, NotFound

PREFIX = "member "
"""What the name of a member's token begins with; the e-mail follows."""

_EMAIL = re.compile(r"[^@\s,]+@[^@\s,]+")


class Role(StrEnum):
    ADMIN = "admin"
    GUEST = "guest"
    VIEWER = "viewer"


SCOPES: Mapping[Role, tuple[Scope, ...]] = {
    Role.ADMIN: (Scope(ScopeType.ADMIN),),
    Role.GUEST: (
        Scope(ScopeType.WORKSPACE_READ_ALL),
        Scope(ScopeType.DATASOURCES_CREATE),
        Scope(ScopeType.PIPES_CREATE),
    ),
    Role.VIEWER: (Scope(ScopeType.WORKSPACE_READ_ALL),),
}


@dataclass(frozen=True, slots=True)
class Member:
    token_id: str
    email: str
    role: Role


async def members_of(tokens: TokenStore, workspace_id: str) -> list[Member]:
    found = await tokens.list(workspace_id)
    return [Member(each.id, each.name.removeprefix(PREFIX), _role(each)) for each in found if _is_member(each)]


async def add_member(tokens: TokenStore, workspace_id: str, email: str, role: str) -> None:
    """Raises InvalidParameter, NameTaken for one who is a member already."""
    if not _EMAIL.fullmatch(email):
        raise InvalidParameter(f"{email!r} is not an e-mail address")
    await tokens.create(workspace_id, PREFIX + email, SCOPES[checked_role(role)], description="A member's token.")


async def remove_member(tokens: TokenStore, workspace_id: str, email: str) -> None:
    await tokens.delete(workspace_id, (await _member(tokens, workspace_id, email)).token_id)


async def set_role(tokens: TokenStore, workspace_id: str, email: str, role: str) -> None:
    """The token keeps its text."""
    member = await _member(tokens, workspace_id, email)
    await tokens.change(workspace_id, member.token_id, scopes=SCOPES[checked_role(role)])


def checked_role(text: str) -> Role:
    """Raises InvalidParameter."""
    if text not in list(Role):
        raise InvalidParameter(f"There is no role {text!r}.", hint=f"Use one of {', '.join(Role)}.")
    return Role(text)


async def _member(tokens: TokenStore, workspace_id: str, email: str) -> Member:
    for each in await members_of(tokens, workspace_id):
        if each.email == email:
            return each
    raise NotFound(f"'{email}' is not a member of the workspace", hint="`tb workspace members ls` lists them.")


def _is_member(token: Token) -> bool:
    return token.name.startswith(PREFIX)


def _role(token: Token) -> Role:
    """That with the same scopes; what was made of them by hand counts as a guest's."""
    types = {scope.type for scope in token.scopes}
    return next((role for role, scopes in SCOPES.items() if {each.type for each in scopes} == types), Role.GUEST)

"""JWTs: short-lived tokens that the holder of the workspace admin token makes, here or in another program.

The key is the text of the workspace admin token, so refreshing that token ends all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jwt

from birdhouse.access.check import Grants
from birdhouse.access.scopes import SCOPES_PER_TOKEN_MAX, Scope, ScopeType
from birdhouse.access.tokens import TOKEN_CHARACTERS_MAX, malformed
from birdhouse.errors import InvalidInput, InvalidParameter, InvalidToken

ALGORITHM = "HS256"
SCOPE_TYPES = frozenset({ScopeType.PIPES_READ, ScopeType.DATASOURCES_READ, ScopeType.DATASOURCES_APPEND})
UNIX_SECONDS_MAX = 253_402_300_799
"""The end of the year 9999."""

# Times are compared with our own clock, and an audience means nothing here.
_CHECKS: Any = {
    "require": ["exp", "workspace_id", "name"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
}


def create(
    workspace_id: str,
    name: str,
    expires_at: int,
    scopes: Sequence[Mapping[str, Any]],
    key: str,
    requests_per_second: int | None = None,
) -> str:
    """`scopes` are the JSON objects of the request; `expires_at` is Unix seconds. Raises InvalidParameter."""
    if not name:
        raise InvalidParameter("A JWT needs a name.")
    if not 0 < expires_at <= UNIX_SECONDS_MAX:
        raise InvalidParameter(f"The expiration time {expires_at} is not a time in Unix seconds.")
    read_scopes(scopes)
    content = {"workspace_id": workspace_id, "name": name, "exp": expires_at, "scopes": list(scopes)}
    if requests_per_second and requests_per_second > 0:
        content["limits"] = {"rps": requests_per_second}
    return jwt.encode(content, key, ALGORITHM)


def read_workspace_id(text: str) -> str:
    """The workspace the token names, not yet verified, to find its key. Raises InvalidToken."""
    if len(text) > TOKEN_CHARACTERS_MAX:
        raise malformed()
    unverified: Any = {"verify_signature": False, **_CHECKS}
    try:
        content = jwt.decode(text, options=unverified)
    except jwt.MissingRequiredClaimError as error:
        raise InvalidToken(detail=f"The JWT has no {error.claim}.") from None
    except (jwt.InvalidTokenError, RecursionError):
        raise malformed() from None
    return _text(content, "workspace_id")


def verify(text: str, key: str, now: int) -> Grants:
    """What a JWT made with this key allows at the time `now`, in Unix seconds. Raises InvalidToken."""
    try:
        content = jwt.decode(text, key, algorithms=[ALGORITHM], options=_CHECKS)
    except jwt.InvalidAlgorithmError:
        raise InvalidToken(detail=f"A JWT must be signed with {ALGORITHM}.") from None
    except jwt.InvalidSignatureError:
        raise InvalidToken(
            detail="The signature of the JWT is wrong.", hint="Sign it with the workspace admin token."
        ) from None
    except jwt.MissingRequiredClaimError as error:
        raise InvalidToken(detail=f"The JWT has no {error.claim}.") from None
    except (jwt.InvalidTokenError, RecursionError):
        raise malformed() from None
    grants = _grants(content)
    if "nbf" in content and _number(content, "nbf") > now:
        raise InvalidToken(detail="The JWT is not valid yet.")
    refuse_expired(grants, now)
    return grants


def refuse_expired(grants: Grants, now: float) -> None:
    """Raises InvalidToken when the token has an end and that has come."""
    if grants.expires_at is not None and now >= grants.expires_at:
        raise InvalidToken(detail=f"The JWT {grants.token_name!r} has expired.", hint="Make a new one.")


def read_scopes(content: object) -> tuple[Scope, ...]:
    """`[{type, resource, fixed_params?, filter?}]` as scopes. Raises InvalidParameter."""
    if not isinstance(content, Sequence) or isinstance(content, str):
        raise InvalidParameter("The scopes of a JWT must be a list of objects.")
    if len(content) > SCOPES_PER_TOKEN_MAX:
        raise InvalidParameter(f"A token can have {SCOPES_PER_TOKEN_MAX} scopes.", detail=f"Given: {len(content)}.")
    return tuple(_scope(each) for each in content)


def _scope(content: object) -> Scope:
    if not isinstance(content, Mapping):
        raise InvalidParameter(f"The scope {content!r} of a JWT must be an object.")
    type, resource = content.get("type"), content.get("resource")
    condition, fixed = content.get("filter") or None, content.get("fixed_params") or {}
    if not isinstance(type, str) or type.upper() not in SCOPE_TYPES:
        raise InvalidParameter(
            f"A JWT cannot have the scope {type!r}.", hint=f"It can have {', '.join(sorted(SCOPE_TYPES))}."
        )
    if not isinstance(resource, str) or not resource:
        raise InvalidParameter(f"The scope {type} of a JWT needs a resource, the name of a pipe or data source.")
    if condition is not None and not isinstance(condition, str):
        raise InvalidParameter(f"The filter of the scope {type}:{resource} must be a text.")
    if not isinstance(fixed, Mapping):
        raise InvalidParameter(f"The fixed_params of the scope {type}:{resource} must be an object.")
    values = {str(name): _parameter(value) for name, value in fixed.items()}
    return Scope(ScopeType(type.upper()), resource, condition, values)


def _parameter(value: object) -> str:
    """A fixed value as it would stand in a URL."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(_parameter(each) for each in value)
    return "" if value is None else str(value)


def _grants(content: Mapping[str, Any]) -> Grants:
    limits = content.get("limits")
    rate = limits.get("rps") if isinstance(limits, Mapping) else None
    try:
        scopes = read_scopes(content.get("scopes", []))
    except InvalidInput as error:
        raise InvalidToken(detail=str(error)) from error
    return Grants(
        workspace_id=_text(content, "workspace_id"),
        token_id="",
        token_name=_text(content, "name"),
        scopes=scopes,
        expires_at=_number(content, "exp"),
        requests_per_second=rate if isinstance(rate, int) and rate > 0 else None,
    )


def _text(content: Mapping[str, Any], claim: str) -> str:
    value = content.get(claim)
    if not isinstance(value, str) or not value:
        raise InvalidToken(detail=f"The {claim} of the JWT is not a text.")
    return value


def _number(content: Mapping[str, Any], claim: str) -> int:
    value = content.get(claim)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= UNIX_SECONDS_MAX:
        raise InvalidToken(detail=f"The {claim} of the JWT is not a time in Unix seconds.")
    return int(value)

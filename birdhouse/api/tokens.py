"""`/v0/tokens`: who may do what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from birdhouse.access import jwt
from birdhouse.access.check import Allowed, require
from birdhouse.access.scopes import Scope, ScopeType, check_filters, parse_scope
from birdhouse.access.store import Token, TokenOrigin
from birdhouse.api.call import FORM_TYPES, Call, required
from birdhouse.api.responses import json_response, no_content, text_response
from birdhouse.clock import wire_time
from birdhouse.errors import InvalidInput, InvalidParameter, NotFound
from birdhouse.language.datafile.format import format_token
from birdhouse.language.datafile.model import TokenDefinition, TokenScope


async def index(call: Call) -> Response:
    """The tokens that the caller may manage."""
    require(call.grants.may_manage_tokens())
    found = await call.parts.tokens.list(call.workspace.id)
    shown = [each for each in found if isinstance(call.grants.may_manage_tokens(each.scopes), Allowed)]
    return json_response({"tokens": [token_json(each) for each in shown]})


async def show(call: Call) -> Response:
    """One token, found by name or id."""
    return json_response(token_json(await _token(call)))


async def datafile(call: Call) -> Response:
    """The token as a .token file."""
    token = await _token(call)
    scopes = tuple(TokenScope(each.type, each.resource, each.filter) for each in token.scopes)
    return text_response(format_token(TokenDefinition(token.name, scopes, token.description)))


async def create(call: Call) -> Response:
    """Makes a token: `name` and a `scope=TYPE[:resource[:filter]]` each. With `expiration_time` it is a JWT."""
    if "expiration_time" in call.request.query_params:
        return await _create_jwt(call)
    values = await call.form_lists()
    scopes = _scopes(values.get("scope", []))
    if not scopes:
        raise InvalidParameter("The parameter 'scope' is required", hint="Write scope=PIPES:READ:name_of_the_pipe.")
    require(call.grants.may_manage_tokens(scopes))
    token = await call.parts.tokens.create(
        call.workspace.id,
        required(_last(values, "name"), "name"),
        scopes,
        description=_last(values, "description") or "",
        origin=TokenOrigin.requested(_last(values, "origin") or TokenOrigin.CUSTOM),
        resource=_last(values, "resource_id"),
    )
    return json_response(token_json(token))


async def change(call: Call) -> Response:
    """Changes a token: given scopes replace all scopes; without any, those of the token stay."""
    token = await _token(call)
    values = await call.form_lists()
    given = values.get("scope") or await _scopes_of_body(call)
    scopes = _scopes(given) if given else None
    require(call.grants.may_manage_tokens(scopes or ()))
    changed = await call.parts.tokens.change(
        call.workspace.id,
        token.id,
        scopes=scopes,
        name=_last(values, "name"),
        description=_last(values, "description"),
    )
    return json_response(token_json(changed))


async def delete(call: Call) -> Response:
    """The token ends at once. The default tokens of the workspace stay."""
    token = await _token(call)
    await call.parts.tokens.delete(call.workspace.id, token.id)
    return no_content()


async def refresh(call: Call) -> Response:
    """The token with its new text. The old one ends at once."""
    token = await _token(call)
    return json_response(token_json(await call.parts.tokens.refresh(call.workspace.id, token.id)))


def token_json(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "token": token.text,
        "description": token.description,
        "origin": {"type": str(token.origin), "resource_id": token.resource_id},
        "scopes": [_scope_json(each) for each in token.scopes],
        "created_at": wire_time(token.created_at),
    }


def _scope_json(scope: Scope) -> dict[str, str]:
    """A key without a value is left out: clients take its presence for a value."""
    parts = {"type": str(scope.type), "resource": scope.resource, "filter": scope.filter}
    return {key: value for key, value in parts.items() if value}


async def _token(call: Call) -> Token:
    """The token of the path, once the caller may manage it. The token of a person is only shown to that person."""
    require(call.grants.may_manage_tokens())
    token = await call.parts.tokens.get(call.workspace.id, call.name)
    if token.origin is TokenOrigin.USER and not call.grants.is_user:
        raise NotFound(f"Token {call.name!r} not found")
    require(call.grants.may_manage_tokens(token.scopes))
    return token


async def _scopes_of_body(call: Call) -> list[str]:
    """A long list comes as text `scope=…&scope=…`, nothing in it escaped."""
    if call.request.headers.get("content-type", "").startswith(FORM_TYPES):
        return []
    try:
        text = (await call.body()).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("The body is not valid UTF-8", detail=f"(byte {error.start})") from error
    if not text.startswith("scope="):
        return []
    return text.removeprefix("scope=").split("&scope=")


def _scopes(texts: Sequence[str]) -> tuple[Scope, ...]:
    scopes = tuple(parse_scope(text) for text in texts if text)
    check_filters(scopes)
    return scopes


async def _create_jwt(call: Call) -> Response:
    """The body is JSON, `{"scopes": […], "limits": {"rps": …}}`, whatever its content type says."""
    content = await call.json()
    if not isinstance(content, dict):
        raise InvalidInput('The body must be a JSON object such as {"scopes": […]}')
    name = required(call.text("name") or str(content.get("name") or ""), "name")
    wanted = content.get("scopes") or []
    scopes = jwt.read_scopes(wanted)
    require(call.grants.may_manage_tokens(scopes))
    check_filters(scopes)
    for scope in scopes:
        _refuse_unknown(call, scope)
    admin = await call.parts.tokens.default(call.workspace.id, TokenOrigin.WORKSPACE_ADMIN)
    if admin is None:
        raise NotFound("The workspace has no admin token to sign a JWT with")
    text = jwt.create(call.workspace.id, name, _expiration(call), wanted, admin.text, _rate(content))
    return json_response({"token": text})


def _refuse_unknown(call: Call, scope: Scope) -> None:
    """Raises NotFound with the nearest name: a JWT is not looked at again before it is used."""
    if scope.type is ScopeType.PIPES_READ:
        call.workspace.pipe(scope.resource or "")
    else:
        call.workspace.datasource(scope.resource or "")


def _expiration(call: Call) -> int:
    text = call.text("expiration_time")
    try:
        seconds = int(text)
    except ValueError:
        raise InvalidParameter(f"'expiration_time' must be Unix seconds, not {text!r}") from None
    if seconds <= call.parts.clock.now().timestamp():
        raise InvalidParameter(f"'expiration_time' is in the past: {seconds}")
    return seconds


def _rate(content: Mapping[str, Any]) -> int | None:
    limits = content.get("limits") or {}
    rate = limits.get("rps") if isinstance(limits, Mapping) else limits
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int):
        raise InvalidParameter(f"'limits' must be an object such as {{\"rps\": 10}}, not {limits!r}")
    return rate


def _last(values: Mapping[str, Sequence[str]], name: str) -> str | None:
    given = values.get(name)
    return given[-1] if given else None

from __future__ import annotations

import base64
import json
from typing import Any

import jwt as library
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdhouse.access import jwt
from birdhouse.access.check import Allowed
from birdhouse.access.scopes import Scope, ScopeType
from birdhouse.errors import InvalidParameter, InvalidToken

KEY = "p.eyJ1IjogIndzIn0." + "k" * 43
OTHER_KEY = KEY[:-1] + "l"
NOW = 1_700_000_000
SCOPES = [{"type": "PIPES:READ", "resource": "ep", "fixed_params": {"org": "acme", "n": 3}}]
CLAIMS: dict[str, Any] = {"workspace_id": "ws", "name": "visitor", "exp": NOW + 60, "scopes": SCOPES}


class Pipe:
    id = "t_1"
    name = "ep"


def made(key: str = KEY, algorithm: str = "HS256", **changes: Any) -> str:
    """A JWT as somebody's own program would make it; a change to None leaves the claim out."""
    content = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    return library.encode(content, key, algorithm)


def test_what_we_make_is_what_we_read() -> None:
    text = jwt.create("ws", "visitor", NOW + 60, SCOPES, KEY, requests_per_second=5)
    assert jwt.read_workspace_id(text) == "ws"
    grants = jwt.verify(text, KEY, NOW)
    assert (grants.workspace_id, grants.token_id, grants.token_name) == ("ws", "", "visitor")
    assert (grants.expires_at, grants.requests_per_second, grants.is_jwt) == (NOW + 60, 5, True)
    assert not grants.is_admin
    assert grants.may_read_pipe(Pipe()) == Allowed(fixed_params={"org": "acme", "n": "3"})


def test_a_jwt_of_somebodys_own_program_is_read() -> None:
    scopes = [{"type": "DATASOURCES:READ", "resource": "events", "filter": "org = 'acme'"}]
    grants = jwt.verify(made(scopes=scopes, limits={"rps": 10}, iat=NOW + 30, aud="us"), KEY, NOW)
    assert grants.scopes == (Scope(ScopeType.DATASOURCES_READ, "events", "org = 'acme'"),)
    assert grants.requests_per_second == 10


@pytest.mark.parametrize("rps", [0, -1, None, "5", 1.5])
def test_a_rate_that_is_no_positive_number_is_no_limit(rps: object) -> None:
    assert jwt.verify(made(limits={"rps": rps}), KEY, NOW).requests_per_second is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (made(key=OTHER_KEY), "Sign it with the workspace admin token."),
        (made(key=KEY + "0" * 64, algorithm="HS512"), "must be signed with HS256"),
        (made(algorithm="HS384"), "must be signed with HS256"),
        (made(key="", algorithm="none"), "must be signed with HS256"),
        (made(exp=None), "has no exp"),
        (made(workspace_id=None), "has no workspace_id"),
        (made(name=None), "has no name"),
        (made(exp=NOW), "'visitor' has expired"),
        (made(exp=NOW - 1), "Make a new one."),
        (made(nbf=NOW + 1), "not valid yet"),
        (made(exp=10**400), "not a time in Unix seconds"),
        (made(workspace_id=""), "workspace_id of the JWT is not a text"),
        (made(name=7), "name of the JWT is not a text"),
        (made(scopes="ADMIN"), "must be a list"),
        (made(scopes=[{"type": "ADMIN"}]), "cannot have the scope 'ADMIN'"),
        (made(scopes=[{"type": "TOKENS", "resource": "x"}]), "It can have DATASOURCES:APPEND"),
        (made(scopes=[{"type": "PIPES:READ"}]), "needs a resource"),
        (made(scopes=[7]), "must be an object"),
        (made(scopes=[{"type": "PIPES:READ", "resource": "a", "filter": 1}]), "must be a text"),
        (made(scopes=[{"type": "PIPES:READ", "resource": "a", "fixed_params": [1]}]), "must be an object"),
        (made(scopes=[{"type": "PIPES:READ", "resource": "a"}] * 1001), "1000 scopes"),
        ("ey.ey", "not a token"),
        ("", "not a token"),
    ],
)
def test_a_jwt_that_does_not_hold_is_refused_with_its_reason(text: str, says: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        jwt.verify(text, KEY, NOW)
    assert says in str(caught.value)


def unsigned(header: object, claims: object) -> str:
    def part(content: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    return f"{part(header)}.{part(claims)}."


@given(
    st.sampled_from(["none", "None", "NONE", "HS384", "HS512", "RS256", "ES256", "EdDSA", "", None, 1]) | st.text(),
    st.binary(max_size=64),
)
def test_no_other_algorithm_verifies_whatever_the_signature(algorithm: object, signature: bytes) -> None:
    if algorithm == "HS256":
        return
    text = unsigned({"alg": algorithm, "typ": "JWT"}, CLAIMS)
    with pytest.raises(InvalidToken):
        jwt.verify(text + base64.urlsafe_b64encode(signature).rstrip(b"=").decode(), KEY, NOW)


@given(st.text(min_size=32).filter(lambda key: key.encode("utf-8", "ignore") != KEY.encode()))
def test_no_jwt_signed_with_another_key_verifies(key: str) -> None:
    with pytest.raises(InvalidToken):
        jwt.verify(made(key=key.encode("utf-8", "ignore").decode().ljust(32, "x")), KEY, NOW)


json_values = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers(), max_size=2)


@given(st.dictionaries(st.sampled_from(["workspace_id", "name", "exp", "scopes", "limits", "nbf"]), json_values))
def test_any_claims_are_either_read_or_refused(claims: dict[str, Any]) -> None:
    text = library.encode(claims, KEY, "HS256") if claims.get("exp") is None else made(**claims)
    try:
        grants = jwt.verify(text, KEY, NOW)
    except InvalidToken:
        return
    assert grants.expires_at is not None and grants.expires_at > NOW
    assert grants.workspace_id == {**CLAIMS, **claims}["workspace_id"]


@given(st.text() | st.text().map(lambda text: f"ey{text}.{text}.{text}"))
def test_any_text_is_either_read_or_refused_as_a_jwt(text: str) -> None:
    with pytest.raises(InvalidToken):
        jwt.read_workspace_id(text)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": ""}, "needs a name"),
        ({"expires_at": 0}, "not a time"),
        ({"expires_at": 10**12}, "not a time"),
        ({"scopes": [{"type": "ADMIN", "resource": "x"}]}, "cannot have the scope"),
    ],
)
def test_a_jwt_that_would_not_be_read_is_not_made(changes: dict[str, Any], says: str) -> None:
    given = {"workspace_id": "ws", "name": "n", "expires_at": NOW, "scopes": SCOPES, "key": KEY, **changes}
    with pytest.raises(InvalidParameter, match=says):
        jwt.create(**given)

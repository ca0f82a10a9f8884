"""The text of a static token: `p.`, who it is as base64 JSON, `.`, and a signature with the workspace's key.

The text is computed, never stored. It always begins with `p.ey`, which clients look for to mask tokens.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from dataclasses import dataclass

from birdhouse.errors import InvalidToken

PREFIX = "p."
TOKEN_CHARACTERS_MAX = 16_384


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """Who a token says it is. `generation` grows with each refresh, which is what ends the older text."""

    workspace_id: str
    token_id: str
    generation: int


def sign(claims: TokenClaims, signing_key: str, host: str = "") -> str:
    """The same claims and key always give the same text."""
    content = {"u": claims.workspace_id, "id": claims.token_id, "g": claims.generation}
    if host:
        content["host"] = host
    body = _encode(json.dumps(content).encode())
    return f"{PREFIX}{body}.{_signature(body, signing_key)}"


def read_claims(text: str) -> TokenClaims:
    """What the token says, not yet verified. Raises InvalidToken when it is not a token of this form."""
    try:
        if len(text) > TOKEN_CHARACTERS_MAX or not text.startswith(PREFIX):
            raise ValueError
        body, _ = text.removeprefix(PREFIX).split(".")
        content = json.loads(_decode(body))
        claims = TokenClaims(content["u"], content["id"], content["g"])
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise malformed() from None
    if not (
        isinstance(claims.workspace_id, str) and isinstance(claims.token_id, str) and isinstance(claims.generation, int)
    ):
        raise malformed()
    return claims


def verify(text: str, signing_key: str) -> TokenClaims:
    """The claims of a token that was signed with this key. Raises InvalidToken."""
    claims = read_claims(text)
    body, _, signature = text.removeprefix(PREFIX).partition(".")
    if not same_text(signature, _signature(body, signing_key)):
        raise InvalidToken(detail="Its signature is wrong.")
    return claims


def same_text(one: str, other: str) -> bool:
    """Takes as long whether the texts differ at the beginning or at the end."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def malformed() -> InvalidToken:
    return InvalidToken(detail="The text is not a token.", hint="Copy the whole token: it begins with p.ey or ey.")


def _signature(body: str, signing_key: str) -> str:
    return _encode(hmac.digest(signing_key.encode(), body.encode("utf-8", "replace"), "sha256"))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)

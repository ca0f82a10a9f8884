"""From a token's text to what it may do. Each request comes by here, so verified tokens are remembered."""

from __future__ import annotations

from birdhouse.access import jwt
from birdhouse.access.check import Grants
from birdhouse.access.store import TokenOrigin, TokenStore
from birdhouse.access.tokens import PREFIX
from birdhouse.clock import Clock
from birdhouse.errors import InvalidToken

REMEMBERED_TOKENS_MAX = 4_096


class Authenticator:
    def __init__(self, tokens: TokenStore, clock: Clock, remembered_tokens_max: int = REMEMBERED_TOKENS_MAX) -> None:
        self._tokens = tokens
        self._clock = clock
        self._remembered_tokens_max = remembered_tokens_max
        self._remembered: dict[str, Grants] = {}
        self._version = tokens.version

    async def authenticate(self, text: str | None) -> Grants:
        """Raises InvalidToken with the reason. A change of any token forgets all that was remembered."""
        if not text:
            raise InvalidToken(
                "No auth token provided.",
                hint="Send it in the header 'Authorization: Bearer TOKEN' or in the parameter 'token'.",
            )
        if self._version != self._tokens.version:
            self._version = self._tokens.version
            self._remembered.clear()
        grants = self._remembered.get(text)
        if grants is None:
            return await self._verify(text)
        if grants.expires_at is not None:
            jwt.refuse_expired(grants, self._clock.now().timestamp())
        return grants

    async def _verify(self, text: str) -> Grants:
        version = self._tokens.version
        is_static = text.startswith(PREFIX) or self._tokens.is_fixed(text)
        grants = await (self._static(text) if is_static else self._jwt(text))
        # What was read before a change must not be remembered after it.
        if version == self._tokens.version == self._version:
            self._remember(text, grants)
        return grants

    async def _static(self, text: str) -> Grants:
        token = await self._tokens.by_text(text)
        return Grants(
            workspace_id=token.workspace_id,
            token_id=token.id,
            token_name=token.name,
            scopes=token.scopes,
            is_user=token.origin is TokenOrigin.USER,
        )

    async def _jwt(self, text: str) -> Grants:
        admin = await self._tokens.default(jwt.read_workspace_id(text), TokenOrigin.WORKSPACE_ADMIN)
        if admin is None:
            raise InvalidToken(detail="The workspace of the JWT does not exist.")
        return jwt.verify(text, admin.text, int(self._clock.now().timestamp()))

    def _remember(self, text: str, grants: Grants) -> None:
        if len(self._remembered) >= self._remembered_tokens_max:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[text] = grants
